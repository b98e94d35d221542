// The only way this page makes elements. Text is always a text node: nothing a container says is ever parsed.

/** An element with attributes (null leaves one out) and children; a string becomes a text node. */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

/** The element of that id. */
export const byId = (id) => document.getElementById(id);

/** Set an element's only text where it differs; its text node stays, a new one each second would be garbage. */
export function setText(node, text) {
  const old = node.firstChild;
  if (!old) node.textContent = text;
  else if (old.data !== text) old.data = text;
}

/** Replace an element's children. */
export const fill = (node, ...children) => node.replaceChildren(...children.filter((child) => child !== null));

/** A bar that shows shares of a whole; set(0.5, 0.2) fills half, and marks a fifth more strongly; set(null) hides it. */
export class Bar {
  constructor() {
    this.outer = el("i", {});
    this.inner = el("b", {});
    this.node = el("span", { class: "bar", "aria-hidden": "true" }, this.outer, this.inner);
    this.shown = [0, 0];
    this.meaning = "";
  }

  set(ratio, part = 0, meaning = "") {
    if (ratio === null) meaning = "none";
    [ratio, part].forEach((value, index) => {
      const share = Math.round(Math.min(Math.max(value || 0, 0), 1) * 200) / 200;
      if (share !== this.shown[index]) {
        this.shown[index] = share;
        (index ? this.inner : this.outer).style.transform = `scaleX(${share})`;
      }
    });
    if (meaning !== this.meaning) {
      this.meaning = meaning;
      this.node.className = `bar ${meaning}`;
    }
  }
}

const SVG = "http://www.w3.org/2000/svg";
const WIDE = 40, HIGH = 10;

/** A line of the last values, the newest at the right; as high as its highest value, which is at least `least`. */
export class Spark {
  constructor() {
    this.path = document.createElementNS(SVG, "path");
    this.node = document.createElementNS(SVG, "svg");
    for (const [name, value] of [["class", "spark"], ["aria-hidden", "true"], ["viewBox", `0 0 ${WIDE} ${HIGH}`], ["preserveAspectRatio", "none"]]) {
      this.node.setAttribute(name, value);
    }
    this.node.append(this.path);
    this.shown = "";
  }

  set(values, least) {
    const top = values.reduce((most, value) => (value > most ? value : most), least);
    let pen = "M";
    let shown = "";
    values.forEach((value, index) => {
      if (Number.isNaN(value)) {
        pen = "M";
      } else {
        shown += `${pen}${WIDE - values.length + 1 + index} ${(HIGH - (value / top) * HIGH).toFixed(1)}`;
        pen = "L";
      }
    });
    if (shown !== this.shown) this.path.setAttribute("d", (this.shown = shown));
  }
}

/** How many values a line shows. */
Spark.VALUES = WIDE;
