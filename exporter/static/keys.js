// The keys: ctop's, where a page can have them (inspector/ctop/keys.py). One table, for the keyboard and for the help.
import { el } from "./dom.js";

const KEYS = [
  [["ArrowDown", "j"], "↓ j", "next container", (act) => act.move(1)],
  [["ArrowUp", "k"], "↑ k", "previous container", (act) => act.move(-1)],
  [["PageDown"], "PgDn", "ten containers down", (act) => act.move(10)],
  [["PageUp"], "PgUp", "ten containers up", (act) => act.move(-10)],
  [["Home", "g"], "Home g", "first container", (act) => act.move(-1e6)],
  [["End", "G"], "End G", "last container", (act) => act.move(1e6)],
  [[], "Enter", "the container in focus in detail"],
  [["Escape"], "Esc", "back to the list; in the list: clear the filter", (act) => act.back()],
  [["/", "f"], "/ f", "filter: web, runtime:docker, label:team=a, finding:throttled, a|b, /regex/", (act) => act.filter()],
  [["a"], "a", "also services and control groups, or containers alone", (act) => act.every()],
  [["0"], "0", "CPU % of one core, of the limit, of the host", (act) => act.cpu()],
  [["P"], "P", "sort by CPU", (act) => act.sort("cpu")],
  [["M"], "M", "sort by memory", (act) => act.sort("mem")],
  [["N"], "N", "sort by name", (act) => act.sort("name")],
  [["s"], "s", "sort by the next column", (act) => act.next()],
  [["r", "I"], "r", "reverse the order", (act) => act.reverse()],
  [["Z"], "Z", "hold the picture still, or go on", (act) => act.pause()],
  [["?", "h"], "? h", "this help", (act) => act.help()],
];
const BY_KEY = new Map(KEYS.flatMap(([names, , , act]) => names.map((name) => [name, act])));

/** Bind the keys to the page's actions and list them. */
export function keys(actions, help) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented) return;
    if (event.target.closest("dialog")) return;
    const typing = event.target.closest("input, select, textarea");
    if (typing) {
      // Esc and the way down lead out of the filter.
      if (typing.id !== "filter" || !["Escape", "ArrowDown", "Enter"].includes(event.key)) return;
      event.preventDefault();
      if (event.key === "Escape" && typing.value) actions.back();
      else if (event.key === "Escape") typing.blur();
      else actions.move(1);
      return;
    }
    const scrolls = event.target.closest(".scroll") && event.key.startsWith("Arrow");
    const act = BY_KEY.get(event.key);
    if (!act || scrolls) return;
    if (act(actions) !== false) event.preventDefault();
  });
  help.append(...KEYS.flatMap(([, shown, text]) => [el("dt", {}, el("kbd", {}, shown)), el("dd", {}, text)]));
}
