/** Objects that were picked for a scene, in one picture or several. */

import { writeExample } from "./query.js";

/** @typedef {import("./types.js").Example} Example */

/** As many things as a scene may have. */
const MOST = 8;
/** @type {Example[]} */
let picked = [];
/** @type {Set<() => void>} */
const listeners = new Set();

/** @returns {Example[]} */
export function picks() {
  return picked;
}

/** @param {() => void} listener */
export function onPicks(listener) {
  listeners.add(listener);
}

/** @param {Example} example its number among the picks, -1 if it is none */
export function pickNumber(example) {
  const wanted = writeExample(example);
  return picked.findIndex((each) => writeExample(each) === wanted);
}

/**
 * Pick an object, or let go of it.
 *
 * @param {Example} example
 * @returns {boolean} false if there are too many already
 */
export function togglePick(example) {
  const number = pickNumber(example);
  if (number < 0 && picked.length === MOST) return false;
  change(number < 0 ? [...picked, example] : picked.filter((_, i) => i !== number));
  return true;
}

export function clearPicks() {
  change([]);
}

function change(now) {
  picked = now;
  for (const listener of listeners) listener();
}
