// The table's columns: one row of COLUMNS is a column. Meanings ("warn", "bad", ...) are ctop's (inspector/views/cells.py).
import { byteSize, cores, count, duration, exact, percent, safe, some, UNKNOWN } from "./format.js";

const NEAR = 0.75, FULL = 0.9;
const THROTTLED = 0.01, BADLY_THROTTLED = 0.25;
const WAITING = 0.1, BADLY_WAITING = 0.4;
export const SEVERITY = { critical: 2, warning: 1, info: 0 };
export const MARKS = { critical: "▲", warning: "●", info: "ℹ" };
export const MEANING_OF_SEVERITY = { critical: "bad", warning: "warn", info: "dim" };
export const CPU_MODES = { core: "of one core", limit: "of its limit", host: "of the host" };

const level = (value, warn, bad) =>
  typeof value !== "number" ? "dim" : value >= bad ? "bad" : value >= warn ? "warn" : value ? "" : "dim";

/** CPU % as a ratio, by the meaning that is chosen. */
function cpuRatio(container, scene) {
  const { usage_cores: used, limit_ratio: ratio } = container.cpu;
  if (scene.cpu === "limit") return ratio;
  return scene.cpu === "core" || used === null ? used : used / Math.max(scene.cpus, 1);
}

/** True when an ancestor sets the limit. */
const setElsewhere = (limit) => limit.limit_set_by !== null && limit.limit_set_by.startsWith("/");

function setBy(limit) {
  if (limit.limit_set_by === "own") return "set by its own cgroup";
  return limit.limit_set_by === null ? "set by a cgroup that cannot be seen from here" : `set by ${safe(limit.limit_set_by)}`;
}

/** A limit as text: "^" when an ancestor sets it; "none" only where we can know. */
function limitText(group, value, form, used) {
  if (value === null) return group.limit_known && used !== null ? "none" : UNKNOWN;
  return (setElsewhere(group) ? "^" : "") + form(value);
}

const usedMemory = ({ memory }) => memory.working_set_bytes ?? memory.anon_bytes;
const worstThrottling = ({ cpu }) =>
  cpu.throttled_ratio === null && cpu.inherited_throttled_ratio === null ? null
    : Math.max(cpu.throttled_ratio ?? 0, cpu.inherited_throttled_ratio ?? 0);

/** The finding to show first. */
export const worst = (findings) =>
  findings.reduce((most, one) => (most && SEVERITY[most.severity] >= SEVERITY[one.severity] ? most : one), null);

const rating = ({ findings }) => {
  const most = worst(findings);
  return most ? SEVERITY[most.severity] * 100 + findings.length : null;
};

function throttledCell(container) {
  const { throttled_ratio: own, inherited_throttled_ratio: inherited } = container.cpu;
  const above = inherited !== null && inherited > (own ?? 0);
  const ratio = above ? inherited : own;
  return { text: (above ? "^" : "") + percent(ratio), meaning: level(ratio, THROTTLED, BADLY_THROTTLED) };
}

function memoryCell(container) {
  const { memory } = container;
  const used = usedMemory(container);
  const limit = limitText(memory, memory.limit_bytes, byteSize, used);
  return {
    text: byteSize(used), second: `/ ${limit}`, meaning: level(memory.limit_ratio ?? 0, NEAR, FULL).replace("dim", ""),
    bar: memory.limit_ratio, part: memory.limit_bytes ? (memory.unreclaimable_bytes ?? 0) / memory.limit_bytes : 0,
  };
}

const waited = (group, key = "pressure_some_ratio") => ({
  sort: (container) => container[group][key],
  cell: (container) => ({ text: percent(container[group][key]), meaning: level(container[group][key], WAITING, BADLY_WAITING) }),
  exact: (container) => `${exact((container[group][key] ?? NaN) * 100, "%")} of the time`,
});

const flow = (group, key) => ({
  exact: (container) => (container[group].shared_with_host ? "the host's network: not counted here" : exact(container[group][key], "bytes/s")),
  sort: (container) => container[group][key],
  cell: (container) => ({ text: byteSize(container[group][key]), meaning: container[group][key] ? "" : "dim" }),
});

const text = (value) => ({
  left: true,
  sort: value,
  cell: (container) => {
    const shown = value(container);
    return shown ? { text: safe(shown), meaning: "" } : { text: UNKNOWN, meaning: "dim" };
  },
  exact: (container) => safe(value(container) || "unknown"),
});

/**
 * `cell` gives {text, meaning, second, bar, part}; `exact` the tooltip; `sort` what it is sorted by.
 * `spark` is a series of the history (history.js); `hide` is the width of the window, in steps of the style sheet, below which it is left out.
 */
