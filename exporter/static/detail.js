// The page of one container: its findings, its last minutes in charts, and the panels (panels.js).
import { Charts } from "./charts.js";
import { MARKS, MEANING_OF_SEVERITY, SEVERITY } from "./columns.js";
import { el, fill, setText } from "./dom.js";
import { duration, safe, some } from "./format.js";
import { panels } from "./panels.js";

const LONG_ID = /^[0-9a-f]{64}$/; // a runtime's, of which the first 12 digits are enough; another is a path or a number

export class Detail {
  constructor(main, history) {
    this.main = main;
    this.history = history;
    this.id = null;
  }

  /** Turn to a container, of which the list may know the name; all else comes with the next documents. */
  open(id, name) {
    this.close();
    this.id = id;
    this.history.pinned = id;
    this.heading = el("h1", { tabindex: "-1" }, name === undefined ? "…" : safe(name));
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
    this.#panels(detail, made.lacks);
  }

  #line(one, now) {
    const parts = [
      [one.runtime, one.kind].filter(Boolean).map(safe).join(" "),
      one.image ? `image ${safe(one.image)}` : null,
      one.pod ? `pod ${safe(one.pod)}` : null,
      one.pid === null ? null : `pid ${one.pid}`,
      some(one.members, "process", "processes"),
      one.started_at === null ? null : `up ${duration(Math.max(now - one.started_at, 0))}`,
      `id ${safe(LONG_ID.test(one.id) ? one.id.slice(0, 12) : one.id)}`,
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

  /** The panels are few and small: they are made anew, but put in only where what they say has changed. */
  #panels(detail, lacks) {
    const made = panels(detail, lacks);
    if (!this.shown) {
      this.shown = made;
      const [use, limits, running, namespaces, root, about] = made.values();
      fill(this.panels, el("div", { class: "wide" }, limits, running), el("div", {}, use, root), el("div", {}, namespaces, about));
      return;
    }
    const selection = document.getSelection();
    for (const [name, node] of made) {
      const old = this.shown.get(name);
      for (const [index, part] of old.querySelectorAll("details").entries()) {
        node.querySelectorAll("details")[index]?.toggleAttribute("open", part.open);
      }
      const marked = !selection.isCollapsed && old.contains(selection.anchorNode); // somebody is about to copy it
      if (marked || old.isEqualNode(node)) continue;
      old.replaceWith(node);
      this.shown.set(name, node);
    }
  }
}
