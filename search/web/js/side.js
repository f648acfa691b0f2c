/** The panel beside the open picture: what is known of it and of the object, and what can be done. */

import { cutoutUrl } from "./api.js";
import { COLOURS } from "./cell.js";
import { el } from "./dom.js";
import { icon } from "./icons.js";
import { picks } from "./picks.js";
import { exampleThumb, segmentThumb } from "./thumbs.js";
import { coordinates, counted, fileName, moment, named, percent } from "./words.js";

/** @typedef {import("./viewer.js").Viewer} Viewer */

/**
 * @param {string} text
 * @param {(event: Event) => void} act
 * @param {{name?: any, testid?: string, kind?: string, key?: string, title?: string}} props
 */
function action(text, act, { name, testid, kind = "", title }) {
  const props = { type: "button", class: `button ${kind}`, title, data: { testid }, on: { click: act } };
  return el("button", props, name && icon(name), el("span", { text }));
}

function facts(pairs) {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  const rows = shown.flatMap(([name, value]) => [el("dt", { text: name }), el("dd", { text: value })]);
  return el("dl", { class: "facts" }, ...rows);
}

/**
 * What is known of an object.
 *
 * @param {Viewer} viewer
 */
export function segmentCard(viewer) {
  const { subject } = viewer;
  if (!subject) return el("p", { class: "soft", text: viewer.hint });
  const chain = viewer.hitting ? viewer.hitting.wholes(subject).reverse() : [subject];
  return el(
    "section",
    { class: "object" },
    el("div", { class: "object-head" },
      viewer.isHovering ? el("span", { class: "thumb-place" }) : segmentThumb(subject.id),
      el("div", {},
        el("h3", { text: subject.label ?? "Object" }),
        el("p", { class: "soft", text: `${percent(subject.area_fraction)} of the picture` }))),
    chain.length > 1 && tree(viewer, chain),
    el("div", { class: "actions" },
      action("Find similar", (event) => viewer.similar(event), { name: "similar", testid: "similar-button", kind: "primary", title: "Find similar (s)" }),
      action("Not this", (event) => viewer.not(event), { name: "minus", testid: "negative-button", title: "Not this (n)" }),
      action(viewer.isPicked(subject) ? "In the scene" : "Add to scene", () => viewer.pickSubject(), { name: viewer.isPicked(subject) ? "pick" : "plus", testid: "add-to-scene", title: "For a search with several things (a)" })),
    facts(segmentFacts(subject, viewer.hitOf(subject))),
    downloads(subject, viewer.image),
  ); // prettier-ignore
}

/** From the whole down to the part; each can be chosen. */
function tree(viewer, chain) {
  const steps = chain.map((segment) =>
    el(
      "li",
      {},
      el(
        "button",
        {
          type: "button",
          class: "link",
          "aria-current": segment === viewer.subject ? "true" : null,
          on: { click: () => viewer.select(segment) },
        },
        named(segment),
      ),
    ),
  );
  return el("ol", { class: "tree", "aria-label": "From the whole to the part" }, ...steps);
}

function segmentFacts(segment, hit) {
  const number = (value, digits = 2) => (typeof value === "number" ? value.toFixed(digits) : null);
  const sure = segment.label_score === null ? "" : ` (${number(segment.label_score)})`;
  return [
    ["relevance", number(hit?.relevance)],
    ["score", number(hit?.score, 3)],
    ["contrast", number(hit?.contrast)],
    ["standard score", number(hit?.standard_score)],
    ["label", segment.label && `${segment.label}${sure}`],
    ["box", segment.box.join(", ")],
    ["predicted IoU", number(segment.predicted_iou)],
    ["stability", number(segment.stability_score)],
  ];
}

function downloads({ id }, image) {
  const stem = fileName(image.path).replace(/\.\w+$/, "");
  const link = (text, file, name, testid) =>
    el("a", { href: `/v1/segments/${id}/${file}`, download: `${stem}-${name}`, data: { testid } }, text);
  return el(
    "p",
    { class: "downloads" },
    icon("download"),
    el("a", { href: cutoutUrl(id), download: `${stem}-cutout.png`, data: { testid: "download-cutout" } }, "Cut-out"),
    link("Mask", "mask.png", "mask.png", "download-mask"),
    link("COCO", "coco.json", "coco.json", "download-coco"),
    link("Overlay", "overlay.jpg", "overlay.jpg", "download-overlay"),
  ); // prettier-ignore
}

