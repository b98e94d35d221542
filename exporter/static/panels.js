// The panels of one container: what it uses, what limits it, what it shares, what it is made of, why it is listed.
import { el } from "./dom.js";
import { byteSize, cores, count, duration, percent, rate, safe, some, someCores, UNKNOWN } from "./format.js";
import { processes } from "./processes.js";

const NAMESPACES = {
  cgroup: "which part of the cgroup tree it sees", ipc: "System V and POSIX IPC", mnt: "the mounts it sees",
  net: "interfaces, ports, routes", pid: "the processes it sees", time: "its clocks since boot",
  user: "its users and capabilities", uts: "host name",
};
// The kernel's initial time and user namespaces are what nearly every container has: no reason to worry by themselves.
const USUAL = new Set(["time", "user"]);
const MOST_NAMES = 5;
const RESOURCES = [
  ["cpu", "CPU quota", someCores],
  ["cpuset", "CPU set", (value) => some(value, "CPU")],
  ["memory", "Memory", byteSize],
  ["pids", "Tasks", count],
];

/** The panels by name, in order, of what the stream tells of one container (exporter/live.py); `lacks`: which capabilities are missing. */
export const panels = ({ container, owned, limits, namespaces }, lacks) => new Map([
  ["use", panel("Use", use(container))],
  ["limits", panel("Limits, from the top of the tree to the container", ...chain(container, owned, limits))],
  ["processes", panel("Processes", ...processes(container))],
  ["namespaces", panel("Namespaces", whose(container, namespaces, lacks))],
  ["root", panel("Root filesystem", ...layers(container.rootfs))],
  ["about", panel("Why it is listed, and where", ...about(container))],
]);

const panel = (title, ...children) => el("section", { class: "panel" }, el("h2", {}, title), ...children);

/** Rows of [label, value, meaning], as a list of definitions; a null value leaves its row out. */
const facts = (rows) => el("dl", { class: "facts" }, ...rows.filter(([, value]) => value !== null)
  .flatMap(([label, value, meaning]) => [el("dt", {}, label), el("dd", meaning ? { class: meaning } : {}, value)]));

const titles = (...names) => el("thead", {}, el("tr", {}, ...names.map((name) => el("th", { scope: "col" }, name))));

const tag = (text, kind = "") => el("span", { class: `tag ${kind}` }, text);

/** The name of a cgroup, of which a runtime's id takes up to 64 characters, short enough to read. */
const short = (name) => safe(name.length > 40 ? `${name.slice(0, 22)}…${name.slice(-8)}` : name);

function use(one) {
  const { cpu, memory, pids, io, network } = one;
  const own = new Set(Object.values(one.cgroups));
  const limit = (value, form, by, ratio) => {
    if (value === null) return "no limit seen";
    return `${ratio === undefined ? "" : `${percent(ratio)} of its `}limit ${form(value)}${by?.startsWith("/") && !own.has(by) ? ", set by an ancestor" : ""}`;
  };
  const flow = (group, key) => `${rate(group[`${key}_per_second`])} (${byteSize(group[key])} in all)`;
  return facts([
    ["CPU", [
      `${someCores(cpu.usage_cores)} (user ${cores(cpu.user_cores)}, system ${cores(cpu.system_cores)})`,
      limit(cpu.limit_cores, someCores, cpu.limit_set_by, cpu.limit_ratio),
    ].join(", ")],
    ["CPU time", `${duration(cpu.usage_seconds)} in all, ${duration(cpu.throttled_seconds)} throttled`
      + ` (${count(cpu.throttled_periods)} of ${count(cpu.periods)} periods)`],
    ["Scheduling", [
      `weight ${count(cpu.weight)}`, `CPUs ${safe(cpu.cpuset ?? UNKNOWN)}`,
      cpu.quota_us === null ? "" : `own quota ${cpu.quota_us} of ${count(cpu.period_us)} µs`,
      cpu.burst_us ? `burst ${cpu.burst_us} µs` : "",
    ].filter(Boolean).join(", ")],
    ["Source", cpu.source === "processes" ? "summed over its processes: no cgroup of its own" : null, "warn"],
    ["Memory", `working set ${byteSize(memory.working_set_bytes)}, `
      + limit(memory.limit_bytes, byteSize, memory.limit_set_by, memory.limit_ratio)],
    ["of which", `anonymous ${byteSize(memory.anon_bytes)}, file ${byteSize(memory.file_bytes)}, `
      + `not reclaimable ${byteSize(memory.unreclaimable_bytes)}, swap ${byteSize(memory.swap_bytes)}`],
    ["Memory so far", `peak ${byteSize(memory.peak_bytes)}, limit hit ${count(memory.limit_hits)} times, `
      + `OOM kills ${count(memory.oom_kills)}`, memory.oom_kills ? "bad" : ""],
    ["Tasks", `${count(pids.current)} in ${some(one.members, "process", "processes")}, `
      + limit(pids.limit, count, pids.limit_set_by)],
    ["Block I/O", `read ${flow(io, "read_bytes")}, written ${flow(io, "write_bytes")}`],
    network.shared_with_host ? ["Network", "the host's: not counted here", "warn"]
      : ["Network", `received ${flow(network, "receive_bytes")}, sent ${flow(network, "transmit_bytes")}`],
    ["Shares it with", sharers(network)],
  ]);
}

const sharers = (network) => {
  const more = (network.shared_with_count || 0) - network.shared_with.length;
  const names = network.shared_with.map(safe).join(", ");
  return names ? `${names}${more > 0 ? ` and ${more} more` : ""}` : null;
};

