/** What can be done with an object or a picture, wherever it is shown. */

import { clearPicks, picks, togglePick } from "./picks.js";
import { forImages, isAsking, isScene } from "./query.js";
import { go, query } from "./store.js";
import { searchBegins } from "./timing.js";
import { toast } from "./toast.js";

/** @typedef {import("./types.js").Example} Example */

const CLOSED = { open: null, segment: null, page: /** @type {""} */ ("") };
const NEAR_KM = 10;
const NOTHING = { text: "", like: [], not: [], things: [] };

/**
 * Find everything that looks like an object.
 *
 * @param {Example} example
 * @param {Event} event what asked for it
 */
export function findSimilar(example, event) {
  searchBegins(event);
  const { by, ...look } = query().look;
  go({ ...NOTHING, ...CLOSED, like: [example], look });
}

/**
 * Find pictures that look like a picture.
 *
 * @param {Example} example
 * @param {Event} event
 */
export function findSimilarPictures(example, event) {
  searchBegins(event);
  const { filters } = forImages(query());
  go({ ...NOTHING, ...CLOSED, like: [example], filters, look: { by: "image" } });
}

/**
 * Show the pictures that were taken near a place.
 *
 * @param {[number, number]} gps
 */
export function findNear([latitude, longitude]) {
  const near = [latitude.toFixed(5), longitude.toFixed(5), NEAR_KM].join(",");
  go({ ...NOTHING, ...CLOSED, filters: { near }, look: {} });
}

/**
 * Look on for the same, but not for this.
 *
 * @param {Example} example
 * @param {Event} event
 */
export function notThis(example, event) {
  const now = query();
  if (!isAsking(now)) toast("Look for something first; then say what it should not be like.");
  else if (isScene(now)) toast("A search for several things has no “not this”.");
  else {
    searchBegins(event);
    go({ ...CLOSED, not: [...now.not, example] });
  }
}

/** @param {Example} example picked for a scene, or let go of */
export function pick(example) {
  if (!togglePick(example)) toast("A scene has eight things at most.");
}

/**
 * Find pictures with everything that was picked.
 *
 * @param {Event} event
 */
export function searchPicks(event) {
  searchBegins(event);
  const { by, per_image, diversity, ...look } = query().look;
  const things = picks();
  clearPicks();
  go({ ...NOTHING, ...CLOSED, things, look });
}
