// The lines above the table: the machine (inside a container its own totals beside what /proc claims), and what limits our sight.
import { SEVERITY } from "./columns.js";
import { Bar, byId, el, fill, setText } from "./dom.js";
import { byteSize, cores, duration, percent, safe, some, someCores } from "./format.js";

class Meter {
  constructor(label) {
    this.value = el("strong");
    this.note = el("span", { class: "note" });
    this.bar = new Bar();
    this.node = el("div", { class: "meter" }, el("span", { class: "label" }, label), this.value, this.note, this.bar.node);
  }

  show(value, note, ratio) {
    setText(this.value, value);
    setText(this.note, note);
    this.bar.set(ratio, 0, ratio >= 0.9 ? "bad" : ratio >= 0.75 ? "warn" : "");
  }
}

/** The container that we run in, when it is listed. */
const own = (made) => made.containers.find((one) => one.id === made.viewpoint.self) ?? null;

export class Summary {
  constructor(showFindings) {
    this.cpu = new Meter("CPU");
    this.memory = new Meter("Memory");
    this.counts = el("strong");
    this.others = el("span", { class: "note" });
    this.found = el("button", { type: "button", class: "found", title: "Show only containers with findings" });
    this.found.addEventListener("click", showFindings);
    byId("meters").append(this.cpu.node, this.memory.node,
      el("div", { class: "meter plain" }, el("span", { class: "label" }, "Containers"), this.counts, this.others),
      el("div", { class: "meter plain" }, el("span", { class: "label" }, "Findings"), this.found));
  }

  update(made) {
    const { host } = made;
    setText(byId("host"), safe(host.hostname));
    const up = host.boot_time === null ? "" : ` · up ${duration(made.taken_at - host.boot_time)}`;
    const load = host.load.length ? ` · load ${host.load.map((one) => one.toFixed(2)).join(" ")}` : "";
    setText(byId("machine"), `Linux ${safe(host.kernel)}${load}${up}`);
    if (made.viewpoint.inside_container) this.#inside(made);
    else this.#outside(host);
    this.#counts(made);
    this.#notices(made);
  }

  #outside(host) {
    // The kernel counts in hundredths of a second: over a short interval that may come to more than there is.
    const busy = host.usage_cores === null ? null : Math.min(host.usage_cores, host.cpus);
    const share = busy === null ? null : busy / Math.max(host.cpus, 1);
    this.cpu.show(percent(share), `${cores(busy)} of ${some(host.cpus, "core")}`, share);
    const used = host.memory_used_bytes === null ? null : host.memory_used_bytes / host.memory_bytes;
    const swap = host.swap_bytes ? ` · swap ${byteSize(host.swap_bytes)}` : "";
    this.memory.show(percent(used), `${byteSize(host.memory_used_bytes)} of ${byteSize(host.memory_bytes)}${swap}`, used);
  }

  #inside(made) {
    const { host } = made;
    const one = own(made);
    const most = one?.cpu.limit_cores ?? null;
    const limit = most === null ? "no limit seen" : `of ${someCores(most)}`;
    this.cpu.show(cores(one?.cpu.usage_cores), `${limit} · /proc claims ${host.cpus}`, one?.cpu.limit_ratio);
    const room = one?.memory.limit_bytes ?? null;
    const used = one?.memory.working_set_bytes ?? one?.memory.anon_bytes;
    this.memory.show(byteSize(used), `${room === null ? "no limit seen" : `of ${byteSize(room)}`} · /proc claims ${byteSize(host.memory_bytes)}`,
      one?.memory.limit_ratio);
  }

  #counts(made) {
    const containers = made.containers.filter((one) => one.kind === "container");
    const of = (state) => containers.filter((one) => one.state === state).length;
    setText(this.counts, String(containers.length));
    const odd = ["paused", "hollow"].map((state) => [of(state), state]).filter(([number]) => number);
    setText(this.others, odd.map(([number, state]) => `${number} ${state}`).join(" · "));
    setText(byId("every"), `Services and groups: ${made.containers.length - containers.length}`);
    const severities = made.containers.flatMap((one) => one.findings.map((finding) => finding.severity));
    const number = (severity) => severities.filter((one) => one === severity).length;
    const text = Object.keys(SEVERITY).filter(number).map((severity) => severity === "warning" ? some(number(severity), severity) : `${number(severity)} ${severity}`).join(" · ");
    setText(this.found, text || "none");
    this.found.className = `found ${number("critical") ? "bad" : number("warning") ? "warn" : "dim"}`;
    this.found.disabled = !text;
  }

  #notices(made) {
    const notices = [];
    if (made.viewpoint.inside_container) {
      notices.push(own(made) ? "seen from inside a container: other containers of this machine are out of sight"
        : "seen from inside a container, which is not listed here");
    }
    if (made.viewpoint.hidden_ancestors) notices.push("limits of cgroups above are hidden from here: unknown, not unlimited");
    const files = made.denied_files || 0;
    const denied = (what, capability, hint) => notices.push(`${what}: access denied${made.lacks.includes(capability) ? ` (${capability} ${hint})` : ""}`);
    if (made.denied > files) denied(`${some(made.denied - files, "process", "processes")} hidden`, "CAP_SYS_PTRACE", "lifts most of that");
    if (files) denied(`${some(files, "file")} not readable`, "CAP_DAC_READ_SEARCH", "lifts that");
    if (made.problems.length) {
      const more = made.problems.length > 1 ? ` (and ${made.problems.length - 1} more)` : "";
      notices.push(`problem: ${safe(made.problems[0])}${more}`);
    }
    const key = notices.join("\n");
    if (key === this.notices) return;
    this.notices = key;
    fill(byId("notices"), ...notices.map((text) => el("li", {}, text)));
  }
}
