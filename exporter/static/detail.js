// One container: what it uses, what limits it and who set that, what it shares, what it is made of, and its last minutes.
import { Charts } from "./charts.js";
import { MARKS, MEANING_OF_SEVERITY, SEVERITY } from "./columns.js";
import { el, fill, setText } from "./dom.js";
import { byteSize, cores, count, duration, percent, rate, safe, some, UNKNOWN } from "./format.js";

const NAMESPACES = {
  cgroup: "which part of the cgroup tree it sees", ipc: "System V and POSIX IPC", mnt: "the mounts it sees",
  net: "interfaces, ports, routes", pid: "the processes it sees", time: "its clocks since boot",
  user: "its users and capabilities", uts: "host name",
};
// The kernel's initial time and user namespaces are what nearly every container has: no reason to worry by themselves.
const USUAL = new Set(["time", "user"]);
const RESOURCES = [
  ["cpu", "CPU quota", (value) => `${cores(value)} cores`],
  ["cpuset", "CPU set", (value) => some(value, "CPU")],
  ["memory", "Memory", byteSize],
  ["pids", "Tasks", count],
];

/** The name of a cgroup, of which a runtime's id takes up to 64 characters, short enough to read. */
const short = (name) => safe(name.length > 40 ? `${name.slice(0, 22)}…${name.slice(-8)}` : name);

/** Facts in pairs, as a definition list; a null value leaves its pair out. */
const facts = (pairs) => el("dl", { class: "facts" }, ...pairs.filter(([, value]) => value !== null)
  .flatMap(([label, value, meaning]) => [el("dt", {}, label), el("dd", meaning ? { class: meaning } : {}, value)]));

const panel = (title, ...children) => el("section", { class: "panel" }, el("h2", {}, title), ...children);

export class Detail {
  constructor(main, history) {
    this.main = main;
    this.history = history;
    this.id = null;
  }

  /** Turn to a container; what is known of it comes with the next documents. */
  open(id) {
    this.close();
    this.id = id;
    this.history.pinned = id;
    this.heading = el("h1", { tabindex: "-1" }, "…");
    this.state = el("span", { class: "state" });
    this.line = el("p", { class: "line" });
    this.findings = el("ul", { class: "findings" });
    this.plots = el("div", { class: "charts" });
    this.panels = el("div", { class: "panels" });
    fill(this.main,
      el("nav", {}, el("a", { href: "#/" }, "← All containers")),
      el("header", { class: "title" }, this.heading, this.state), this.line, this.findings, this.plots, this.panels);
    this.charts = new Charts(this.plots, this.history, id);
    this.charts.update();
    this.heading.focus();
  }

  close() {
    this.charts?.destroy();
    this.charts = null;
    this.shown = this.listed = null;
    this.history.pinned = this.id = null;
    this.main.replaceChildren();
  }

  recolour() {
    this.charts?.recolour();
  }

  /** Show a document; its `detail` is null when the container is gone. */
  update(made) {
    this.charts.update();
    const { detail } = made;
    if (detail === undefined || (detail && detail.container.id !== this.id)) return; // of the page before
    this.main.classList.toggle("gone", detail === null);
    if (detail === null) {
      if (this.heading.textContent === "…") setText(this.heading, "No such container");
      setText(this.state, "gone");
      this.state.className = "state dim";
      return;
    }
    const one = detail.container;
    setText(this.heading, safe(one.name));
    setText(this.state, safe(one.state));
    this.state.className = `state ${{ running: "good", paused: "warn", hollow: "bad" }[one.state] ?? ""}`;
    this.#line(one, made.taken_at);
    this.#findings(one.findings);
    this.#panels(detail);
  }

