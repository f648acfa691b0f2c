/** One picture, opened: its objects under the pointer, and what can be done with them. */

import { findSimilar, findSimilarPictures, notThis, pick, searchPicks } from "./actions.js";
import { ask, isAborted, pictureUrl } from "./api.js";
import { COLOURS, shownSegments } from "./cell.js";
import { byId } from "./dom.js";
import { Hitting } from "./hitting.js";
import { failure } from "./message.js";
import { clearPicks, onPicks, pickNumber, picks } from "./picks.js";
import { Pointing } from "./pointing.js";
import { Prompt } from "./prompt.js";
import { writeExample } from "./query.js";
import { decode } from "./rle.js";
import { pictureCard, picksCard, promptCard, segmentCard } from "./side.js";
import { Stage } from "./stage.js";
import { stats } from "./stats.js";
import { closePicture, go, query } from "./store.js";
import { uploadSize } from "./upload.js";
import { frameOf } from "./viewer_frame.js";
import { named, percent } from "./words.js";

const WHITE = "#ffffff";
const HOVER = "#4ff0d8";
/** Pictures whose segments are remembered. */
const REMEMBERED = 16;
const PANEL_MS = 80;
const HINTS = {
  look: "Point at an object; click to find similar ones everywhere. The wheel goes from the part to the whole, dragging a box cuts out anything else.",
  pick: "Click the objects that have to be in one picture.",
  box: "Drag a box around an object: SAM 2 cuts it out.",
  point: "Click on an object; with shift or the right button, beside it. Every point makes it more exact.",
};
const TOUCH_HINT = "Tap an object to choose it; tap again to go from the part to the whole.";

/**
 * @typedef {import("./types.js").Segment} Segment
 * @typedef {import("./types.js").Item} Item
 * @typedef {"look" | "pick" | "box" | "point"} Mode
 */

/** The dialog with the open picture. */
export class Viewer {
  /** @param {{items: () => Item[], more: () => void}} results what to go through with the arrows */
  constructor(results) {
    this.results = results;
    this.dialog = byId("viewer");
    this.stage = new Stage();
    this.frame = frameOf(this);
    this.dialog.append(this.frame.element);
    this.stage.redraw = () => this.draw();
    this.pointing = new Pointing(this);
    this.panelTimer = 0;
    this.asking = new AbortController();
    /** @type {Map<string, {image: any, segments: Segment[]}>} */
    this.remembered = new Map();
    this.key = "";
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
  }

  get isHovering() {
    return this.hovered !== null && this.hovered !== this.selected;
  }

  /** What the buttons act on, unless something is pointed at by hand. */
  get subject() {
    return this.hovered ?? this.selected;
  }

