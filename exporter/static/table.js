// The live table. Rows keep their places and containers move through them: an update changes the texts that differ and
// nothing else. A row out of sight (the browser tells which: content-visibility in the style sheet) whose container is
// still the same is drawn only now and then.
import { COLUMNS, CPU_MODES, SEVERITY, worst } from "./columns.js";
import { Bar, el, setText, Spark } from "./dom.js";
import { safe } from "./format.js";

const SELDOM = 5; // updates after which a row out of sight is drawn all the same: for search, and for readers of the whole
const LEAST = 0.01; // cores: what is less than that is no news

const address = (id) => `#/container/${encodeURIComponent(id)}`;

/** A column's class, the side it is set to, and the width of the window below which it is left out. */
const classes = ({ name, left, hide }) => `c-${name}${left ? " left" : ""}${hide ? ` h${hide}` : ""}`;

class Cell {
  constructor(column) {
    this.column = column;
    this.td = el("td", { role: "cell", class: classes(column), "data-label": column.label ?? column.title });
    this.main = column.kind === "name" ? el("a", {}) : el("span");
    this.td.append(this.main);
    this.second = column.name === "mem" ? el("span", { class: "second" }) : null;
    this.bar = column.kind === "bar" ? new Bar() : null;
    if (this.second) this.td.append(this.second);
    if (this.bar) this.td.append(this.bar.node);
    this.spark = column.spark ? new Spark() : null;
    if (this.spark) this.td.prepend(this.spark.node);
    this.text = this.more = this.meaning = "";
  }

  show({ text, meaning, second = "", bar = null, part = 0 }) {
    if (text !== this.text) setText(this.main, (this.text = text));
    if (second !== this.more) setText(this.second, (this.more = second));
    if (meaning !== this.meaning) this.main.className = this.meaning = meaning;
    if (this.bar) this.bar.set(bar, part, meaning);
  }
}

class Row {
  constructor() {
    this.tr = el("tr", { role: "row" });
    this.cells = COLUMNS.map((column) => new Cell(column));
    this.tr.append(...this.cells.map((cell) => cell.td));
    this.name = this.cells[0].main;
    this.state = "";
    this.skipped = this.late = false;
    this.tr.addEventListener("contentvisibilityautostatechange", ({ skipped }) => {
      this.skipped = skipped;
      if (!skipped && this.late) this.draw();
    });
  }

  /** Take a container and its figures; `must` draws them also where nobody sees it. */
  show(container, scene, must) {
    const other = container.id !== this.container?.id;
    if (other) this.name.setAttribute("href", address(container.id));
    this.container = container;
    this.scene = scene;
    this.late = true;
    if (must || other || !this.skipped) this.draw();
  }

  draw() {
    const { container, scene } = this;
    this.late = false;
    for (const cell of this.cells) {
      const { column, spark } = cell;
      cell.show(column.cell(container, scene));
      if (spark) spark.set(scene.history.last(container.id, column.spark, Spark.VALUES), LEAST);
    }
    const most = worst(container.findings);
    const state = `${container.state}${most && SEVERITY[most.severity] === 2 ? " critical" : ""}`;
    if (state !== this.state) {
      this.tr.className = this.state = state;
      // Running is the rule; what is not is also said in words, beside the mark before the name.
      this.name.dataset.state = container.state === "running" ? "" : ` (${safe(container.state)})`;
    }
  }
}

export class Table {
  /** `choose` is called with a column's name when its title is clicked. */
  constructor(table, choose) {
    this.rows = [];
    this.tick = 0;
    this.heads = new Map();
    const head = el("tr", { role: "row" });
    for (const column of COLUMNS) head.append(this.#head(column, choose));
    this.body = el("tbody", { role: "rowgroup" });
    table.append(el("thead", { role: "rowgroup" }, head), this.body);
    table.addEventListener("pointerover", (event) => this.#explain(event.target.closest?.("td")));
    table.addEventListener("click", (event) => {
      const name = event.target.closest?.("td")?.parentNode.firstChild.firstChild;
      if (name && event.target !== name && !window.getSelection().toString()) name.click();
    });
  }

  #head(column, choose) {
    const mark = el("span", { class: "mark", "aria-hidden": "true" });
    const of = column.name === "cpu" ? el("span", { class: "of" }) : null;
    const button = el("button", { type: "button", title: column.help }, column.title, mark, of ?? "");
    button.addEventListener("click", () => choose(column.name));
    const th = el("th", { role: "columnheader", scope: "col", class: classes(column) }, button);
    this.heads.set(column.name, { th, mark, of });
    return th;
  }

  /** Show these containers in this order; `sort` and `reverse` are marked in the titles. */
  update(containers, scene, sort, reverse) {
    this.#titles(scene, sort, reverse);
    this.tick += 1;
    const focused = this.rows.find((row) => row.name === document.activeElement)?.container.id;
    while (this.rows.length > containers.length) this.rows.pop().tr.remove();
    while (this.rows.length < containers.length) {
      const row = new Row();
      this.rows.push(row);
      this.body.append(row.tr);
    }
    containers.forEach((container, index) => this.rows[index].show(container, scene, (this.tick + index) % SELDOM === 0));
    // The focus follows its container; where that is gone it stays on the one that took its place.
    if (focused !== undefined) this.focus(focused);
  }

  #titles(scene, sort, reverse) {
    setText(this.heads.get("cpu").of, CPU_MODES[scene.cpu]);
    const key = `${sort} ${reverse}`;
    if (key === this.sorted) return;
    this.sorted = key;
    for (const column of COLUMNS) {
      const { th, mark } = this.heads.get(column.name);
      if (column.name !== sort) {
        th.removeAttribute("aria-sort");
        mark.textContent = "";
        continue;
      }
      // Texts start at A and the age at the oldest; every other number starts at the largest.
      const ascending = (column.name === "age" ? false : Boolean(column.left) && column.name !== "findings") !== reverse;
      th.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      mark.textContent = ascending ? "▲" : "▼";
    }
  }

  /** Say a figure with all its digits, when somebody points at it. */
  #explain(td) {
    const row = td && this.rows.find(({ tr }) => tr === td.parentNode);
    if (row) td.title = row.cells.find((cell) => cell.td === td).column.exact(row.container);
  }

  /** Move the focus by so many rows; from outside the table to its first one. */
  move(step) {
    const last = this.rows.length - 1;
    const at = this.rows.findIndex((row) => row.name === document.activeElement);
    const next = at < 0 ? (step > 0 ? 0 : last) : Math.max(0, Math.min(at + step, last));
    this.rows[next]?.name.focus({ preventScroll: true });
    this.rows[next]?.tr.scrollIntoView({ block: "nearest" });
  }

  /** Put the focus on a container's name; tell whether it is shown. */
  focus(id) {
    const row = this.rows.find(({ container }) => container.id === id);
    if (row && row.name !== document.activeElement) row.name.focus({ preventScroll: true });
    return row !== undefined;
  }
}
