/** Rows of pictures of equal height that fill the width exactly. */

/** Very wide and very tall pictures are cropped to these shapes, or they would take a row each. */
const NARROWEST = 0.5;
const WIDEST = 2.6;

/** @typedef {{left: number, top: number, width: number, height: number, row: number}} Place */

/**
 * Lay pictures out in rows that are as near to the wanted height as can be; the last row is not
 * stretched.
 *
 * @param {number[]} shapes width over height of each picture
 * @param {{width: number, height: number, gap: number}} wanted
 * @returns {Place[]}
 */
export function justified(shapes, { width, height, gap }) {
  const places = [];
  let row = [];
  let top = 0;
  const heightOf = (some) =>
    (width - (some.length - 1) * gap) / some.reduce((sum, one) => sum + one, 0);
  const close = (used) => {
    addRow(places, row, { top, height: used, gap });
    top += used + gap;
    row = [];
  };
  for (const shape of shapes) {
    const clamped = Math.min(Math.max(shape, NARROWEST), WIDEST);
    const without = row.length ? heightOf(row) : Infinity;
    const withIt = heightOf([...row, clamped]);
    if (withIt <= height && without - height < height - withIt) close(without);
    row.push(clamped);
    if (heightOf(row) <= height) close(heightOf(row));
  }
  if (row.length) close(Math.min(heightOf(row), height));
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
