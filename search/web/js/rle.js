/** Masks as COCO's compressed RLE: reading, and asking whether a pixel is in one. */

const ZERO = 48;

/**
 * A decoded mask. Pixels are numbered column by column; `edges` are the numbers at which the mask
 * begins and ends, in turn, so that a pixel is in it if an odd number of edges is not above it.
 *
 * @typedef {{height: number, width: number, edges: Uint32Array}} Mask
 */

/**
 * Read the run lengths of a compressed RLE, as pycocotools packs them: five bits a character, the
 * sixth says that more follow, and from the third run on the difference to the last but one.
 *
 * @param {string} packed
 * @returns {number[]} lengths of the runs, beginning with one outside the mask, which may be 0
 */
function runLengths(packed) {
  const counts = [];
  let at = 0;
  while (at < packed.length) {
    let value = 0;
    let weight = 1;
    let bits;
    do {
      bits = packed.charCodeAt(at++) - ZERO;
      value += (bits & 31) * weight; // not shifted: that would end at 32 bits
      weight *= 32;
    } while (bits & 32 && at < packed.length);
    if (bits & 16) value -= weight;
    if (counts.length > 2) value += counts[counts.length - 2];
    counts.push(value);
  }
  return counts;
}

/**
 * @param {{size: [number, number], counts: string}} rle
 * @returns {Mask}
 */
export function decode(rle) {
  const [height, width] = rle.size;
  const counts = runLengths(rle.counts);
  const edges = new Uint32Array(counts.length);
  let total = 0;
  counts.forEach((count, i) => {
    total += count;
    edges[i] = total;
  });
  return { height, width, edges };
}

/**
 * Whether the pixel in which a point lies is in the mask.
 *
 * @param {Mask} mask
 * @param {number} x
 * @param {number} y
 */
export function contains(mask, x, y) {
  const column = Math.floor(x);
  const row = Math.floor(y);
  if (column < 0 || row < 0 || column >= mask.width || row >= mask.height) return false;
  return edgesUpTo(mask.edges, column * mask.height + row) % 2 === 1;
}

/** How many edges are not above a pixel's number; found by halving. */
function edgesUpTo(edges, pixel) {
  let low = 0;
  let high = edges.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (edges[middle] <= pixel) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * Call `visit(column, from, to)` for every vertical piece of the mask, from left to right; runs
 * that go on in the next column are cut where it begins.
 *
 * @param {Mask} mask
 * @param {(column: number, from: number, to: number) => void} visit
 */
export function eachPiece({ height, width, edges }, visit) {
  const all = height * width;
  for (let i = 0; i < edges.length; i += 2) {
    let from = edges[i];
    const end = i + 1 < edges.length ? edges[i + 1] : all;
    while (from < end) {
      const column = Math.floor(from / height);
      const to = Math.min(end, (column + 1) * height);
      visit(column, from - column * height, to - column * height);
      from = to;
    }
  }
}
