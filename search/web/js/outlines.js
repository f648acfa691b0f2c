/** What is outlined in the open picture: what was found, picked, pointed at. */

import { colour, WHITE } from "./items.js";
import { picks } from "./picks.js";
import { decode } from "./rle.js";

const HOVER = "#4ff0d8";
const THIN = 1.5;
const BOLD = 2.5;
/** Of an idle moment, so much is left over. */
const IDLE_MS = 5;
const whenIdle = window.requestIdleCallback ?? (() => {}); // Safari traces when it has to

/**
 * @typedef {import("./viewer.js").Viewer} Viewer
 * @typedef {import("./stage.js").Outline} Outline
 * @typedef {import("./types.js").Segment} Segment
 */

/**
 * @param {Viewer} viewer
 * @returns {Outline[]} the last ones on top
 */
export function outlinesOf(viewer) {
  const { region } = viewer.prompt;
  if (!viewer.prompt.isEmpty) {
    const byHand = region && {
      key: null,
      mask: () => decode(region.rle),
      colour: HOVER,
      width: BOLD,
      isFocus: true,
    };
    return [...picked(viewer), ...(byHand ? [byHand] : [])];
  }
  const focus = viewer.subject;
  const found = viewer.found
    .filter(({ segment }) => segment.id !== focus?.id)
    .map((one) =>
      outline(viewer, one.segment, { colour: one.colour, width: THIN, isFocus: !focus }),
    );
  const chosen =
    focus &&
    outline(viewer, focus, { colour: colourOf(viewer, focus), width: BOLD, isFocus: true });
  return [...found, ...picked(viewer), ...(chosen ? [chosen] : [])];
}

/**
 * Trace outlines while nothing else is to do, so that the pointer need not wait for them.
 *
 * @param {Viewer} viewer
 */
export function traceAhead(viewer) {
  const { hitting } = viewer;
  const todo = [...hitting.segments];
  const work = (deadline) => {
    if (viewer.hitting !== hitting) return;
    while (todo.length && deadline.timeRemaining() > IDLE_MS) {
      viewer.stage.path(outline(viewer, todo.pop(), { colour: WHITE }));
    }
    if (todo.length) whenIdle(work);
  };
  whenIdle(work);
}

function picked(viewer) {
  return picks().flatMap(({ segment_id: id }, i) => {
    const segment = id && viewer.segment(id);
    return segment ? [outline(viewer, segment, { colour: colour(i), isFocus: true })] : [];
  });
}

function outline({ hitting }, segment, how) {
  const isKnown = hitting?.byId.has(segment.id);
  const mask = () => (isKnown ? hitting.mask(segment.id) : decode(segment.rle));
  return { key: segment.id, mask, ...how };
}

function colourOf(viewer, segment) {
  if (segment === viewer.hovered) return HOVER;
  return viewer.found.find((one) => one.segment.id === segment.id)?.colour ?? WHITE;
}
