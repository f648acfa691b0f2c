/** From a mask's runs to its outline: closed polygons, as exact as can be seen. */

import { eachPiece } from "./rle.js";

/** Polygons with a smaller area are not worth drawing, in squares of the tolerance. */
const SPECK = 24;
/** The stairs of a slanting edge lie within this of a straight line, in pixels. */
const STAIRS = 0.75;

/**
 * @typedef {import("./rle.js").Mask} Mask
 * @typedef {Float64Array} Polygon x and y in turn, in pixels of the picture
 */

/**
 * Trace the outline of a mask: the edges of its pixels, linked to closed polygons. The outer ones
 * go round clockwise, those of holes the other way.
 *
 * @param {Mask} mask
 * @param {number} tolerance how far the polygons may lie beside the pixels' edges, in pixels
 * @returns {Polygon[]}
 */
export function trace(mask, tolerance) {
  const links = new Links(mask.height + 1);
  let column = -1;
  /** @type {number[]} where the last two columns' pieces begin and end */
  let before = [];
  let now = [];
  const close = (next) => {
    while (column < next) {
      addSides(links, column, before, now);
      before = now;
      now = [];
      column += 1;
      if (before.length === 0 && column < next) column = next;
    }
  };
  eachPiece(mask, (next, from, to) => {
    if (next !== column) close(next);
    links.add(next, from, next + 1, from);
    links.add(next + 1, to, next, to);
    now.push(from, to);
  });
  close(column + 1);
  addSides(links, column, before, now);
  return withoutSpecks(links.polygons(), tolerance).map((polygon) => thinned(polygon, tolerance));
}

/** Drop what is too small to be seen, but for the largest polygon. */
function withoutSpecks(polygons, tolerance) {
  const areas = polygons.map((polygon) => Math.abs(area(polygon)));
  const most = Math.max(...areas);
  const least = Math.min(most, SPECK * tolerance * tolerance);
  return polygons.filter((_, i) => areas[i] >= least);
}

function area(polygon) {
  let double = 0;
  for (let i = 0; i < polygon.length; i += 2) {
    const next = (i + 2) % polygon.length;
    double += polygon[i] * polygon[next + 1] - polygon[next] * polygon[i + 1];
  }
  return double / 2;
}

/**
 * How far an outline may lie beside the pixels' edges where the picture is drawn at a scale: less
 * than can be seen, but enough for slanting edges to be straight where pixels are large.
 *
 * @param {number} scale pixels of the screen in one of the picture
 */
export function toleranceAt(scale) {
  return Math.max(STAIRS, 0.4 / scale);
}

/**
 * The path of polygons, for filling (even-odd) and stroking.
 *
 * @param {Polygon[]} polygons
 * @param {number} scale from pixels of the picture to those of the canvas
 */
export function toPath(polygons, scale) {
  const path = new Path2D();
  for (const polygon of polygons) {
    path.moveTo(polygon[0] * scale, polygon[1] * scale);
    for (let i = 2; i < polygon.length; i += 2)
      path.lineTo(polygon[i] * scale, polygon[i + 1] * scale);
    path.closePath();
  }
  return path;
}

/**
 * Link what is left or right of the line at `x`, but not both: there the outline goes along it.
 * Ends and beginnings of both columns, sorted, bound those pieces.
 */
function addSides(links, x, left, right) {
  let i = 0;
  let j = 0;
  let from = 0;
  while (i < left.length || j < right.length) {
    const y = Math.min(left[i] ?? Infinity, right[j] ?? Infinity);
    const inLeft = i % 2 === 1;
    const inRight = j % 2 === 1;
    if (inLeft !== inRight && y > from) {
      if (inLeft) links.add(x, from, x, y);
      else links.add(x, y, x, from);
    }
    from = y;
    while (left[i] === y) i += 1;
    while (right[j] === y) j += 1;
  }
}

/** Directed edges between corners of pixels, to be walked along. */
class Links {
  /** @param {number} rows corners in a column */
  constructor(rows) {
    this.rows = rows;
    /** @type {Map<number, number | number[]>} corner → the corner after it; two at a saddle */
    this.next = new Map();
  }

  add(x0, y0, x1, y1) {
    const from = x0 * this.rows + y0;
    const to = x1 * this.rows + y1;
    const known = this.next.get(from);
    if (known === undefined) this.next.set(from, to);
    else this.next.set(from, [/** @type {number} */ (known), to]);
  }

  /** @returns {Polygon[]} */
  polygons() {
    const found = [];
    for (const start of this.next.keys()) {
      if (!this.next.has(start)) continue;
      const corners = [];
      let corner = start;
      let last = start;
      do {
        corners.push(Math.floor(corner / this.rows), corner % this.rows);
        [last, corner] = [corner, this.take(corner, last)];
      } while (corner !== start && corner !== undefined);
      found.push(Float64Array.from(corners));
    }
    return found;
  }

  /** Take the edge out of a corner; of two, the one that turns, and keeps touching parts apart. */
  take(corner, last) {
    const next = this.next.get(corner);
    if (!Array.isArray(next)) {
      this.next.delete(corner);
      return next;
    }
    const turn = next.findIndex((to) => this.turnsRight(last, corner, to));
    const taken = next[Math.max(turn, 0)];
    this.next.set(corner, next[1 - Math.max(turn, 0)]);
    return taken;
  }

  turnsRight(a, b, c) {
    const [ax, bx, cx] = [a, b, c].map((corner) => Math.floor(corner / this.rows));
    const [ay, by, cy] = [a, b, c].map((corner) => corner % this.rows);
    return (bx - ax) * (cy - by) - (by - ay) * (cx - bx) > 0;
  }
}

/** Leave out corners that lie within the tolerance of the line without them (Douglas-Peucker). */
function thinned(polygon, tolerance) {
  const corners = polygon.length / 2;
  const kept = new Uint8Array(corners);
  const far = farthestCorner(polygon);
  kept[0] = kept[far] = 1;
  const open = [
    [0, far],
    [far, corners],
  ];
  while (open.length) {
    const [first, end] = open.pop();
    const split = farthestFromLine(polygon, first, end, tolerance);
    if (split < 0) continue;
    kept[split] = 1;
    open.push([first, split], [split, end]);
  }
  return polygon.filter((_, i) => kept[i >> 1]);
}

function farthestCorner(polygon) {
  let best = 0;
  let most = 0;
  for (let i = 2; i < polygon.length; i += 2) {
    const distance = (polygon[i] - polygon[0]) ** 2 + (polygon[i + 1] - polygon[1]) ** 2;
    if (distance > most) [best, most] = [i / 2, distance];
  }
  return best;
}

/** The corner between two that is farthest from the line through them; -1 if all are near. */
function farthestFromLine(polygon, first, end, tolerance) {
  const last = (2 * end) % polygon.length;
  const [x0, y0] = [polygon[2 * first], polygon[2 * first + 1]];
  const [dx, dy] = [polygon[last] - x0, polygon[last + 1] - y0];
  const length = Math.hypot(dx, dy) || 1;
  let most = tolerance;
  let best = -1;
  for (let i = first + 1; i < end; i += 1) {
    const distance = Math.abs((polygon[2 * i] - x0) * dy - (polygon[2 * i + 1] - y0) * dx) / length;
    if (distance > most) {
      most = distance;
      best = i;
    }
  }
  return best;
}
