/** One picture, opened: its objects under the pointer, and what can be done with them. */

import { findSimilar, findSimilarPictures, notThis, pick, searchPicks } from "./actions.js";
import { ask, isAborted } from "./api.js";
import { byId, focusResults } from "./dom.js";
import { Hitting } from "./hitting.js";
import { hitOf, positionOf, shownSegments, WHITE } from "./items.js";
import { failure } from "./message.js";
import { promptCard, segmentCard } from "./object_cards.js";
import { outlinesOf, traceAhead } from "./outlines.js";
import { clearPicks, onPicks, pickNumber, picks } from "./picks.js";
import { pictureCard, picksCard } from "./picture_cards.js";
import { Pointing } from "./pointing.js";
import { Prompt } from "./prompt.js";
import { writeExample } from "./query.js";
import { Stage } from "./stage.js";
import { stats } from "./stats.js";
import { closePicture, go, query } from "./store.js";
import { Frame } from "./viewer_frame.js";
import { named, percent } from "./words.js";

/** Pictures whose segments are remembered. */
const REMEMBERED = 16;
const PANEL_MS = 80;
const HINTS = {
  look: "Click an object to find similar ones. Wheel: part or whole. Drag a box around anything else.",
  pick: "Click the objects that have to be in one picture.",
  box: "Drag a box around an object; then click points to correct it.",
  point:
    "Click on an object. Beside it: shift or the right button. Each point makes it more exact.",
};
const TOUCH_HINTS = {
  ...HINTS,
  look: "Tap an object to choose it; again for the whole that it is a part of.",
  point: "Tap on an object. Each point makes it more exact.",
};

/**
 * @typedef {import("./types.js").Segment} Segment
 * @typedef {import("./types.js").Item} Item
 * @typedef {"look" | "pick" | "box" | "point"} Mode
 */

