/** How long the page takes to react, as `performance` measures that tests can read. */

/** @type {number | null} */
let clicked = null;

/** @param {Event} event what the user did to start a search */
export function searchBegins(event) {
  clicked = event.timeStamp;
}

/** The first hits are there. */
export function hitsAreShown() {
  if (clicked === null) return;
  performance.measure("click-to-results", { start: clicked, end: performance.now() });
  clicked = null;
}

/** @param {Event} event the pointer's move whose outline is drawn now */
export function outlineIsDrawn(event) {
  performance.measure("hover-to-outline", { start: event.timeStamp, end: performance.now() });
}
