// Charts of one container, drawn by uPlot (../uplot, loaded before the modules as the global `uPlot`).
import { el, setText } from "./dom.js";
import { byteSize, cores, percent, rate } from "./format.js";

const HEIGHT = 168;
const LIMIT_IN_SIGHT = 5; // a limit further away than so many times the use would flatten the use: it is only written
const BYTES = Array.from({ length: 50 }, (_, power) => 2 ** power);
const RATIOS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 1, 2, 5, 10];
const SYNC = "container";

/** `lines`: [series of the history, label, colour (a variable of the style sheet), "limit" or "fill"]. */
const CHARTS = [
  { title: "CPU", form: (value) => cores(value), unit: "cores", least: 0.01,
    lines: [["cpu", "used", "--c1", "fill"], ["cpuLimit", "limit", "--c3", "limit"]] },
  { title: "Throttled", form: percent, incrs: RATIOS, least: 0.01, most: 1, unit: "of periods",
    lines: [["throttled", "own quota", "--c3", "fill"], ["inherited", "an ancestor's", "--c4"]] },
  { title: "Memory", form: byteSize, incrs: BYTES, least: 4096,
    lines: [["memory", "used", "--c1", "fill"], ["unreclaimable", "not reclaimable", "--c4"], ["memoryLimit", "limit", "--c3", "limit"]] },
  { title: "Waiting (PSI)", form: percent, incrs: RATIOS, least: 0.01, most: 1, unit: "of the time",
    lines: [["cpuWait", "for CPU", "--c1"], ["memoryWait", "memory", "--c3"], ["ioWait", "I/O", "--c2"]] },
  { title: "Network", form: rate, incrs: BYTES, least: 1024, lines: [["rx", "received", "--c1", "fill"], ["tx", "sent", "--c2"]] },
  { title: "Block I/O", form: rate, incrs: BYTES, least: 1024, lines: [["read", "read", "--c1", "fill"], ["write", "written", "--c2"]] },
];

/** The charts of one container; destroy() when the page turns. */
export class Charts {
  constructor(parent, history, id) {
    this.history = history;
    this.id = id;
    this.charts = CHARTS.map((spec) => new Chart(parent, spec));
    // Drawn again at another width, but not in the middle of the layout that made it.
    this.watch = new ResizeObserver(() => requestAnimationFrame(() => this.charts.forEach((chart) => chart.resize())));
    this.watch.observe(parent);
  }

  update() {
    for (const chart of this.charts) chart.update(this.history.series(this.id, chart.names));
  }

  /** Draw in the colours that the style sheet has now. */
  recolour() {
    for (const chart of this.charts) chart.rebuild();
  }

  destroy() {
    this.watch.disconnect();
    for (const chart of this.charts) chart.destroy();
  }
}

class Chart {
  constructor(parent, spec) {
    this.spec = spec;
    this.names = spec.lines.map(([name]) => name);
    this.values = spec.lines.map(() => el("b"));
    this.data = [[], ...spec.lines.map(() => [])];
    this.plot = el("div", { class: "plot", "aria-hidden": "true" });
    const legend = spec.lines.map(([, label, colour, kind], index) =>
      el("li", {}, el("i", { class: `swatch ${kind ?? ""} ${colour.slice(2)}`, "aria-hidden": "true" }), `${label} `, this.values[index]));
    const unit = spec.unit ? el("span", { class: "unit" }, ` ${spec.unit}`) : null;
    this.figure = el("figure", { class: "chart" }, el("figcaption", {}, el("h3", {}, spec.title, unit), el("ul", {}, ...legend)), this.plot);
    parent.append(this.figure);
    this.#build();
  }

  #build() {
    const colour = (name) => resolve(this.plot, name);
    const axis = { stroke: colour("--muted"), font: "11px system-ui, sans-serif", ticks: { show: false }, grid: { stroke: colour("--line"), width: 1 } };
    this.drawn = new uPlot({
      width: Math.max(this.plot.clientWidth, 50),
      height: HEIGHT,
      padding: [8, 26, 0, 0], // half of a time, whole, to the right of the last point
      legend: { show: false },
      cursor: { sync: { key: SYNC }, y: false, drag: { x: false, y: false }, points: { size: 6 } },
      scales: { x: { range: (_, low, high) => window_(low, high) }, y: { range: () => [0, this.#top()] } },
      axes: [
        { ...axis, size: 28, space: 64, values: (_, splits, __, ___, step) => splits.map((time) => clock(time, step)) },
        { ...axis, size: 62, space: 32, incrs: this.spec.incrs, values: (_, splits) => splits.map((value) => (value ? this.spec.form(value) : "0")) },
      ],
      series: [{}, ...this.spec.lines.map(([, , variable, kind]) => ({
        stroke: colour(variable),
        width: 1.5,
        dash: kind === "limit" ? [5, 4] : undefined,
        fill: kind === "fill" ? colour(variable).replace(")", " / 14%)").replaceAll(",", "") : undefined,
        points: { show: false },
      }))],
      hooks: { setCursor: [(plot) => this.#legend(plot.cursor.idx)] },
    }, this.data, this.plot);
  }

  /** The top of the scale: what was used, and the limit unless that is far away. */
  #top() {
    const { lines, least, most } = this.spec;
    const peak = (kinds) => {
      let high = 0;
      lines.forEach(([, , , kind], index) => {
        if (kinds(kind)) for (const value of this.data[index + 1]) if (value > high) high = value;
      });
      return high;
    };
    const used = Math.max(peak((kind) => kind !== "limit"), least);
    const limit = peak((kind) => kind === "limit");
    const top = Math.max(used, limit <= used * LIMIT_IN_SIGHT ? limit : 0) * 1.08;
    return most ? Math.min(top, most * 1.02) : top;
  }

  #legend(index) {
    const top = this.#top(); // what uPlot has not drawn yet it does not say
    this.values.forEach((value, line) => {
      const series = this.data[line + 1];
      const figure = series[index ?? series.length - 1] ?? null;
      setText(value, this.spec.form(figure) + (figure > top ? " ↑" : ""));
    });
  }

  update(data) {
    this.data = data;
    this.drawn.setData(data);
    this.#legend(this.drawn.cursor.idx);
  }

  resize() {
    const width = this.plot.clientWidth;
    if (width && width !== this.drawn.width) this.drawn.setSize({ width, height: HEIGHT });
  }

  rebuild() {
    this.drawn.destroy();
    this.#build();
  }

  destroy() {
    this.drawn.destroy();
    this.figure.remove();
  }
}

/** The colour that a variable of the style sheet stands for now: a canvas knows no variables. */
function resolve(element, name) {
  element.style.color = `var(${name})`;
  return getComputedStyle(element).color;
}

/** At least the last minute, so that the first points are not stretched over the whole width. */
const window_ = (low, high) => (high === null || low === null ? [0, 60] : [Math.min(low, high - 60), high]);

function clock(time, step) {
  const at = new Date(time * 1000);
  const two = (value) => String(value).padStart(2, "0");
  return `${two(at.getHours())}:${two(at.getMinutes())}${step < 60 ? `:${two(at.getSeconds())}` : ""}`;
}
