/** Small pictures of examples, for chips and lists. */

import { ask, cutoutUrl, pictureUrl } from "./api.js";
import { el } from "./dom.js";

const THUMB_PX = 28;
/** Pictures whose size is remembered. */
const REMEMBERED = 100;
/** @type {Map<string, Promise<{width: number, height: number}>>} by address */
const sizes = new Map();

/** @typedef {import("./types.js").Example} Example */

/** @param {string} segmentId */
export function segmentThumb(segmentId) {
  return el("img", { class: "thumb", src: cutoutUrl(segmentId), alt: "", decoding: "async" });
}

/**
 * A small picture of an example.
 *
 * @param {Example} example
 */
export function exampleThumb(example) {
  if (example.segment_id) return segmentThumb(example.segment_id);
  const src = pictureUrl(example, example.box ? 8 * THUMB_PX : THUMB_PX);
  if (!example.box) return el("img", { class: "thumb cover", src, alt: "" });
  return croppedThumb(src, example);
}

/** Show what is in the box of an example, given in pixels of a picture that may be larger. */
function croppedThumb(src, example) {
  const side = Math.round(THUMB_PX * Math.min(devicePixelRatio || 1, 2));
  const canvas = el("canvas", { class: "thumb", width: side, height: side, "aria-hidden": "true" });
  const picture = new Image();
  picture.addEventListener("load", async () => {
    const size = await sizeOf(example).catch(() => null);
    if (!size) return; // an empty thumb says enough
    const scale = picture.naturalWidth / size.width;
    const [x0, y0, x1, y1] = example.box.map((value) => value * scale);
    const fit = side / Math.max(x1 - x0, y1 - y0);
    const [width, height] = [(x1 - x0) * fit, (y1 - y0) * fit];
    const place = [(side - width) / 2, (side - height) / 2, width, height];
    canvas.getContext("2d").drawImage(picture, x0, y0, x1 - x0, y1 - y0, ...place);
  });
  picture.src = src;
  return canvas;
}

function sizeOf({ image_id: imageId, upload_id: uploadId }) {
  const path = uploadId ? `/v1/uploads/${uploadId}` : `/v1/images/${imageId}`;
  const known = sizes.get(path);
  if (known) return known;
  const asked = ask(path).then(({ width, height }) => ({ width, height }));
  sizes.set(path, asked);
  asked.catch(() => sizes.delete(path));
  if (sizes.size > REMEMBERED) sizes.delete(sizes.keys().next().value);
  return asked;
}