/**
 * What is pointed at by hand.
 *
 * @param {Viewer} viewer
 */
export function promptCard(viewer) {
  const { prompt } = viewer;
  const { region, regions, error, isBusy, wasAnswered } = prompt;
  const words = error
    ? [error.message, error.hint].filter(Boolean).join(" ")
    : region
      ? `${percent(region.area_fraction)} of the picture, quality ${region.predicted_iou.toFixed(2)}`
      : isBusy || !wasAnswered
        ? "SAM 2 is looking…"
        : "SAM 2 finds no object there: try another point, or a box.";
  return el(
    "section",
    { class: "object" },
    el("h3", { text: "Object by hand" }),
    el("p", { class: error ? "error-text" : "soft", role: "status", text: words }),
    regions.length > 1 && candidates(prompt, regions),
    el("div", { class: "actions" },
      region && action("Find similar", (event) => viewer.similar(event), { name: "similar", testid: "similar-button", kind: "primary" }),
      region && action("Not this", (event) => viewer.not(event), { name: "minus", testid: "negative-button" }),
      region && action("Add to scene", () => viewer.pickSubject(), { name: "plus", testid: "add-to-scene" }),
      action("Undo", () => prompt.undo(), {}),
      action("Clear", () => viewer.clearPrompt(), { name: "close" })),
    viewer.mode === "point" && sides(viewer),
  ); // prettier-ignore
}

/** One point may mean a part or the whole: the other answers. */
function candidates(prompt, regions) {
  const buttons = regions.slice(1).map((region) =>
    action(percent(region.area_fraction), () => prompt.choose(region), { kind: "small" }),
  );
  return el("p", { class: "candidates soft" }, "Or rather ", ...buttons);
}

/** Whether the next point is on the object or beside it; for those who have no right button. */
function sides(viewer) {
  const choice = (text, beside) => {
    const input = el("input", { type: "radio", name: "side", checked: viewer.isBeside === beside });
    input.addEventListener("change", () => {
      viewer.isBeside = beside;
    });
    return el("label", {}, input, el("span", { text }));
  };
  const all = el("div", { class: "segmented", role: "radiogroup", "aria-label": "The next point is" });
  all.append(choice("on the object", false), choice("beside it", true));
  return all;
}

/**
 * What was picked for a scene.
 *
 * @param {Viewer} viewer
 */
export function picksCard(viewer) {
  const thumbs = picks().map((example, i) => {
    const thumb = el("span", { class: "pick-thumb" }, exampleThumb(example));
    thumb.style.borderColor = COLOURS[i % COLOURS.length];
    return thumb;
  });
  return el(
    "section",
    { class: "object picks" },
    el("h3", { text: `${counted(thumbs.length, "object")} picked` }),
    el("div", { class: "pick-thumbs" }, ...thumbs),
    el("div", { class: "actions" },
      action("Pictures with all of these", (event) => viewer.searchScene(event), { name: "search", testid: "scene-button", kind: "primary" }),
      action("Clear", () => viewer.clearPicks(), { name: "close" })),
  ); // prettier-ignore
}

/**
 * What is known of the picture.
 *
 * @param {Viewer} viewer
 * @param {boolean} mayDownload the original file
 */
export function pictureCard(viewer, mayDownload) {
  const { image } = viewer;
  const actions = el(
    "div",
    { class: "actions" },
    action(viewer.isUpload ? "Search with the whole picture" : "Pictures like this", (event) => viewer.similarPictures(event), { name: "picture", testid: "whole-button" }),
    viewer.isUpload && action("Objects like it", (event) => viewer.similarWhole(event), { name: "similar", testid: "whole-objects-button" }),
    mayDownload && !viewer.isUpload && el("a", { class: "button", href: `/v1/images/${image.id}/file`, download: fileName(image.path), data: { testid: "download-original" } }, icon("download"), "Original"),
  ); // prettier-ignore
  return el(
    "section",
    { class: "picture" },
    el("h3", { text: "Picture" }),
    el("p", { class: "path", text: image.path }),
    actions,
    facts([
      ["size", `${image.width} × ${image.height}`],
      ["taken", image.taken_at && moment(image.taken_at)],
      ["camera", image.camera],
      ["place", image.gps && coordinates(image.gps)],
      ["format", image.format],
      ["objects", image.n_segments?.toLocaleString("en")],
      ["also at", image.paths?.slice(1).join(", ")],
    ]),
  );
}
