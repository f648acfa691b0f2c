/** How long the page takes to react, as `performance` measures that tests can read. */

/** As many measures of a kind are kept at most. */
const KEPT = 100;
/** @type {Record<string, number>} how many there are */
const kept = {};
/** @type {number | null} */
let clicked = null;

/** @param {Event} event what the user did to start a search */
export function searchBegins(event) {
  clicked = event.timeStamp;
}

/** The first hits are there. */
export function hitsAreShown() {
  if (clicked === null) return;
  measure("click-to-results", clicked);
  clicked = null;
}

/** @param {Event} event the pointer's move whose outline is drawn now */
export function outlineIsDrawn(event) {
  measure("hover-to-outline", event.timeStamp);
}

function measure(name, start) {
  if (kept[name] === KEPT) {
    performance.clearMeasures(name);
    kept[name] = 0;
  }
  kept[name] = (kept[name] ?? 0) + 1;
  performance.measure(name, { start, end: performance.now() });
}
