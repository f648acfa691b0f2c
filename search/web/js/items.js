/** What the grid's cells show, and where among them something is. */

import { named } from "./words.js";

/** Colours of a scene's things, told apart by people who do not see all colours too. */
export const COLOURS = [
  "#ffc845", "#4cc9f0", "#ff7aa8", "#7ae582", "#c9a2ff", "#ff9b54", "#eeeeee", "#59e0c5",
]; // prettier-ignore
/** The colour of what was found, where it is one thing. */
export const WHITE = "#ffffff";

/**
 * @typedef {import("./types.js").Item} Item
 * @typedef {import("./types.js").Segment} Segment
 */

/** @param {number} i number of a thing, or of something picked */
export function colour(i) {
  return COLOURS[i % COLOURS.length];
}

/**
 * What an item shows: its segments, each with its colour and name.
 *
 * @param {Item} item
 * @returns {{segment: Segment, colour: string, name: string}[]}
 */
export function shownSegments({ hit, scene }) {
  if (!scene)
    return hit?.segment ? [{ segment: hit.segment, colour: WHITE, name: named(hit.segment) }] : [];
  return Object.entries(scene.things).flatMap(([name, hits], i) =>
    hits.flatMap(({ segment }) => (segment ? [{ segment, colour: colour(i), name }] : [])),
  );
}

/**
 * Where a picture, and if there is such a hit, a segment is among items.
 *
 * @param {Item[]} items
 * @param {string} imageId
 * @param {string | null | undefined} segmentId
 * @returns {number} -1 if it is in none
 */
export function positionOf(items, imageId, segmentId) {
  const isIt = ({ image, hit }) => image.id === imageId && hit?.segment?.id === segmentId;
  const exact = items.findIndex(isIt);
  return exact >= 0 ? exact : items.findIndex(({ image }) => image.id === imageId);
}

/**
 * The hit that a segment is, with its scores.
 *
 * @param {Item[]} items
 * @param {Segment} segment
 * @returns {import("./types.js").Hit | null}
 */
export function hitOf(items, { id }) {
  for (const { hit, scene } of items) {
    const hits = scene ? Object.values(scene.things).flat() : [hit];
    const found = hits.find((one) => one?.segment?.id === id);
    if (found) return found;
  }
  return null;
}