const depthOf = (path) => (path === "/" ? 0 : path.split("/").length);

/** A row for each cgroup, the outermost first, with its own limit of each resource; the one that binds is marked. */
function chain(container, owned, limits) {
  const at = Object.values(container.cgroups);
  const whose = (path) => owned.includes(path) ? tag("its own", "own") : path !== "/" && at.includes(path) ? tag("shared") : null;
  const paths = [...new Set(RESOURCES.flatMap(([name]) => limits[name].chain.map(({ path }) => path)))]
    .sort((a, b) => depthOf(a) - depthOf(b) || (a < b ? -1 : 1));
  const rows = paths.map((path, depth) => el("tr", {},
    el("th", { scope: "row", class: "path", title: safe(path) }, el("div", {},
      el("span", { class: "branch", "aria-hidden": "true" }, depth ? `${"  ".repeat(Math.min(depth, 8) - 1)}└ ` : ""),
      el("span", {}, depth ? short(path.slice(path.lastIndexOf("/") + 1)) : safe(path)),
      whose(path))),
    ...RESOURCES.map(([name, , form]) => link(limits[name], form, path))));
  const effective = el("tr", { class: "effective" }, el("th", { scope: "row" }, "Effective"),
    ...RESOURCES.map(([name, , form]) => el("td", {}, limits[name].value !== null ? form(limits[name].value)
      : limits[name].hidden_ancestors ? UNKNOWN : name === "cpuset" ? "all CPUs" : "none")));
  const table = el("table", { class: "chain" },
    titles("Control group", ...RESOURCES.map(([, title]) => title)), el("tbody", {}, ...rows, effective));
  const hidden = RESOURCES.some(([name]) => limits[name].hidden_ancestors);
  return [
    el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Limits of each cgroup" }, table),
    hidden ? el("p", { class: "warn" }, "What lies above these cannot be seen from here: unknown, not unlimited.") : "",
  ];
}

/** One cgroup's own limit of one resource. */
function link({ chain: all, set_by: by, value }, form, path) {
  const one = all.find((other) => other.path === path);
  if (!one) return el("td");
  if (one.value === null) return el("td", { class: "dim" }, "no limit");
  // The effective CPU limit may be the CPU set's, which is less than this quota: then the quota does not bind.
  const binds = by === path && one.value === value;
  return el("td", binds ? { class: "binds" } : {}, form(one.value), binds ? tag("binds") : null);
}

function whose(container, namespaces, lacks) {
  const kinds = Object.keys(namespaces).sort();
  if (!kinds.length) {
    return el("p", { class: "dim" }, container.kind === "cgroup" ? "a control group: limits, no namespaces of its own"
      : `not readable: ${lacks.includes("CAP_SYS_PTRACE") ? "that takes CAP_SYS_PTRACE" : "access denied"}`);
  }
  return el("table", { class: "namespaces" }, titles("Namespace", "Whose", "Inode"),
    el("tbody", {}, ...kinds.map((kind) => el("tr", {},
      el("th", { scope: "row" }, el("b", {}, safe(kind)), el("small", {}, NAMESPACES[kind] ?? "")),
      owner(kind, namespaces[kind]),
      el("td", { class: "number" }, String(namespaces[kind].inode))))));
}

function owner(kind, { same_as_host: shared, containers }) {
  if (shared && USUAL.has(kind)) return el("td", {}, "the host's, as is usual");
  if (shared) return el("td", { class: "warn" }, "● the host's");
  if (containers.length) {
    const more = containers.length > MOST_NAMES ? ` and ${containers.length - MOST_NAMES} more` : "";
    return el("td", {}, `shared with ${containers.slice(0, MOST_NAMES).map(safe).join(", ")}${more}`);
  }
  return shared === null ? el("td", { class: "dim" }, "not known from here") : el("td", { class: "good" }, "its own");
}

function layers(rootfs) {
  const layer = (kind, path, note) => el("li", { class: kind }, tag(note), el("code", {}, safe(path)));
  const stack = [
    ...(rootfs.upper ? [layer("upper", rootfs.upper, "writable")] : []),
    ...rootfs.lower.map((path, index) => layer("lower", path, `layer ${rootfs.lower.length - index}`)),
  ];
  const text = (value) => (value === null ? null : safe(value));
  return [
    facts([
      ["Type", rootfs.type === null ? "unknown" : safe(rootfs.type) + (rootfs.read_only ? ", read-only" : "")],
      ["Source", text(rootfs.source)],
      ["Merged", text(rootfs.merged)],
      ["Work", text(rootfs.work)],
    ]),
    stack.length ? el("ol", { class: "layers", "aria-label": "Layers, the top one first" }, ...stack) : "",
  ];
}

function about(one) {
  const paths = new Map();
  for (const [resource, path] of Object.entries(one.cgroups)) {
    paths.set(path, [...(paths.get(path) ?? []), resource || "unified"]);
  }
  const labels = Object.entries(one.labels);
  return [
    facts([
      ["Evidence", one.evidence.map(safe).join(", ") || "none"],
      ["Id", safe(one.id)],
      ["Started", one.started_at === null ? "unknown" : new Date(one.started_at * 1000).toLocaleString()],
      ...[...paths].map(([path, resources]) => ["cgroup", `${safe(path)} (${resources.join(", ")})`]),
    ]),
    labels.length ? el("details", {}, el("summary", {}, some(labels.length, "label")),
      facts(labels.map(([key, value]) => [safe(key), safe(value)]))) : "",
  ];
}
