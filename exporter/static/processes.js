// The processes of one container, the busiest first; a command line is its process's own text, so it may say anything.
import { el } from "./dom.js";
import { byteSize, cores, count, safe, some } from "./format.js";

const LONGEST = 300; // characters of a command line

const titles = ["PID", "Inside", "CPU", "Memory", "Threads", "Command"];

/** A table of the container's processes; those of a container that has just been turned to come with the next document. */
export function processes({ processes: all, members }) {
  if (!all) return [el("p", { class: "dim" }, "They come with the next update.")];
  if (!all.length) return [el("p", { class: "dim" }, "None that can be read.")];
  const sorted = [...all].sort((a, b) => b.cpu_cores - a.cpu_cores || b.rss_bytes - a.rss_bytes || a.pid - b.pid);
  const table = el("table", { class: "processes" },
    el("thead", {}, el("tr", {}, ...titles.map((title) => el("th", { scope: "col" }, title)))),
    el("tbody", {}, ...sorted.map(row)));
  return [
    el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Processes" }, table),
    all.length < members ? el("p", { class: "dim" }, `The first ${some(all.length, "process", "processes")} of ${members}.`) : "",
  ];
}

function row(one) {
  const command = one.cmdline || `[${one.comm}]`;
  const shown = command.length > LONGEST ? `${command.slice(0, LONGEST)}…` : command;
  return el("tr", {},
    el("td", {}, String(one.pid)), el("td", {}, count(one.inner_pid)), el("td", {}, cores(one.cpu_cores)),
    el("td", {}, byteSize(one.rss_bytes)), el("td", {}, count(one.threads)),
    el("td", { class: "command" }, safe(shown)));
}
