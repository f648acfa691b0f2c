/** Which segment is under the pointer, and which larger ones it is a part of. */

import { contains, decode } from "./rle.js";

/**
 * @typedef {import("./types.js").Segment} Segment
 * @typedef {import("./rle.js").Mask} Mask
 */

/** The segments of one image; masks are decoded when they are first needed. */
export class Hitting {
  /** @param {Segment[]} segments */
  constructor(segments) {
    this.segments = [...segments].sort((a, b) => a.area_px - b.area_px);
    this.byId = new Map(segments.map((segment) => [segment.id, segment]));
    /** @type {Map<string, Mask>} */
    this.masks = new Map();
    /** @type {string | null} the whole that was walked up to, while the pointer is in it */
    this.held = null;
  }

  /** @param {string} id */
  mask(id) {
    let mask = this.masks.get(id);
    if (!mask) {
      mask = decode(this.byId.get(id).rle);
      this.masks.set(id, mask);
    }
    return mask;
  }

  /**
   * The segments that contain a point, the smallest first.
   *
   * @param {number} x
   * @param {number} y
   * @returns {Segment[]}
   */
  chainAt(x, y) {
    return this.segments.filter(
      ({ id, box }) =>
        x >= box[0] && y >= box[1] && x < box[2] && y < box[3] && contains(this.mask(id), x, y),
    );
  }

  /**
   * The segment that a point means: the smallest, or the one that was walked to.
   *
   * @param {Segment[]} chain
   * @returns {Segment | null}
   */
  chosen(chain) {
    const held = chain.find(({ id }) => id === this.held);
    if (!held) this.held = null;
    return held ?? chain[0] ?? null;
  }

  /**
   * Walk to a larger segment of the chain, or a smaller one.
   *
   * @param {Segment[]} chain
   * @param {number} steps above 0: to the whole
   */
  walk(chain, steps) {
    const now = chain.indexOf(this.chosen(chain));
    const next = chain[Math.min(Math.max(now + steps, 0), chain.length - 1)];
    this.held = next?.id ?? null;
    return next ?? null;
  }

  /**
   * A segment and what it is a part of, by the index's own tree.
   *
   * @param {Segment} segment
   * @returns {Segment[]}
   */
  wholes(segment) {
    const chain = [segment];
    for (let id = segment.parent_id; id && this.byId.has(id) && chain.length < 64;) {
      chain.push(this.byId.get(id));
      id = this.byId.get(id).parent_id;
    }
    return chain;
  }

  /**
   * The parts of a segment, the largest first.
   *
   * @param {Segment} segment
   * @returns {Segment[]}
   */
  parts(segment) {
    return this.segments.filter(({ parent_id }) => parent_id === segment.id).reverse();
  }
}
