/** From a query to cells in the grid: asking, paging, remembering, and saying what went wrong. */

import { ask, isAborted } from "./api.js";
import { byId } from "./dom.js";
import { Grid } from "./grid.js";
import { emptyIndex, failure, irrelevantShown, nothingFound, welcome } from "./message.js";
import { imageParams, isAsking, searchKey, toRequest } from "./query.js";
import { startIndexing } from "./progress.js";
import { isNothingThere, stats } from "./stats.js";
import { go, query } from "./store.js";
import { hitsAreShown } from "./timing.js";
import { counted } from "./words.js";

const PAGE = 40;
/** Answers that are remembered, so that going back is immediate. */
const REMEMBERED = 12;
/** How far below the window the end of the grid may be before more is asked for. */
const AHEAD = "1200px 0px";

/**
 * @typedef {import("./types.js").Item} Item
 * @typedef {object} Found what is known of a query's answer
 * @property {string} key
 * @property {Item[]} items
 * @property {number | string | null} next where the next page begins
 * @property {any} answer the first page
 * @property {number} scroll how far down the page was
 */

/** Shows what is found for the query. */
export class Results {
  constructor() {
    this.grid = new Grid(byId("grid"));
    /** @type {Map<string, Found>} */
    this.remembered = new Map();
    /** @type {Found | null} */
    this.found = null;
    /** @type {string | null} the query that is asked or shown */
    this.key = null;
    this.asking = new AbortController();
    this.isLoading = false;
    new IntersectionObserver((seen) => seen[0].isIntersecting && this.more(), {
      rootMargin: AHEAD,
    }).observe(byId("more"));
  }

  /** Show the hits of the query, if they are not shown yet. */
  async show() {
    const key = searchKey(query());
    if (key === this.key) return;
    if (this.found) this.found.scroll = scrollY;
    this.begin(key);
    if (isNothingThere()) {
      this.showEmpty();
      return;
    }
    const known = this.remembered.get(key);
    if (known) {
      this.fill(known);
      scrollTo(0, known.scroll);
      this.reachDown();
      return;
    }
    scrollTo(0, 0);
    this.grid.wait();
    byId("result-count").textContent = "Searching…";
    await this.load(() => this.first(key));
    this.reachDown();
  }

  /** Forget all answers, and ask anew: the index has changed. */
  refresh() {
    this.remembered.clear();
    this.key = null;
    this.found = null;
    return this.show();
  }

  begin(key) {
    this.asking.abort();
    this.asking = new AbortController();
    this.key = key;
    this.found = null;
    this.isLoading = false;
    byId("message").replaceChildren();
  }

  /** There is nothing to ask yet. */
  showEmpty() {
    this.grid.clear();
    byId("result-count").textContent = "";
    byId("message").replaceChildren(emptyIndex(stats(), startIndexing));
  }

  async first(key) {
    const page = await this.ask(null);
    /** @type {Found} */
    const found = { key, items: page.items, next: page.next, answer: page.answer, scroll: 0 };
    this.remember(found);
    this.fill(found);
    if (found.items.length) hitsAreShown();
  }

  /** Show the next page, if there is one and the end of this one is near. */
  async more() {
    const { found } = this;
    if (!found || found.next === null || this.isLoading || byId("search-page").hidden) return;
    byId("more").classList.add("loading");
    await this.load(async () => {
      const page = await this.ask(found.next);
      found.items.push(...page.items);
      found.next = page.next;
      this.grid.add(page.items);
      this.count();
    });
    byId("more").classList.remove("loading");
    this.reachDown();
  }

  /** Show more if there is still room: the end of the grid may never have been out of reach. */
  reachDown() {
    const isNear = byId("more").getBoundingClientRect().top < innerHeight + 600;
    if (isNear && !this.hasFailed) this.more();
  }

  /** Do something that asks, and say so if it fails. */
  async load(act) {
    const { signal } = this.asking;
    this.isLoading = true;
    try {
      await act();
    } catch (error) {
      if (signal.aborted || isAborted(error)) return;
      this.fail(error);
    } finally {
      if (!signal.aborted) this.isLoading = false;
    }
  }