/** The dialog with the open picture. */
export class Viewer {
  /**
   * @param {{items: () => Item[], more: () => void, focus: (number: number) => void}} results what
   *   to go through with the arrows
   */
  constructor(results) {
    this.results = results;
    this.dialog = byId("viewer");
    this.stage = new Stage();
    this.frame = new Frame(this);
    this.dialog.append(this.frame.element);
    this.stage.redraw = () => this.draw();
    this.pointing = new Pointing(this);
    this.panelTimer = 0;
    this.asking = new AbortController();
    /** @type {Map<string, {image: any, segments: Segment[]}>} */
    this.remembered = new Map();
    this.key = "";
    /** The result that is shown, -1 if it is none. */
    this.number = -1;
    this.reset();
    onPicks(() => this.image && this.update());
    this.dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      this.back();
    });
  }

  reset() {
    this.image = null;
    this.isUpload = false;
    /** @type {Hitting | null} */
    this.hitting = null;
    /** @type {{segment: Segment, colour: string}[]} what was found in the picture */
    this.found = [];
    /** @type {Segment | null} */
    this.hovered = null;
    /** @type {Segment | null} */
    this.selected = null;
    /** @type {Mode} */
    this.mode = "look";
    this.isBeside = false;
    this.prompt = new Prompt({}, { width: 1, height: 1 }, () => {});
    this.pointing.forget();
  }

  get isHovering() {
    return this.hovered !== null && this.hovered !== this.selected;
  }

  /** What the buttons act on, unless something is pointed at by hand. */
  get subject() {
    return this.hovered ?? this.selected;
  }

  get hint() {
    return (matchMedia("(hover: none)").matches ? TOUCH_HINTS : HINTS)[this.mode];
  }

  /** @returns {import("./types.js").Example | null} */
  get example() {
    if (this.prompt.region) return this.prompt.example;
    return this.subject && { segment_id: this.subject.id };
  }

  /** Show what the query has open, or nothing. */
  async follow() {
    const { open, segment } = query();
    const key = open ? writeExample(open, "image_id") : "";
    if (key === this.key) {
      if (open) this.selectById(segment);
      return;
    }
    this.key = key;
    this.asking.abort();
    if (!open) {
      this.close();
      return;
    }
    if (!this.dialog.open) this.dialog.showModal();
    this.reset();
    this.frame.fail(null);
    this.asking = new AbortController();
    try {
      await (open.upload_id
        ? this.showUpload(open.upload_id)
        : this.showImage(open.image_id, segment));
    } catch (error) {
      if (!isAborted(error)) this.fail(error);
    }
  }

  /** Close, and go on in the grid with the hit that was shown last. */
  close() {
    const { number, image } = this;
    if (this.dialog.open) this.dialog.close();
    if (image && this.results.items()[number]?.image.id === image.id) this.results.focus(number);
    if (document.activeElement === document.body) focusResults();
    this.reset();
  }

  fail(error) {
    this.frame.fail(failure(error, () => this.retry()));
  }

  /** Ask again for what has failed, if something has. */
  retry() {
    if (!this.frame.hasFailed) {
      this.stage.retry();
      return;
    }
    this.key = "";
    this.follow();
  }

  async showImage(id, segmentId) {
    const { signal } = this.asking;
    const item = this.results.items()[positionOf(this.results.items(), id, segmentId)];
    if (item) {
      this.begin({ image_id: id }, item.image);
      this.found = shownSegments(item);
      this.selectById(segmentId);
    }
    const { image, segments } =
      this.remembered.get(id) ?? (await ask(`/v1/images/${id}/segments`, { signal }));
    signal.throwIfAborted();
    this.remember(id, { image, segments });
    if (!item) this.begin({ image_id: id }, image);
    this.hitting = new Hitting(segments);
    traceAhead(this);
    const asked = this.segment(segmentId);
    if (!item && asked) this.found = [{ segment: asked, colour: WHITE }];
    this.selectById(segmentId);
  }

  async showUpload(id) {
    const { signal } = this.asking;
    const size = await ask(`/v1/uploads/${id}`, { signal });
    this.isUpload = true;
    this.mode = "point";
    this.begin({ upload_id: id }, { ...size, path: "Your picture" });
  }

  begin(source, image) {
    this.image = image;
    this.prompt = new Prompt(source, image, () => this.update());
    this.stage.show(source, image, image.path);
    this.frame.show();
    this.update();
  }

  remember(id, known) {
    this.remembered.set(id, known);
    if (this.remembered.size > REMEMBERED)
      this.remembered.delete(this.remembered.keys().next().value);
  }

  /** Forget what is known of pictures: the index has changed. */
  forget() {
    this.remembered.clear();
  }

  segment(id) {
    return (
      this.hitting?.byId.get(id) ??
      this.found.find(({ segment }) => segment.id === id)?.segment ??
      null
    );
  }

  selectById(id) {
    this.selected = id ? this.segment(id) : null;
    this.update();
  }

  /** @param {Segment | null} segment that buttons and keys act on from now on */
  select(segment) {
    this.hovered = null;
    this.selected = segment;
    go({ segment: segment?.id ?? null }, { replace: true });
  }

  /** @param {Segment | null} segment under the pointer */
  hover(segment) {
    this.hovered = segment;
    this.draw();
    clearTimeout(this.panelTimer);
    this.panelTimer = setTimeout(() => this.showPanel(), PANEL_MS);
  }

  /** @param {Mode} mode switched on, or off if it is on */
  setMode(mode) {
    this.mode = this.mode === mode ? "look" : mode;
    this.hovered = null;
    this.update();
  }

  clearPrompt() {
    this.prompt.clear();
    this.update();
  }

  update() {
    this.number = this.place();
    this.frame.update();
    this.draw();
    this.showPanel();
  }

  showPanel() {
    if (!this.image) return;
    const cards = [
      this.prompt.isEmpty ? segmentCard(this) : promptCard(this),
      picks().length ? picksCard(this) : null,
      pictureCard(this, stats()?.access.files ?? false),
    ];
    this.frame.fillPanel(cards.filter(Boolean));
  }

  draw() {
    if (!this.image) return;
    const { canvas } = this.stage;
    if (this.hovered) canvas.dataset.hovered = this.hovered.id;
    else delete canvas.dataset.hovered;
    this.stage.draw(outlinesOf(this), this.prompt.isEmpty ? null : this.prompt);
    this.stage.say(this.subject && this.prompt.isEmpty ? this.describe(this.subject) : "");
  }

  describe(segment) {
    const { chain } = this.pointing;
    const number = chain.indexOf(segment) + 1;
    const level = number && chain.length > 1 ? ` · ${number} of ${chain.length}` : "";
    const share = segment.label ? ` · ${percent(segment.area_fraction)}` : "";
    return `${named(segment)}${share}${level}`;
  }

  get count() {
    return this.results.items().length;
  }

  place() {
    const { open, segment } = query();
    if (this.isUpload || !open) return -1;
    const shown = segment ?? this.found[0]?.segment.id;
    return positionOf(this.results.items(), open.image_id, shown);
  }

  /** @param {Segment} segment */
  hitOf(segment) {
    return hitOf(this.results.items(), segment);
  }

  /** @param {Segment} segment */
  isPicked(segment) {
    return pickNumber({ segment_id: segment.id }) >= 0;
  }

  /** @param {1 | -1} step to the next result, or the one before */
  turn(step) {
    const { number, count } = this;
    const to = number + step;
    if (number < 0 || to < 0 || to >= count) return;
    if (to > count - 6) this.results.more();
    const item = this.results.items()[to];
    const segment = shownSegments(item)[0]?.segment.id ?? null;
    go({ open: { image_id: item.image.id }, segment }, { replace: true });
  }

  /** One step back: from what is pointed at by hand, then from the mode, then out. */
  back() {
    if (!this.prompt.isEmpty) this.clearPrompt();
    else if (this.mode !== "look" && !this.isUpload) this.setMode(this.mode);
    else closePicture();
  }

  /** @param {number} steps above 0: from the selected part to its whole */
  climb(steps) {
    const { hitting, subject } = this;
    if (!hitting || !subject) return;
    const to = steps > 0 ? hitting.wholes(subject)[1] : hitting.parts(subject)[0];
    if (to) this.select(to);
  }

  /** @param {1 | -1} step to the next of the picture's segments, the largest first */
  step(step) {
    const all = this.hitting?.segments ?? [];
    if (!all.length) return;
    const now = all.indexOf(this.subject);
    this.select(all[now < 0 ? all.length - 1 : (now - step + all.length) % all.length]);
  }

  similar(event) {
    if (this.example) findSimilar(this.example, event);
  }

  not(event) {
    if (this.example) notThis(this.example, event);
  }

  pickSubject() {
    if (!this.example) return;
    pick(this.example);
    if (!this.prompt.isEmpty) this.clearPrompt();
  }

  similarPictures(event) {
    findSimilarPictures(/** @type {any} */ (query().open), event);
  }

  similarWhole(event) {
    findSimilar(/** @type {any} */ (query().open), event);
  }

  searchScene(event) {
    searchPicks(event);
  }

  clearPicks() {
    clearPicks();
  }
}
