/** Rows of pictures of equal height that fill the width exactly. */

/** Very wide and very tall pictures are cropped to these shapes, or they would take a row each. */
const NARROWEST = 0.5;
const WIDEST = 2.6;

/** @typedef {{left: number, top: number, width: number, height: number, row: number}} Place */

/**
 * Lay pictures out in rows; the last row keeps the wanted height and is not stretched.
 *
 * @param {number[]} shapes width over height of each picture
 * @param {{width: number, height: number, gap: number}} wanted
 * @returns {Place[]}
 */
export function justified(shapes, { width, height, gap }) {
  const clamped = shapes.map((shape) => Math.min(Math.max(shape, NARROWEST), WIDEST));
  const places = [];
  let first = 0;
  let sum = 0;
  let top = 0;
  for (let i = 0; i < clamped.length; i += 1) {
    sum += clamped[i];
    const rowHeight = (width - (i - first) * gap) / sum;
    const isLast = i === clamped.length - 1;
    if (rowHeight > height && !isLast) continue;
    const used = isLast ? Math.min(rowHeight, height) : rowHeight;
    addRow(places, clamped.slice(first, i + 1), { top, height: used, gap });
    top += used + gap;
    first = i + 1;
    sum = 0;
  }
  return places;
}

function addRow(places, shapes, { top, height, gap }) {
  const row = places.length ? places[places.length - 1].row + 1 : 0;
  let left = 0;
  for (const shape of shapes) {
    const width = shape * height;
    places.push({ left, top, width, height, row });
    left += width + gap;
  }
}

/**
 * The place that is nearest to one, in the row above or below it.
 *
 * @param {Place[]} places
 * @param {number} from
 * @param {1 | -1} rows
 * @returns {number} the same place if there is no such row
 */
export function nearestInRow(places, from, rows) {
  const here = places[from];
  const middle = here.left + here.width / 2;
  let best = from;
  let least = Infinity;
  places.forEach((place, i) => {
    if (place.row !== here.row + rows) return;
    const distance = Math.abs(place.left + place.width / 2 - middle);
    if (distance < least) [best, least] = [i, distance];
  });
  return best;
}
