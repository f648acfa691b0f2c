/** The cards about the object that is meant: of the index, or pointed at by hand. */

import { cutoutUrl } from "./api.js";
import { el } from "./dom.js";
import { icon } from "./icons.js";
import { actionButton, facts, objectActions, row } from "./panel_parts.js";
import { segmentThumb } from "./thumbs.js";
import { fileName, named, percent, sentence } from "./words.js";

const NOTHING = "No object is chosen.";
const UPLOADED = "Say which object is meant, or search with the whole picture.";

/** @typedef {import("./viewer.js").Viewer} Viewer */

/**
 * What is known of an object of the index.
 *
 * @param {Viewer} viewer
 */
export function segmentCard(viewer) {
  const { subject } = viewer;
  if (!subject) return el("p", { class: "soft", text: viewer.isUpload ? UPLOADED : NOTHING });
  const chain = viewer.hitting ? viewer.hitting.wholes(subject).reverse() : [subject];
  const place = el("span", { class: "thumb-place" }); // what the pointer passes is not fetched
  const title = el(
    "div",
    {},
    el("h3", { text: subject.label ?? "Object" }),
    el("p", { class: "soft", text: `${percent(subject.area_fraction)} of the picture` }),
  );
  const thumb = viewer.isHovering ? place : segmentThumb(subject.id);
  return el(
    "section",
    { class: "object" },
    el("div", { class: "object-head" }, thumb, title),
    chain.length > 1 && tree(viewer, chain),
    row(...objectActions(viewer, viewer.isPicked(subject))),
    facts(segmentFacts(subject, viewer.hitOf(subject))),
    downloads(subject, viewer.image),
  );
}

/** From the whole down to the part; each can be chosen. */
function tree(viewer, chain) {
  const steps = chain.map((segment) => {
    const current = segment === viewer.subject ? "true" : null;
    const on = { click: () => viewer.select(segment) };
    const props = { type: "button", class: "link", "aria-current": current, on };
    return el("li", {}, el("button", props, named(segment)));
  });
  return el("ol", { class: "tree", "aria-label": "From the whole to the part" }, ...steps);
}

/** @returns {[string, string | null][]} */
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
  const link = (text, href, file) => {
    const data = { testid: `download-${file.split(".")[0]}` };
    return el("a", { href, download: `${stem}-${file}`, data, text });
  };
  return el(
    "p",
    { class: "downloads" },
    icon("download"),
    link("Cut-out", cutoutUrl(id), "cutout.png"),
    link("Mask", `/v1/segments/${id}/mask.png`, "mask.png"),
    link("COCO", `/v1/segments/${id}/coco.json`, "coco.json"),
    link("Overlay", `/v1/segments/${id}/overlay.jpg`, "overlay.jpg"),
  );
}

/**
 * What is pointed at by hand.
 *
 * @param {Viewer} viewer
 */
export function promptCard(viewer) {
  const { prompt } = viewer;
  const { region, regions, error } = prompt;
  return el(
    "section",
    { class: "object" },
    el("h3", { text: "Object by hand" }),
    el("p", { class: error ? "error-text" : "soft", role: "status", text: answerText(prompt) }),
    regions.length > 1 && candidates(prompt, regions),
    row(
      ...(region ? objectActions(viewer, false) : []),
      { text: "Undo", act: () => prompt.undo() },
      { text: "Clear", act: () => viewer.clearPrompt(), name: "close" },
    ),
    viewer.mode === "point" && sides(viewer),
  );
}

function answerText({ error, region, isBusy, wasAnswered, isComplete }) {
  if (error) return [error.message, error.hint].filter(Boolean).map(sentence).join(" ");
  if (region) {
    const quality = region.predicted_iou.toFixed(2);
    return `${percent(region.area_fraction)} of the picture, quality ${quality}`;
  }
  if (!isComplete) return "Now a point on the object.";
  if (isBusy || !wasAnswered) return "SAM 2 is looking…";
  return "SAM 2 finds no object there: try another point, or a box.";
}

/** One point may mean a part or the whole: the other answers. */
function candidates(prompt, regions) {
  const buttons = regions.slice(1).map((region) => {
    const act = () => prompt.choose(region);
    return actionButton({ text: percent(region.area_fraction), act, kind: "small" });
  });
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
  const props = { class: "segmented", role: "radiogroup", "aria-label": "The next point is" };
  return el("div", props, choice("on the object", false), choice("beside it", true));
}
