/** A short word at the bottom of the page that goes away by itself. */

import { byId, topDialog } from "./dom.js";
import { sentence } from "./words.js";

const SHOWN_MS = 5000;
let timer = 0;

/** @param {string} text */
export function toast(text) {
  const element = byId("toast");
  // in the top layer, an open dialog would hide it
  const host = topDialog() ?? document.body;
  if (element.parentElement !== host) host.append(element);
  element.textContent = text;
  element.hidden = false;
  clearTimeout(timer);
  timer = setTimeout(() => {
    element.hidden = true;
  }, SHOWN_MS);
}

/** @param {unknown} error a failure of something that is not worth more */
export function toastError(error) {
  const { message, hint } = /** @type {any} */ (error);
  toast([message, hint].filter(Boolean).map(sentence).join(" "));
}
