// Which containers are shown and in what order: ctop's rules (inspector/views/selection.py).

const KEYS = {
  name: (container) => container.name,
  id: (container) => container.id,
  image: (container) => container.image,
  runtime: (container) => container.runtime || "",
  kind: (container) => container.kind,
  state: (container) => container.state,
  pod: (container) => container.pod || "",
  label: (container) => Object.entries(container.labels ?? {}).map(([key, value]) => `${key}=${value}`).join("\n"),
  finding: (container) => container.findings.map((finding) => `${finding.code} ${finding.severity}`).join("\n"),
};
const ANYWHERE = ["name", "id", "image", "runtime"];

/**
 * A filter: every word must match, each in upper or lower case. `runtime:docker` asks for one field, `a|b` for either
 * (a key holds for what follows it: `runtime:docker|podman`),
 * `/^web-\d+$/` for a pattern; a word with an unknown key (`nginx:1.25`) is an ordinary one.
 */
export function parseFilter(text) {
  const tests = text.split(/\s+/).filter(Boolean).map(parseWord);
  return (container) => tests.every((test) => test(container));
}

/** Whether a filter looks at labels, which come only when they are asked for. */
export const asksForLabels = (text) => /(^|[\s|])label:\S/i.test(text);

const isPattern = (text) => text.length > 2 && text.startsWith("/") && text.endsWith("/");

/** Where to look for what: KEY:TEXT says so itself, else where `keys` say. */
function keyed(text, keys) {
  const colon = text.indexOf(":");
  const key = text.slice(0, Math.max(colon, 0)).toLowerCase();
  const rest = text.slice(colon + 1);
  return Object.hasOwn(KEYS, key) && rest ? [[key], rest] : [keys, text];
}

function sought([keys, text]) {
  const matches = matcher(text);
  return (container) => keys.some((key) => matches(KEYS[key](container)));
}

function parseWord(word) {
  const whole = keyed(word, ANYWHERE);
  if (isPattern(whole[1])) return sought(whole);
  let keys = ANYWHERE;
  const tests = word.split("|").filter(Boolean).map((part) => {
    const [own, text] = keyed(part, keys);
    keys = own;
    return sought([own, text]);
  });
  return (container) => tests.some((test) => test(container));
}

function matcher(text) {
  if (isPattern(text)) {
    try {
      const pattern = new RegExp(text.slice(1, -1), "iu");
      return (value) => pattern.test(value);
    } catch {
      return () => false; // half typed
    }
  }
  const part = text.toLowerCase();
  return (value) => value.toLowerCase().includes(part);
}

const byName = (a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : a.id < b.id ? -1 : 1);

/** The containers to show: numbers from the largest, texts from A, unknown values last; equal ones by name. */
export function select(containers, { matches, every, column, reverse, scene }) {
  const shown = containers.filter((one) => (every || one.kind === "container") && matches(one));
  const keyed = shown.map((one) => [column.sort(one, scene), one]);
  const rank = (key) => (key === null || key === undefined || key === "" ? 2 : typeof key === "string" ? 1 : 0);
  const direction = reverse ? -1 : 1;
  keyed.sort(([a, one], [b, other]) => {
    const ranks = rank(a) - rank(b);
    if (ranks) return ranks;
    const order = rank(a) === 2 ? 0 : rank(a) === 1 ? direction * a.toLowerCase().localeCompare(b.toLowerCase())
      : direction * (column.ascending ? a - b : b - a);
    return order || byName(one, other);
  });
  return keyed.map(([, one]) => one);
}