  fail(error) {
    if (error.code === "no-index" && stats()) {
      this.showEmpty();
      return;
    }
    if (!this.found) {
      this.grid.clear();
      this.key = null;
    }
    byId("message").replaceChildren(failure(error, () => this.retry()));
    if (!this.found) byId("result-count").textContent = "";
  }

  /** Ask again for what has failed, if something has. */
  retry() {
    if (!this.hasFailed) return;
    byId("message").replaceChildren();
    if (!this.found) {
      this.show();
      return;
    }
    this.say(this.found);
    this.more();
  }

  /** @returns {Promise<{items: Item[], next: any, answer: any}>} */
  async ask(next) {
    const { signal } = this.asking;
    if (isAsking(query())) {
      const json = toRequest(query(), { limit: PAGE, offset: next ?? 0 });
      const answer = await ask("/v1/search", { json, signal });
      return { items: itemsOf(answer), next: answer.next_offset, answer };
    }
    const params = imageParams(query(), { limit: PAGE, after: next });
    const answer = await ask(`/v1/images?${params}`, { signal });
    const items = answer.images.map((image) => ({ image, hit: null, scene: null }));
    return { items, next: answer.next, answer };
  }

  remember(found) {
    this.remembered.set(found.key, found);
    const oldest = this.remembered.keys().next().value;
    if (this.remembered.size > REMEMBERED) this.remembered.delete(oldest);
  }

  fill(found) {
    this.found = found;
    this.grid.clear();
    this.grid.add(found.items);
    this.say(found);
    this.count();
  }

  /** Whether the query has no answer because something went wrong. */
  get hasFailed() {
    return byId("message").querySelector(".failure") !== null;
  }

  /** Say anew what is said above the hits: the numbers about the index have come. */
  sayAgain() {
    if (this.found && !this.hasFailed) this.say(this.found);
  }

  say({ items, answer }) {
    const message = byId("message");
    message.replaceChildren();
    const now = query();
    if (isAsking(now)) {
      const filtered = Object.keys(now.filters).length > 0;
      const showAnyway = () => go({ look: { ...now.look, all: true } });
      const clearFilters = () => go({ filters: {} });
      const { all, ...relevant } = now.look;
      if (!items.length) {
        message.append(nothingFound(answer, { filtered, showAnyway, clearFilters }));
      } else if (all) message.append(irrelevantShown(() => go({ look: relevant })));
      return;
    }
    if (items.length) message.append(welcome(stats()));
    else if (stats()?.images) {
      const clearFilters = () => go({ filters: {} });
      const nothing = { kind: "images", absent: [], nearest: null };
      message.append(
        nothingFound(/** @type {any} */ (nothing), {
          filtered: true,
          showAnyway() {},
          clearFilters,
        }),
      );
    } else if (stats()) message.append(emptyIndex(stats(), startIndexing));
  }

  count() {
    const { items, next, answer } = this.found;
    const line = byId("result-count");
    if (!items.length) {
      line.textContent = isAsking(query()) ? "Nothing found" : "";
      return;
    }
    const more = next === null ? "" : "+";
    const pictures = new Set(items.map(({ image }) => image.id)).size;
    const ofObjects = answer.kind === "segments";
    const what = ofObjects ? counted(items.length, "object") : counted(pictures, "picture");
    const where = ofObjects ? ` in ${counted(pictures, "picture")}` : "";
    const took = answer.took_ms === undefined ? "" : ` · ${Math.round(answer.took_ms)} ms`;
    line.textContent = `${what.replace(" ", `${more} `)}${where}${took}`;
  }
}

/** @returns {Item[]} */
function itemsOf({ hits, scenes }) {
  return [
    ...hits.map((hit) => ({ image: hit.image, hit, scene: null })),
    ...scenes.map((scene) => ({ image: scene.image, hit: null, scene })),
  ];
}
