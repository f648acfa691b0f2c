/** One cell of the grid: a picture with what was found in it outlined. */

import { pictureUrl } from "./api.js";
import { el } from "./dom.js";
import { icon } from "./icons.js";
import { colour, shownSegments } from "./items.js";
import { toPath, toleranceAt, trace } from "./outline.js";
import { toUrl } from "./query.js";
import { decode } from "./rle.js";
import { query } from "./store.js";
import { counted, fileName, percent, worth } from "./words.js";

const SHADE = "rgba(10, 12, 16, 0.34)";
const HALO = "rgba(8, 10, 14, 0.72)";

/** @typedef {import("./types.js").Item} Item */

/**
 * @param {Item} item
 * @param {number} number its place among the hits, from 0
 * @returns {HTMLLIElement}
 */
export function makeCell(item, number) {
  const { image } = item;
  const segment = item.hit?.segment ?? shownSegments(item)[0]?.segment ?? null;
  const open = { open: { image_id: image.id }, segment: segment?.id ?? null };
  const link = el("a", {
    class: "cell-link",
    href: `/${toUrl({ ...query(), ...open })}`,
    tabindex: number === 0 ? "0" : "-1",
    "aria-label": spoken(item),
    data: hooks(item),
  });
  const picture = el("img", { class: "cell-picture", alt: "", loading: "lazy", decoding: "async" });
  picture.addEventListener("load", () => link.classList.add("loaded"));
  picture.addEventListener("error", () => link.classList.add("broken"));
  link.append(
    picture,
    el("canvas", { class: "cell-outline", "aria-hidden": "true" }),
    caption(item),
  );
  return el("li", { class: "cell" }, link, segment && !item.scene && actions());
}

/** What tests and scripts find a hit by. */
function hooks({ image, hit, scene }) {
  const score = hit?.score ?? scene?.relevance;
  return {
    testid: "hit",
    imageId: image.id,
    ...(hit?.segment && { segmentId: hit.segment.id }),
    ...(score !== undefined && { score: String(score) }),
  };
}

/** The buttons that show when the pointer is over a cell; the keys "s" and "n" do the same. */
function actions() {
  const button = (action, name, label) =>
    el(
      "button",
      {
        type: "button",
        class: "cell-button",
        tabindex: "-1",
        "aria-label": label,
        title: label,
        data: { action },
      },
      icon(name),
    );
  return el(
    "div",
    { class: "cell-actions" },
    button("similar", "similar", "Find similar (s)"),
    button("not", "minus", "Not this (n)"),
  );
}

function caption(item) {
  const bottom = el("span", { class: "cell-caption" });
  if (item.scene) {
    bottom.append(el("span", { class: "worth", text: item.scene.relevance.toFixed(1) }));
    for (const [i, name] of Object.keys(item.scene.things).entries()) {
      const dot = el("i", { class: "dot" });
      dot.style.background = colour(i);
      bottom.append(el("span", { class: "cell-label" }, dot, name));
    }
  } else if (item.hit) {
    const title = item.hit.relevance === null ? "score: cosine" : "relevance";
    bottom.append(el("span", { class: "worth", title, text: worth(item.hit) }));
    const label = item.hit.segment?.label;
    bottom.append(el("span", { class: "cell-label", text: label ?? fileName(item.image.path) }));
  } else {
    bottom.append(el("span", { class: "cell-label", text: fileName(item.image.path) }));
  }
  return bottom;
}

function spoken({ image, hit, scene }) {
  const name = fileName(image.path);
  if (scene) return `${name}: ${Object.keys(scene.things).join(", ")}`;
  if (!hit) return `${name}, ${counted(image.n_segments, "object")}`;
  const what = hit.segment?.label ?? "object";
  const part = hit.segment ? `${what}, ${percent(hit.segment.area_fraction)} of ` : "";
  const kind = hit.relevance === null ? "score" : "relevance";
  return `${part}${name}, ${kind} ${worth(hit)}`;
}

/**
 * Load the picture and draw the outlines, as large as the cell is now.
 *
 * @param {HTMLElement} cell
 * @param {Item} item
 */
export function showCell(cell, item) {
  const picture = cell.querySelector("img");
  const { classList } = cell.querySelector("a");
  const { offsetWidth: width, offsetHeight: height } = cell;
  const shape = item.image.width / item.image.height;
  const side = Math.max(width, height, shape > 1 ? height * shape : width / shape);
  const url = pictureUrl({ image_id: item.image.id }, side);
  if (picture.getAttribute("src") !== url || classList.contains("broken")) {
    classList.remove("broken");
    picture.src = url;
  }
  drawOutlines(cell.querySelector("canvas"), item, width, height);
}

/** Give back what the outlines of a cell that nobody sees hold. */
export function hideCell(cell) {
  const canvas = cell.querySelector("canvas");
  canvas.width = canvas.height = 0;
}

function drawOutlines(canvas, item, width, height) {
  const shown = shownSegments(item);
  if (!shown.length || !width) return;
  const sharp = Math.min(devicePixelRatio || 1, 2);
  canvas.width = Math.round(width * sharp);
  canvas.height = Math.round(height * sharp);
  const context = canvas.getContext("2d");
  // the picture covers the cell, its middle in the middle
  const { image } = item;
  const scale = Math.max(canvas.width / image.width, canvas.height / image.height);
  context.setTransform(
    1, 0, 0, 1,
    (canvas.width - image.width * scale) / 2,
    (canvas.height - image.height * scale) / 2,
  ); // prettier-ignore
  const paths = shown.map(({ segment, colour: line }) => {
    const polygons = trace(decode(segment.rle), toleranceAt(scale / sharp));
    return { path: toPath(polygons, scale), line };
  });
  drawShade(context, paths, image.width * scale, image.height * scale);
  for (const { path, line } of paths) strokeOutline(context, path, line, sharp);
}

/**
 * Darken what is in none of the outlines.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {{path: Path2D}[]} paths
 * @param {number} width
 * @param {number} height
 */
export function drawShade(context, paths, width, height) {
  context.fillStyle = SHADE;
  context.fillRect(0, 0, width, height);
  context.globalCompositeOperation = "destination-out";
  context.fillStyle = "#000";
  for (const { path } of paths) context.fill(path, "evenodd");
  context.globalCompositeOperation = "source-over";
}

/**
 * Stroke an outline that is seen on any picture: a bright line on a dark one.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {Path2D} path
 * @param {string} line its colour
 * @param {number} sharp pixels of the canvas in a CSS pixel
 * @param {number} width of the bright line, CSS pixels
 */
export function strokeOutline(context, path, line, sharp, width = 2) {
  context.lineJoin = context.lineCap = "round";
  context.strokeStyle = HALO;
  context.lineWidth = (width + 2) * sharp;
  context.stroke(path);
  context.strokeStyle = line;
  context.lineWidth = width * sharp;
  context.stroke(path);
}