  #line(one, now) {
    const parts = [
      [one.runtime, one.kind].filter(Boolean).map(safe).join(" "),
      one.image ? `image ${safe(one.image)}` : null,
      one.pod ? `pod ${safe(one.pod)}` : null,
      one.pid === null ? null : `pid ${one.pid}`,
      some(one.members, "process", "processes"),
      one.created_at === null ? null : `up ${duration(Math.max(now - one.created_at, 0))}`,
      `id ${safe(one.id.slice(0, 12))}`,
    ];
    setText(this.line, parts.filter(Boolean).join(" · "));
  }

  #findings(findings) {
    const key = JSON.stringify(findings);
    if (key === this.listed) return;
    this.listed = key;
    const sorted = [...findings].sort((a, b) => SEVERITY[b.severity] - SEVERITY[a.severity]);
    fill(this.findings, ...sorted.map(({ severity, code, text }) =>
      el("li", { class: MEANING_OF_SEVERITY[severity] ?? "" },
        el("span", { class: "mark" }, `${MARKS[severity] ?? ""} ${safe(severity)}`), el("code", {}, safe(code)), el("span", {}, safe(text)))));
  }

  /** The panels are few and small: they are made anew, but only where what they say has changed. */
  #panels(detail) {
    const one = detail.container;
    const parts = [
      ["use", panel("Use", this.#use(one))],
      ["limits", panel("Limits, from the top of the tree to the container", ...this.#limits(detail))],
      ["namespaces", panel("Namespaces", this.#namespaces(detail))],
      ["root", panel("Root filesystem", ...this.#root(one.rootfs))],
      ["about", panel("Why it is listed, and where", ...this.#about(one))],
    ];
    if (!this.shown) {
      this.shown = new Map(parts);
      const [use, limits, namespaces, root, about] = this.shown.values();
      fill(this.panels, el("div", { class: "wide" }, limits), el("div", {}, use, root), el("div", {}, namespaces, about));
      return;
    }
    for (const [name, node] of parts) {
      const old = this.shown.get(name);
      if (old.isEqualNode(node) || old.contains(document.getSelection().anchorNode) && !document.getSelection().isCollapsed) continue;
      old.replaceWith(node);
      this.shown.set(name, node);
    }
  }

  #use(one) {
    const { cpu, memory, pids, io, network } = one;
    const elsewhere = (path) => path?.startsWith("/") && !Object.values(one.cgroups).includes(path);
    const limited = (group, value, form) => (value === null ? "no limit seen" : `limit ${form(value)}${elsewhere(group.limit_set_by) ? ", set by an ancestor" : ""}`);
    const net = network.shared_with_host ? ["Network", "the host's: not counted here", "warn"] : ["Network",
      `received ${rate(network.receive_bytes_per_second)} (${byteSize(network.receive_bytes)} in all), sent ${rate(network.transmit_bytes_per_second)} (${byteSize(network.transmit_bytes)} in all)`];
    return facts([
      ["CPU", `${cores(cpu.usage_cores)} cores (user ${cores(cpu.user_cores)}, system ${cores(cpu.system_cores)}), ${percent(cpu.limit_ratio)} of its limit, ${limited(cpu, cpu.limit_cores, (value) => `${cores(value)} cores`)}`],
      ["CPU time", `${duration(cpu.usage_seconds)} in all, ${duration(cpu.throttled_seconds)} throttled (${count(cpu.throttled_periods)} of ${count(cpu.periods)} periods)`],
      ["Scheduling", `weight ${count(cpu.weight)}, CPUs ${safe(cpu.cpuset ?? UNKNOWN)}${cpu.quota_us === null ? "" : `, own quota ${cpu.quota_us} of ${count(cpu.period_us)} µs`}${cpu.burst_us ? `, burst ${cpu.burst_us} µs` : ""}`],
      cpu.source === "processes" ? ["Source", "summed over its processes: no cgroup of its own", "warn"] : ["Source", null],
      ["Memory", `working set ${byteSize(memory.working_set_bytes)}, ${percent(memory.limit_ratio)} of its limit, ${limited(memory, memory.limit_bytes, byteSize)}`],
      ["of which", `anonymous ${byteSize(memory.anon_bytes)}, file ${byteSize(memory.file_bytes)}, not reclaimable ${byteSize(memory.unreclaimable_bytes)}, swap ${byteSize(memory.swap_bytes)}`],
      ["Memory so far", `peak ${byteSize(memory.peak_bytes)}, limit hit ${count(memory.limit_hits)} times, OOM kills ${count(memory.oom_kills)}`, memory.oom_kills ? "bad" : ""],
      ["Tasks", `${count(pids.current)} in ${some(one.members, "process", "processes")}, ${limited(pids, pids.limit, count)}`],
      ["Block I/O", `read ${rate(io.read_bytes_per_second)} (${byteSize(io.read_bytes)} in all), written ${rate(io.write_bytes_per_second)} (${byteSize(io.write_bytes)} in all)`],
      net,
      network.shared_with.length ? ["Shares it with", network.shared_with.map(safe).join(", ")] : ["", null],
    ]);
  }

  /** A row for each cgroup, the outermost first, with its own limit of each resource; the one that binds is marked. */
  #limits({ container, limits }) {
    const paths = [...new Set(RESOURCES.flatMap(([name]) => limits[name].chain.map(({ path }) => path)))]
      .sort((a, b) => (a === "/" ? 0 : a.split("/").length) - (b === "/" ? 0 : b.split("/").length) || (a < b ? -1 : 1));
    const own = Object.values(container.cgroups);
    const cell = (name, form, path) => {
      const { chain, set_by: by } = limits[name];
      const link = chain.find((one) => one.path === path);
      const binds = by === path && limits[name].value !== null;
      if (!link) return el("td", { class: "dim" }, "");
      // A group's own quota may be wider than its CPU set: then the set binds, not the quota.
      const bound = binds && link.value !== null && link.value === limits[name].value;
      return el("td", bound ? { class: "binds" } : link.value === null ? { class: "dim" } : {},
        link.value === null ? "no limit" : form(link.value), bound ? el("span", { class: "tag" }, "binds") : "");
    };
    const rows = paths.map((path, depth) => el("tr", {},
      el("th", { scope: "row", class: "path", title: safe(path) }, el("div", {},
        el("span", { class: "branch", "aria-hidden": "true" }, depth ? `${"  ".repeat(Math.min(depth, 8) - 1)}└ ` : ""),
        el("span", {}, depth ? short(path.slice(path.lastIndexOf("/") + 1)) : path === "/" ? "/" : safe(path)),
        own.includes(path) ? el("span", { class: "tag own" }, "its own") : "")),
      ...RESOURCES.map(([name, , form]) => cell(name, form, path))));
    const hidden = RESOURCES.some(([name]) => limits[name].hidden_ancestors);
    const least = el("tr", { class: "effective" }, el("th", { scope: "row" }, "Effective"),
      ...RESOURCES.map(([name, , form]) => el("td", {}, limits[name].value !== null ? form(limits[name].value)
        : limits[name].hidden_ancestors ? UNKNOWN : name === "cpuset" ? "all CPUs" : "none")));
    return [
      el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Limits of each cgroup" },
        el("table", { class: "chain" }, el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Control group"), ...RESOURCES.map(([, title]) => el("th", { scope: "col" }, title)))),
          el("tbody", {}, ...rows, least))),
      hidden ? el("p", { class: "warn" }, "What lies above the topmost of these cannot be seen from here: unknown, not unlimited.") : null,
    ].filter(Boolean);
  }

  #namespaces({ container, namespaces }) {
    const whose = (kind) => {
      const { same_as_host: shared, containers } = namespaces[kind];
      if (shared) return el("td", { class: USUAL.has(kind) ? "" : "warn" }, USUAL.has(kind) ? "the host's, as is usual" : "● the host's");
      if (containers.length) {
        const more = containers.length > 5 ? ` and ${containers.length - 5} more` : "";
        return el("td", {}, `shared with ${containers.slice(0, 5).map(safe).join(", ")}${more}`);
      }
      return el("td", { class: shared === null ? "dim" : "good" }, shared === null ? "not known from here" : "its own");
    };
    if (!Object.keys(namespaces).length) {
      return el("p", { class: "dim" }, container.kind === "container" ? "not readable: that takes CAP_SYS_PTRACE" : "a control group: limits, no namespaces of its own");
    }
    return el("table", { class: "namespaces" },
      el("thead", {}, el("tr", {}, ...["Namespace", "Whose", "Inode"].map((title) => el("th", { scope: "col" }, title)))),
      el("tbody", {}, ...Object.keys(namespaces).sort().map((kind) => el("tr", {},
        el("th", { scope: "row" }, el("b", {}, safe(kind)), el("small", {}, NAMESPACES[kind] ?? "")), whose(kind), el("td", { class: "number" }, String(namespaces[kind].inode))))));
  }

  #root(root) {
    const layer = (kind, path, note) => el("li", { class: kind }, el("span", { class: "tag" }, note), el("code", {}, safe(path)));
    const layers = [
      root.upper ? layer("upper", root.upper, "writable") : null,
      ...root.lower.map((path, index) => layer("lower", path, `layer ${root.lower.length - index}`)),
    ].filter(Boolean);
    return [
      facts([
        ["Type", root.type === null ? "unknown" : safe(root.type) + (root.read_only ? ", read-only" : "")],
        ["Source", root.source === null ? null : safe(root.source)],
        ["Merged", root.merged === null ? null : safe(root.merged)],
        ["Work", root.work === null ? null : safe(root.work)],
      ]),
      layers.length ? el("ol", { class: "layers", "aria-label": "Layers, the top one first" }, ...layers) : null,
    ].filter(Boolean);
  }

  #about(one) {
    const paths = new Map();
    for (const [resource, path] of Object.entries(one.cgroups)) paths.set(path, [...(paths.get(path) ?? []), resource || "unified"]);
    const labels = Object.entries(one.labels);
    return [
      facts([
        ["Evidence", one.evidence.map(safe).join(", ") || "none"],
        ["Id", safe(one.id)],
        ["Started", one.created_at === null ? "unknown" : new Date(one.created_at * 1000).toLocaleString()],
        ...[...paths].map(([path, resources]) => [`cgroup`, `${safe(path)} (${resources.join(", ")})`]),
      ]),
      labels.length ? el("details", {}, el("summary", {}, some(labels.length, "label")), facts(labels.map(([key, value]) => [safe(key), safe(value)]))) : null,
    ].filter(Boolean);
  }
}
