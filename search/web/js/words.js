/** Numbers, sizes, times and names as people read them. */

const BYTES = ["B", "kB", "MB", "GB", "TB"];
const MINUTE = 60;
const HOUR = 3600;

/**
 * @param {number} number
 * @param {string} one "picture"
 * @param {string} many "pictures"
 */
export function counted(number, one, many = `${one}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

/** @param {number} share 0 to 1 */
export function percent(share) {
  const value = 100 * share;
  const digits = value >= 9.95 ? 0 : value >= 0.095 ? 1 : 2;
  return `${value.toFixed(digits)} %`;
}

/** @param {number} bytes */
export function size(bytes) {
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < BYTES.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value.toFixed(value < 10 && unit ? 1 : 0)} ${BYTES[unit]}`;
}

/** @param {number} seconds */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < MINUTE) return `${whole} s`;
  if (whole < HOUR) return `${Math.floor(whole / MINUTE)} min ${whole % MINUTE} s`;
  return `${Math.floor(whole / HOUR)} h ${Math.floor((whole % HOUR) / MINUTE)} min`;
}

/** @param {string} path what comes after the last "/" */
export function fileName(path) {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** @param {string} time of a camera, which has no time zone: "2024-05-01T12:34:56" */
export function moment(time) {
  return time.slice(0, 16).replace("T", " ");
}

/** @param {[number, number]} gps */
export function coordinates([latitude, longitude]) {
  const part = (degrees, plus, minus) =>
    `${Math.abs(degrees).toFixed(4)}° ${degrees < 0 ? minus : plus}`;
  return `${part(latitude, "N", "S")}, ${part(longitude, "E", "W")}`;
}

/** @param {import("./types.js").Hit} hit its relevance, or its score where that cannot be told */
export function worth(hit) {
  return hit.relevance === null ? hit.score.toFixed(3) : hit.relevance.toFixed(1);
}

/** @param {import("./types.js").Segment} segment its label, or how large it is */
export function named(segment) {
  return segment.label ?? `object, ${percent(segment.area_fraction)}`;
}

/**
 * What the server says, as a sentence: it begins small where a command line would put it after a
 * colon.
 *
 * @param {string} text
 */
export function sentence(text) {
  const begun = /^\p{Ll}+\b(?![/.\w-])/u.test(text) ? text[0].toUpperCase() + text.slice(1) : text;
  return !begun || /[.!?…:]$/.test(begun) ? begun : `${begun}.`;
}