export const COLUMNS = [
  { name: "name", title: "Name", help: "the runtime's name, or else the host name or a short id", kind: "name", ...text((one) => one.name),
    exact: (one) => `${safe(one.name)}\n${one.state}, ${one.kind}\n${safe(one.id)}` },
  { name: "runtime", title: "Runtime", help: "who made it", ...text((one) => one.runtime) },
  { name: "image", title: "Image", help: "image it was made from", hide: 4, ...text((one) => one.image) },
  { name: "cpu", title: "CPU %", help: "CPU used, of what the button CPU % says, its last ticks as a line; the bar is the share of the limit", kind: "bar", sort: cpuRatio,
    cell: (one, scene) => ({
      text: percent(cpuRatio(one, scene)), meaning: level(one.cpu.limit_ratio, NEAR, FULL).replace("dim", ""),
      bar: one.cpu.limit_ratio,
    }),
    spark: "cpu",
    exact: (one) => `${exact(one.cpu.usage_cores, "cores")}`
      + `${one.cpu.limit_ratio === null ? "" : `, ${exact(one.cpu.limit_ratio * 100, "% of its limit")}`}\n`
      + `${exact(one.cpu.usage_seconds, "s in all")}${one.cpu.source === "processes" ? "\nsummed over its processes: no cgroup of its own" : ""}` },
  { name: "limit", title: "Limit", help: "effective CPU limit in cores: the least of quota and cpuset, own and ancestors'; ^ set by an ancestor",
    sort: (one) => one.cpu.limit_cores,
    cell: ({ cpu }) => ({ text: limitText(cpu, cpu.limit_cores, cores, cpu.usage_seconds), meaning: cpu.limit_cores === null ? "dim" : "" }),
    exact: ({ cpu }) => (cpu.limit_cores === null ? "no limit seen" : `${exact(cpu.limit_cores, "cores")}, ${setBy(cpu)}`) },
  { name: "throttled", title: "Throttled", help: "share of quota periods in which it was made to wait; ^ by an ancestor's quota",
    sort: worstThrottling, cell: throttledCell,
    exact: ({ cpu }) => `own quota ${percent(cpu.throttled_ratio)}, an ancestor's ${percent(cpu.inherited_throttled_ratio)}`
      + (cpu.throttled_by ? `\nby ${safe(cpu.throttled_by)}` : "") },
  { name: "mem", title: "Memory / limit", label: "Memory", help: "working set (usage less inactive page cache) and effective limit; ^ set by an ancestor. Dark: what cannot be reclaimed",
    kind: "bar", sort: usedMemory, cell: memoryCell,
    exact: (one) => `working set ${exact(usedMemory(one), "bytes")}\nnot reclaimable ${exact(one.memory.unreclaimable_bytes, "bytes")}\n`
      + (one.memory.limit_bytes === null ? "no limit seen"
        : `limit ${exact(one.memory.limit_bytes, "bytes")}, ${setBy(one.memory)}\n${percent(one.memory.limit_ratio)} of it`) },
  { name: "pids", title: "Tasks", help: "processes and their threads",
    sort: (one) => one.pids.current ?? one.members,
    cell: (one) => {
      const tasks = one.pids.current ?? one.members;
      return { text: count(tasks), meaning: one.pids.limit ? level(tasks / one.pids.limit, NEAR, FULL).replace("dim", "") : "" };
    },
    exact: (one) => `${exact(one.pids.current, "tasks")} in ${some(one.members, "process", "processes")}\n`
      + (one.pids.limit === null ? "no limit seen" : `limit ${one.pids.limit}, ${setBy(one.pids)}`) },
  { name: "rx", title: "RX/s", help: "bytes received per second, loopback left out", hide: 1, ...flow("network", "receive_bytes_per_second") },
  { name: "tx", title: "TX/s", help: "bytes sent per second, loopback left out", hide: 1, ...flow("network", "transmit_bytes_per_second") },
  { name: "read", title: "Read/s", help: "bytes read from block devices per second", hide: 2, ...flow("io", "read_bytes_per_second") },
  { name: "write", title: "Write/s", help: "bytes written to block devices per second", hide: 2, ...flow("io", "write_bytes_per_second") },
  { name: "cpuwait", title: "CPU wait", help: "share of time in which a task waited for a CPU (PSI)", hide: 1, ...waited("cpu") },
  { name: "memwait", title: "Mem wait", help: "share of time in which a task waited for memory (PSI)", hide: 3, ...waited("memory") },
  { name: "iowait", title: "I/O wait", help: "share of time in which a task waited for block devices (PSI)", hide: 3, ...waited("io") },
  { name: "age", title: "Age", help: "time since its first process started", hide: 3, ascending: true,
    sort: (one) => one.started_at,
    cell: (one, scene) => ({ text: duration(one.started_at === null ? null : Math.max(scene.now - one.started_at, 0)), meaning: "" }),
    exact: (one) => (one.started_at === null ? "unknown" : `since ${new Date(one.started_at * 1000).toLocaleString()}`) },
  { name: "findings", title: "Findings", help: "what a person should know, the worst first", kind: "findings", left: true,
    sort: rating,
    cell: ({ findings }) => {
      const most = worst(findings);
      if (!most) return { text: "", meaning: "" };
      const more = findings.length > 1 ? ` +${findings.length - 1}` : "";
      return { text: `${MARKS[most.severity] ?? ""} ${safe(most.code)}${more}`, meaning: MEANING_OF_SEVERITY[most.severity] ?? "" };
    },
    exact: ({ findings }) => findings.map((one) => `${one.severity}: ${safe(one.text)}`).join("\n") || "none" },
];
