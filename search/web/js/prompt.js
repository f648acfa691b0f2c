/** A box and points that say where an object is, and SAM 2's answers to them while they change. */

import { ask } from "./api.js";

/** Smaller boxes are slips of the hand, pixels of the picture. */
const LEAST_BOX = 3;

/**
 * @typedef {import("./types.js").XY} XY
 * @typedef {import("./types.js").Box} Box
 * @typedef {import("./types.js").Region} Region
 * @typedef {{box?: Box, point?: XY, isOn?: boolean}} Step a box, or a point on or beside the object
 */

/** One object that is pointed at. Of the questions, one is on its way at most, then the latest. */
export class Prompt {
  /**
   * @param {{image_id?: string, upload_id?: string}} source
   * @param {{width: number, height: number}} size of the picture
   * @param {() => void} changed called when there is something new to show
   */
  constructor(source, size, changed) {
    this.source = source;
    this.size = size;
    this.changed = changed;
    this.clear();
  }

  clear() {
    /** @type {Step[]} */
    this.steps = [];
    /** @type {Region[]} */
    this.regions = [];
    /** @type {import("./api.js").ApiError | null} */
    this.error = null;
    this.wasAnswered = false;
    this.isDirty = false;
  }

  get isEmpty() {
    return !this.steps.length;
  }

  /** @returns {Box | null} */
  get box() {
    return this.steps.findLast(({ box }) => box)?.box ?? null;
  }

  /** @returns {XY[]} */
  get points() {
    return this.steps.flatMap(({ point, isOn }) => (point && isOn ? [point] : []));
  }

  /** @returns {XY[]} */
  get notPoints() {
    return this.steps.flatMap(({ point, isOn }) => (point && !isOn ? [point] : []));
  }

  /** Whether it says where an object is, and not only where it is not. */
  get isComplete() {
    return this.box !== null || this.points.length > 0;
  }

  /** @returns {Region | null} what SAM 2 cuts out */
  get region() {
    return this.regions[0] ?? null;
  }

  /** @returns {import("./types.js").Example} */
  get example() {
    return {
      ...this.source,
      ...(this.box && { box: this.box }),
      ...(this.points.length && { points: this.points }),
      ...(this.notPoints.length && { not_points: this.notPoints }),
    };
  }

  /**
   * Span a box between two corners.
   *
   * @param {XY} from
   * @param {XY} to
   */
  span(from, to) {
    const [x0, x1] = [from[0], to[0]].sort((a, b) => a - b);
    const [y0, y1] = [from[1], to[1]].sort((a, b) => a - b);
    const { width, height } = this.size;
    /** @type {Box} */
    const box = [
      Math.max(0, Math.floor(x0)),
      Math.max(0, Math.floor(y0)),
      Math.min(width, Math.ceil(x1)),
      Math.min(height, Math.ceil(y1)),
    ];
    if (box[2] - box[0] < LEAST_BOX || box[3] - box[1] < LEAST_BOX) return;
    this.steps = [{ box }];
    this.ask();
  }

  /**
   * Say of a point that it is on the object, or beside it.
   *
   * @param {XY} point
   * @param {boolean} isOn
   */
  add(point, isOn) {
    const { width, height } = this.size;
    const inside = /** @type {XY} */ ([
      Math.min(Math.max(0, Math.round(point[0])), width - 1),
      Math.min(Math.max(0, Math.round(point[1])), height - 1),
    ]);
    this.steps.push({ point: inside, isOn });
    this.ask();
  }

  /** Take back what was said last. */
  undo() {
    this.steps.pop();
    this.ask();
  }

  /** @param {Region} region of several answers to a point: what is in its box is meant */
  choose(region) {
    this.steps.push({ box: region.box });
    this.ask();
  }

  ask() {
    if (!this.isComplete) {
      this.regions = [];
      this.error = null;
      this.wasAnswered = this.isDirty = false;
      this.changed();
      return;
    }
    this.isDirty = true;
    this.changed();
    if (!this.isBusy) this.work();
  }

  async work() {
    this.isBusy = true;
    while (this.isDirty) {
      this.isDirty = false;
      const isAlone = !this.box && this.points.length === 1 && !this.notPoints.length;
      const json = { ...this.example, candidates: isAlone };
      try {
        const { regions } = await ask("/v1/segment", { json });
        this.error = null;
        if (this.isComplete) this.regions = regions;
      } catch (error) {
        if (this.isComplete) this.error = error;
        this.regions = [];
      }
      this.wasAnswered = this.isComplete;
      this.changed();
    }
    this.isBusy = false;
    this.changed();
  }
}
