/** The keys: of the page, of the grid, of the open picture; and the list of them. */

import { findSimilar, notThis } from "./actions.js";
import { clearAll } from "./chips.js";
import { byId, el, isTyping, topDialog } from "./dom.js";
import { isAsking } from "./query.js";
import { query } from "./store.js";

const LIST = [
  ["Everywhere", [
    ["/", "to the search box"],
    ["Esc", "close, or clear the search"],
    ["?", "this list"],
  ]],
  ["Results", [
    ["← → ↑ ↓", "from hit to hit"],
    ["Enter", "open the picture"],
    ["s", "find similar objects"],
    ["n", "not this"],
  ]],
  ["Open picture", [
    ["← →", "previous and next hit"],
    ["↑ ↓", "to the whole, to the part (or the wheel)"],
    [". ,", "next and previous object of the picture"],
    ["s", "find similar (or click)"],
    ["n", "not this (or shift-click)"],
    ["a", "add to the scene (or alt-click)"],
    ["p b o", "pick, box, points: modes"],
  ]],
  ["Search box", [
    ["dog AND frisbee", "pictures with both"],
    ["dog left-of frisbee", "also right-of, above, below, inside, near (in capitals, or with AND)"],
    ["at least 3 mugs", "so many in one picture"],
    ["mug NOT a toy", "one, but not the other"],
  ]],
]; // prettier-ignore

/**
 * @param {{grid: import("./grid.js").Grid, viewer: import("./viewer.js").Viewer}} parts
 */
export function watchKeys({ grid, viewer }) {
  buildHelp();
  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    const top = topDialog();
    if (isTyping(event.target)) typingKey(event);
    else if (top === viewer.dialog) viewerKey(viewer, event);
    else if (!top) pageKey(grid, event);
  });
}

function typingKey(event) {
  if (event.key !== "Escape" || event.target !== byId("search-box")) return;
  event.preventDefault();
  if (event.target.value) event.target.value = "";
  else event.target.blur();
}

function pageKey(grid, event) {
  const acts = {
    "/": () => byId("search-box").select(),
    "?": showHelp,
    Escape: () => isAsking(query()) && clearAll(),
  };
  const item = grid.items[grid.numberOf(event.target)];
  const segment = item?.hit?.segment;
  if (segment) {
    acts.s = () => findSimilar({ segment_id: segment.id }, event);
    acts.n = () => notThis({ segment_id: segment.id }, event);
  }
  run(acts, event);
}

function viewerKey(viewer, event) {
  const inGroup = event.target.matches("input");
  const acts = {
    "?": showHelp,
    s: () => viewer.similar(event),
    ...(event.target === viewer.stage.canvas && { Enter: () => viewer.similar(event) }),
    n: () => viewer.not(event),
    a: () => viewer.pickSubject(),
    p: () => viewer.setMode("pick"),
    b: () => viewer.setMode("box"),
    o: () => viewer.setMode("point"),
    ".": () => viewer.step(1),
    ",": () => viewer.step(-1),
    ...(!inGroup && {
      ArrowLeft: () => viewer.turn(-1),
      ArrowRight: () => viewer.turn(1),
      ArrowUp: () => viewer.climb(1),
      ArrowDown: () => viewer.climb(-1),
    }),
  };
  run(acts, event);
}

function run(acts, event) {
  const act = acts[event.key];
  if (!act) return;
  event.preventDefault();
  act();
}

function showHelp() {
  byId("help-dialog").showModal();
}

function buildHelp() {
  const groups = LIST.map(([title, keys]) => {
    const rows = /** @type {string[][]} */ (keys).flatMap(([key, what]) => [
      el("dt", {}, el("kbd", { text: key })),
      el("dd", { text: what }),
    ]);
    return el("section", {}, el("h3", { text: title }), el("dl", {}, ...rows));
  });
  byId("help-body").append(...groups);
  byId("help-close").addEventListener("click", () => byId("help-dialog").close());
  byId("help-button").addEventListener("click", showHelp);
}
