/** Puts the page together, and keeps it in step with the query in the address bar. */

import { findSimilar, notThis } from "./actions.js";
import { ask, connection } from "./api.js";
import { showChips } from "./chips.js";
import { byId } from "./dom.js";
import { buildFilters, showFilters } from "./filters.js";
import { placeIcons } from "./icons.js";
import { watchKeys } from "./keyboard.js";
import { watchPicks } from "./picks_bar.js";
import { placeBar, showIndexPage, watchProgress } from "./progress.js";
import { isAsking, isScene, searchKey } from "./query.js";
import { Results } from "./results.js";
import { follow, onRun } from "./run.js";
import { watchSession } from "./session.js";
import { isNothingThere, loadStats, stats } from "./stats.js";
import { go, onQuery, query, start, visit } from "./store.js";
import { watchTheme } from "./theme.js";
import { searchBegins } from "./timing.js";
import { watchUploads } from "./upload.js";
import { Viewer } from "./viewer.js";

const RETRY_MS = 3000;
/** The query whose chips, filters and hits are shown. */
let shownKey = null;
/** Pictures that the run has indexed so far. */
let indexed = 0;

placeIcons();
watchTheme();
watchSession();
buildFilters();
watchProgress();
watchUploads();

const results = new Results();
const viewer = new Viewer({
  items: () => results.grid.items,
  more: () => results.more(),
  focus: (number) => results.grid.focus(number),
});
watchKeys({ grid: results.grid, viewer });
watchConnection();
watchSearchBox();
watchLinks();
watchCells();
watchPicks();
onQuery(show);
onRun(followRun);
begin();

async function begin() {
  await refreshStats(); // whether there is an index to ask
  start();
}

async function refreshStats() {
  try {
    const { run } = await loadStats();
    follow(run);
    showIndexPage();
    results.sayAgain();
  } catch {
    // what asks next says what is wrong
  }
}

/** The first pictures can be found while the rest is being indexed. */
function followRun({ progress }, hasEnded) {
  const { images = 0 } = progress;
  const isFirst = images > indexed && stats()?.images === 0;
  indexed = images;
  if (hasEnded || isFirst) refresh();
}

/** A command may have filled the index since it was looked at. */
async function lookAgain() {
  await refreshStats();
  if (!isNothingThere()) refresh();
}

/** The index has changed. */
async function refresh() {
  await refreshStats();
  viewer.forget();
  results.refresh();
  showFilters({ anew: true });
}

function show(now) {
  const isIndex = now.page === "index";
  byId("search-page").hidden = isIndex;
  byId("index-page").hidden = !isIndex;
  document.title = titleOf(now);
  placeBar();
  if (isIndex) {
    showIndexPage();
    refreshStats();
    viewer.follow();
    return;
  }
  if (searchKey(now) !== shownKey) {
    const isFirst = shownKey === null;
    shownKey = searchKey(now);
    // what is typed before the server has answered stays
    if (now.text || !isFirst) byId("search-box").value = now.text;
    showChips();
    showFilters();
    results.show();
    if (isNothingThere() && !isFirst) lookAgain();
  }
  viewer.follow();
}

function titleOf(now) {
  if (now.page === "index") return "Index · segsearch";
  if (now.text) return `${now.text} · segsearch`;
  return isAsking(now) ? "Similar · segsearch" : "segsearch";
}

function watchSearchBox() {
  const box = byId("search-box");
  byId("search-form").addEventListener("submit", (event) => {
    event.preventDefault();
    searchBegins(event);
    const text = box.value.trim();
    const not = isScene({ ...query(), text }) ? [] : query().not;
    go({ text, not, page: "", open: null, segment: null });
    box.blur();
  });
  // the box's own cross
  box.addEventListener("search", () => {
    if (!box.value && query().text) go({ text: "" });
  });
}

/** Links to this page's own addresses change the query, and load nothing. */
function watchLinks() {
  addEventListener("click", (event) => {
    const link = /** @type {Element} */ (event.target).closest("a[href='/'], a[href^='/?']");
    const isElsewhere = event.ctrlKey || event.metaKey || event.shiftKey || event.altKey;
    if (!link || isElsewhere || event.button !== 0 || event.defaultPrevented) return;
    event.preventDefault();
    visit(/** @type {HTMLAnchorElement} */ (link).search);
  });
}

/** The buttons that cells show under the pointer. */
function watchCells() {
  const acts = { similar: findSimilar, not: notThis };
  results.grid.element.addEventListener("click", (event) => {
    const button = /** @type {HTMLElement} */ (event.target).closest("[data-action]");
    if (!button) return;
    const { hit } = results.grid.items[results.grid.numberOf(button)];
    acts[/** @type {HTMLElement} */ (button).dataset.action]({ segment_id: hit.segment.id }, event);
  });
}

/** Say that the server is gone for as long as it is. */
function watchConnection() {
  const banner = byId("offline");
  let timer = 0;
  const ping = () => ask("/v1/stats").catch(() => {});
  connection.addEventListener("lost", () => {
    banner.hidden = false;
    clearTimeout(timer);
    timer = setTimeout(ping, RETRY_MS);
  });
  connection.addEventListener("found", () => {
    if (banner.hidden) return;
    banner.hidden = true;
    clearTimeout(timer);
    refreshStats();
    showFilters();
    results.retry();
    results.grid.retry();
    viewer.retry();
  });
}
