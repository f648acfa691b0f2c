/** The query that is shown, kept in the address bar: reload, back and forward restore it. */

import { fromUrl, toUrl } from "./query.js";

/** @typedef {import("./query.js").Query} Query */

/** @type {Set<(query: Query) => void>} */
const listeners = new Set();
/** @type {Query} */
let current = fromUrl(location.search);

/** @returns {Query} */
export function query() {
  return current;
}

/** @param {(query: Query) => void} listener called after every change */
export function onQuery(listener) {
  listeners.add(listener);
}

/**
 * Change the query.
 *
 * @param {Partial<Query>} change
 * @param {{replace?: boolean}} how replace the entry of the history, instead of adding one
 */
export function go(change, { replace = false } = {}) {
  current = { ...current, ...change };
  const url = location.pathname + toUrl(current);
  const state = { opened: replace ? history.state?.opened : Boolean(change.open) };
  if (replace || url === location.pathname + location.search) history.replaceState(state, "", url);
  else history.pushState(state, "", url);
  tell();
}

/** @param {string} search an address's part after the path, to go to */
export function visit(search) {
  go(fromUrl(search));
}

/** Close the picture that is open: back to where it was opened, if that was here. */
export function closePicture() {
  if (history.state?.opened) history.back();
  else go({ open: null, segment: null }, { replace: true });
}

/** Follow back and forward, and tell the first query. */
export function start() {
  history.scrollRestoration = "manual"; // hits come later than the browser would scroll
  addEventListener("popstate", () => {
    current = fromUrl(location.search);
    tell();
  });
  tell();
}

function tell() {
  for (const listener of listeners) listener(current);
}
