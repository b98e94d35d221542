// The page: one document in, one picture out. Everything it shows is in the last document and in `prefs`.
import { COLUMNS, CPU_MODES } from "./columns.js";
import { Detail } from "./detail.js";
import { byId, el, fill, setText } from "./dom.js";
import { safe, some } from "./format.js";
import { History } from "./history.js";
import { keys } from "./keys.js";
import { asksForLabels, parseFilter, select } from "./selection.js";
import { Stream } from "./stream.js";
import { Summary } from "./summary.js";
import { Table } from "./table.js";

const HOLD_MS = 1500;
const prefs = { cpu: "core", sort: "cpu", reverse: false, every: false, interval: 1, theme: "", ...stored() };
const history_ = new History();
const list = byId("list");
const page = byId("detail");
const detail = new Detail(page, history_);
const table = new Table(byId("containers"), sortBy);
const summary = new Summary(() => setFilter("finding:/./"));
const stream = new Stream(take, connection);
const dark = matchMedia("(prefers-color-scheme: dark)");
let made = null;
let matches = parseFilter("");
let paused = false;
let wanted = false;
let held = 0; // until when: a mouse button is down, and what is under it must not change before the click
let left = null; // the container whose page was left: its row gets the focus back

function stored() {
  try {
    return JSON.parse(localStorage.getItem("cgscope")) ?? {};
  } catch {
    return {}; // no storage here, or not ours
  }
}

function prefer(changes) {
  Object.assign(prefs, changes);
  try {
    localStorage.setItem("cgscope", JSON.stringify(prefs));
  } catch {
    // it holds for this visit
  }
  draw();
}

function take(document_) {
  history_.add(document_);
  if (paused) return;
  made = document_;
  draw();
}

/** Say how the connection is; `since` goes on every second, which who hears the page is not told each time. */
function connection({ live, text, since }) {
  const status = byId("status");
  const [said, ticking] = status.firstElementChild.children;
  setText(said, text);
  setText(ticking, since);
  status.classList.toggle("off", !live);
  document.body.classList.toggle("stale", !live && made !== null);
}

/** Draw before the next frame, however many reasons there are to. */
function draw() {
  if (wanted) return;
  wanted = true;
  requestAnimationFrame(() => {
    wanted = false;
    if (performance.now() >= held) drawNow();
  });
}

function drawNow() {
  setText(byId("cpu").lastElementChild, CPU_MODES[prefs.cpu]);
  byId("every").setAttribute("aria-pressed", prefs.every);
  byId("sort").value = prefs.sort;
  if (!made) return;
  performance.mark("update");
  summary.update(made);
  if (detail.id !== null) detail.update(made);
  else drawList();
  const shown = [detail.id !== null && detail.heading.textContent, safe(made.host.hostname), "cgscope"];
  document.title = shown.filter(Boolean).join(" · ");
  performance.measure("update", "update");
}

function drawList() {
  const { host } = made;
  const scene = { cpu: prefs.cpu, cpus: host.cpus, now: made.taken_at, history: history_ };
  const column = COLUMNS.find((one) => one.name === prefs.sort) ?? COLUMNS[3];
  const shown = select(made.containers, { matches, every: prefs.every, column, reverse: prefs.reverse, scene });
  table.update(shown, scene, column.name, prefs.reverse);
  setText(byId("shown"), `${shown.length} of ${made.containers.length}`);
  if (left !== null) {
    if (!table.focus(left)) table.move(1); // it is gone: the first row
    document.activeElement.scrollIntoView?.({ block: "nearest" });
    left = null;
  }
  drawEmpty(shown.length);
}

function drawEmpty(shown) {
  const empty = byId("empty");
  byId("containers").hidden = !shown;
  empty.hidden = Boolean(shown);
  if (shown) return;
  const others = made.containers.filter((one) => one.kind !== "container").length;
  const filtered = byId("filter").value.trim() !== "";
  const [text, button] = filtered ? ["No container matches the filter.", "Clear the filter"]
    : others && !prefs.every ? [`No containers on this machine now; ${some(others, "service or control group", "services and control groups")}.`, "Show them"]
      : ["No containers on this machine now. They appear here as they start.", ""];
  setText(empty.firstElementChild, text);
  setText(empty.lastElementChild, button);
  empty.lastElementChild.hidden = !button;
}

