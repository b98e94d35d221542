// Figures and hostile text as ctop writes them (inspector/views/text.py). Unknown is always "-", never 0.

export const UNKNOWN = "-";
const BYTE_UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
// What Python's str.isprintable() refuses: controls, formats, surrogates, unassigned, separators but the space.
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/gu;

const known = (value) => typeof value === "number" && Number.isFinite(value);

/** Text that cannot hide, reverse or fake anything: what does not print becomes \xNN, \uNNNN or \UNNNNNNNN. */
export function safe(text) {
  return text.replace(UNPRINTABLE, (character) => {
    let code = character.codePointAt(0);
    if (code >= 0xdc80 && code < 0xdd00) code -= 0xdc00; // an undecodable byte
    const hex = (digits) => code.toString(16).padStart(digits, "0");
    return code < 0x100 ? `\\x${hex(2)}` : code < 0x10000 ? `\\u${hex(4)}` : `\\U${hex(8)}`;
  });
}

function threeDigits(value) {
  if (Number.isInteger(value)) return String(value);
  return value.toFixed(value < 9.995 ? 2 : value < 99.95 ? 1 : 0);
}

/** Bytes in binary units: 512B, 12.3MiB. */
export function byteSize(value) {
  if (!known(value)) return UNKNOWN;
  let unit = 0;
  while (Math.round(value) >= 1024 && unit < BYTE_UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return threeDigits(unit === 0 ? Math.round(value) : value) + BYTE_UNITS[unit];
}

/** Bytes per second: 12.3KiB/s. */
export const rate = (value) => (known(value) ? `${byteSize(value)}/s` : UNKNOWN);

/** A ratio in percent: 0.2 is 20.0%. */
export function percent(ratio) {
  if (!known(ratio)) return UNKNOWN;
  const value = ratio * 100;
  return value >= 999.95 ? `${value.toFixed(0)}%` : `${value.toFixed(1)}%`;
}

/** CPUs: 0.20, 1.50, 12.5. */
export function cores(value) {
  if (!known(value)) return UNKNOWN;
  return value > 0 && value < 0.0995 ? value.toFixed(3) : threeDigits(value);
}

/** "1 core", "0.20 cores". */
export function someCores(value) {
  const shown = cores(value);
  return `${shown} ${shown === "1" ? "core" : "cores"}`;
}

/** A length of time in its two largest units: 250ms, 45s, 12m30s, 3d04h. */
export function duration(seconds) {
  if (!known(seconds) || seconds < 0) return UNKNOWN;
  if (seconds < 1) return seconds ? `${(seconds * 1000).toFixed(0)}ms` : "0s";
  if (seconds < 60) return `${threeDigits(Math.min(seconds, 59.9))}s`;
  const two = (value) => String(value).padStart(2, "0");
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  const days = Math.floor(hours / 24);
  if (days) return `${days}d${two(hours % 24)}h`;
  return hours ? `${hours}h${two(minutes % 60)}m` : `${minutes}m${two(Math.floor(seconds) % 60)}s`;
}

/** A whole number. */
export const count = (value) => (known(value) ? value.toFixed(0) : UNKNOWN);

/** Every digit there is, for a tooltip. */
export const exact = (value, unit) => (known(value) ? `${value.toLocaleString("en", { maximumFractionDigits: 6 })} ${unit}` : "unknown");

/** "1 process", "2 processes". */
export const some = (number, one, many = `${one}s`) => `${number} ${number === 1 ? one : many}`;