  get hint() {
    return matchMedia("(hover: none)").matches && this.mode === "look" ? TOUCH_HINT : HINTS[this.mode];
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
      this.dialog.close();
      this.reset();
      return;
    }
    if (!this.dialog.open) this.dialog.showModal();
    this.reset();
    this.frame.fail(null);
    this.asking = new AbortController();
    try {
      await (open.upload_id ? this.showUpload(open.upload_id) : this.showImage(open.image_id, segment));
    } catch (error) {
      if (!isAborted(error)) this.fail(error);
    }
  }

  fail(error) {
    this.frame.fail(
      failure(error, () => {
        this.key = "";
        this.follow();
      }),
    );
  }

  async showImage(id, segmentId) {
    const { signal } = this.asking;
    const item = this.results.items()[this.position(id, segmentId)];
    if (item) {
      this.begin({ image_id: id }, item.image);
      this.found = shownSegments(item);
      this.selectById(segmentId);
    }
    const { image, segments } = this.remembered.get(id) ?? (await ask(`/v1/images/${id}/segments`, { signal }));
    signal.throwIfAborted();
    this.remember(id, { image, segments });
    if (!item) this.begin({ image_id: id }, image);
    this.hitting = new Hitting(segments);
    if (!item) this.found = segments.filter((one) => one.id === segmentId).map((segment) => ({ segment, colour: WHITE }));
    this.selectById(segmentId);
  }

  async showUpload(id) {
    const { signal } = this.asking;
    const head = pictureUrl({ upload_id: id }, 0);
    const size = await uploadSize(id).catch(async () => {
      await ask(head, { signal }); // says why it cannot be had
      throw new Error("The picture cannot be shown.");
    });
    signal.throwIfAborted();
    this.isUpload = true;
    this.mode = "point";
    this.begin({ upload_id: id }, { ...size, id, path: "Your picture" });
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
    if (this.remembered.size > REMEMBERED) this.remembered.delete(this.remembered.keys().next().value);
  }

  /** Forget what is known of pictures: the index has changed. */
  forget() {
    this.remembered.clear();
  }

  segment(id) {
    return this.hitting?.byId.get(id) ?? this.found.find(({ segment }) => segment.id === id)?.segment ?? null;
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
    this.frame.panel(cards.filter(Boolean));
  }

  draw() {
    if (!this.image) return;
    const { canvas } = this.stage;
    const { region } = this.prompt;
    const focus = this.prompt.isEmpty ? this.subject : null;
    if (this.hovered) canvas.dataset.hovered = this.hovered.id;
    else delete canvas.dataset.hovered;
    /** @type {import("./stage.js").Outline[]} */
    const outlines = this.found
      .filter(({ segment }) => segment !== focus)
      .map(({ segment, colour }) => this.outline(segment, { colour, width: 1.5, isFocus: !focus && !region }));
    for (const [i, { segment_id: id }] of picks().entries()) {
      const segment = id && this.segment(id);
      if (segment) outlines.push(this.outline(segment, { colour: COLOURS[i % COLOURS.length], isFocus: true }));
    }
    if (focus) outlines.push(this.outline(focus, { colour: this.colourOf(focus), width: 2.5, isFocus: true }));
    if (region) {
      const mask = () => decode(region.rle);
      outlines.push({ key: null, mask, colour: HOVER, width: 2.5, isFocus: true });
    }
    this.stage.draw(outlines, this.prompt.isEmpty ? null : this.prompt);
    this.stage.say(this.hovered ? this.describe(this.hovered) : "");
  }

  outline(segment, how) {
    const mask = () => this.hitting?.byId.has(segment.id) ? this.hitting.mask(segment.id) : decode(segment.rle);
    return { key: segment.id, mask, ...how };
  }

  colourOf(segment) {
    const known = this.found.find((one) => one.segment.id === segment.id);
    return segment === this.hovered ? HOVER : (known?.colour ?? WHITE);
  }

  describe(segment) {
    const { chain } = this.pointing;
    const level = chain.length > 1 ? ` · ${chain.indexOf(segment) + 1} of ${chain.length}` : "";
    const share = segment.label ? ` · ${percent(segment.area_fraction)}` : "";
    return `${named(segment)}${share}${level}`;
  }

  /** @param {Segment} segment the hit that it is, with its scores */
  hitOf(segment) {
    for (const { hit, scene } of this.results.items()) {
      if (hit?.segment?.id === segment.id) return hit;
      const inScene = scene && Object.values(scene.things).flat().find((one) => one.segment?.id === segment.id);
      if (inScene) return inScene;
    }
    return null;
  }

  isPicked(segment) {
    return pickNumber({ segment_id: segment.id }) >= 0;
  }

  /** Among the results, -1 if it is none. */
  position(imageId, segmentId) {
    const items = this.results.items();
    const exact = items.findIndex(({ image, hit }) => image.id === imageId && hit?.segment?.id === segmentId);
    return exact >= 0 ? exact : items.findIndex(({ image }) => image.id === imageId);
  }

  /** The number of the result that is open, and of how many. */
  get place() {
    const { open, segment } = query();
    const number = this.isUpload || !open ? -1 : this.position(open.image_id, segment ?? this.found[0]?.segment.id);
    return { number, count: this.results.items().length };
  }

  /** @param {1 | -1} step to the next result, or the one before */
  turn(step) {
    const { number, count } = this.place;
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