function sortBy(name) {
  prefer({ sort: name, reverse: name === prefs.sort ? !prefs.reverse : false });
}

function nextCpu() {
  const modes = Object.keys(CPU_MODES);
  prefer({ cpu: modes[(modes.indexOf(prefs.cpu) + 1) % modes.length] });
}

function setFilter(text) {
  byId("filter").value = text;
  matches = parseFilter(text);
  if (asksForLabels(text) && !stream.labels) {
    stream.labels = true; // from now on: who has asked once asks again
    stream.open();
  }
  draw();
}

function pause() {
  paused = !paused;
  byId("pause").setAttribute("aria-pressed", paused);
  setText(byId("pause"), paused ? "Go on" : "Pause");
  document.body.classList.toggle("paused", paused);
}

/** A part of an address as text; as it is where it is none: typed by hand, cut off. */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** #/container/ID is one container, anything else the list. */
function turn() {
  const match = /^#\/container\/(.+)$/.exec(location.hash);
  const id = match ? decoded(match[1]) : null;
  if (id === detail.id) return;
  if (paused) pause();
  left = id === null ? detail.id : null;
  list.hidden = id !== null;
  page.hidden = id === null;
  if (id === null) detail.close();
  else detail.open(id, made?.containers.find((one) => one.id === id)?.name);
  stream.detail = id;
  stream.open();
  window.scrollTo(0, 0);
  draw();
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme || (dark.matches ? "dark" : "light");
  setText(byId("theme"), document.documentElement.dataset.theme === "dark" ? "Light" : "Dark");
  detail.recolour();
}

const actions = {
  filter: () => byId("filter").focus(),
  every: () => prefer({ every: !prefs.every }),
  cpu: nextCpu,
  sort: (name) => prefer({ sort: name, reverse: false }),
  reverse: () => prefer({ reverse: !prefs.reverse }),
  next: () => {
    const at = COLUMNS.findIndex((one) => one.name === prefs.sort);
    prefer({ sort: COLUMNS[(at + 1) % COLUMNS.length].name, reverse: false });
  },
  pause,
  move: (step) => detail.id === null && table.move(step),
  back: () => {
    if (detail.id !== null) location.hash = "#/";
    else setFilter("");
  },
  help: () => byId("help").showModal(),
};

function start() {
  for (const column of COLUMNS) byId("sort").append(el("option", { value: column.name }, column.title));
  byId("sort").addEventListener("change", (event) => prefer({ sort: event.target.value, reverse: false }));
  byId("filter").addEventListener("input", (event) => setFilter(event.target.value));
  byId("cpu").addEventListener("click", nextCpu);
  byId("every").addEventListener("click", actions.every);
  byId("pause").addEventListener("click", pause);
  byId("help-open").addEventListener("click", actions.help);
  byId("empty").lastElementChild.addEventListener("click", () => (byId("filter").value.trim() ? setFilter("") : actions.every()));
  byId("interval").value = prefs.interval;
  byId("interval").addEventListener("change", (event) => {
    stream.interval = Number(event.target.value);
    prefer({ interval: stream.interval });
    stream.open();
  });
  byId("theme").addEventListener("click", () => {
    prefer({ theme: document.documentElement.dataset.theme === "dark" ? "light" : "dark" });
    setTheme(prefs.theme);
  });
  dark.addEventListener("change", () => setTheme(prefs.theme));
  byId("skip").addEventListener("click", (event) => {
    event.preventDefault();
    if (detail.id === null) table.move(1);
    else detail.heading.focus();
  });
  document.addEventListener("pointerdown", () => (held = performance.now() + HOLD_MS));
  for (const end of ["pointerup", "pointercancel"]) {
    document.addEventListener(end, () => setTimeout(() => {
      held = 0;
      draw();
    }));
  }
  keys(actions, byId("keys"));
  fill(byId("figures"), ...COLUMNS.flatMap((one) => [el("dt", {}, one.title), el("dd", {}, one.help)]));
  window.addEventListener("hashchange", turn);
  stream.interval = prefs.interval;
  setTheme(prefs.theme);
  turn();
  if (detail.id === null) stream.open();
}

start();
