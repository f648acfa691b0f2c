/** The cards about the open picture, and about what was picked for a scene. */

import { findNear } from "./actions.js";
import { el } from "./dom.js";
import { icon } from "./icons.js";
import { colour } from "./items.js";
import { facts, row } from "./panel_parts.js";
import { picks } from "./picks.js";
import { exampleThumb } from "./thumbs.js";
import { coordinates, counted, fileName, moment } from "./words.js";

/** @typedef {import("./viewer.js").Viewer} Viewer */

/**
 * What was picked for a scene.
 *
 * @param {Viewer} viewer
 */
export function picksCard(viewer) {
  const thumbs = picks().map((example, i) => {
    const thumb = el("span", { class: "pick-thumb" }, exampleThumb(example));
    thumb.style.borderColor = colour(i);
    return thumb;
  });
  return el(
    "section",
    { class: "object picks" },
    el("h3", { text: `${counted(thumbs.length, "object")} picked` }),
    el("div", { class: "pick-thumbs" }, ...thumbs),
    row(
      {
        text: "Pictures with all of these",
        act: (event) => viewer.searchScene(event),
        name: "search",
        testid: "scene-button",
        kind: "primary",
      },
      { text: "Clear", act: () => viewer.clearPicks(), name: "close" },
    ),
  );
}

/**
 * What is known of the picture.
 *
 * @param {Viewer} viewer
 * @param {boolean} mayDownload the original file
 */
export function pictureCard(viewer, mayDownload) {
  const { image, isUpload } = viewer;
  const original = mayDownload && !isUpload && originalLink(image);
  return el(
    "section",
    { class: "picture" },
    el("h3", { text: "Picture" }),
    el("p", { class: "path", text: image.path }),
    row(...pictureActions(viewer), original),
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

/** @returns {(import("./panel_parts.js").Action | false)[]} */
function pictureActions(viewer) {
  const { isUpload, image } = viewer;
  return [
    {
      text: isUpload ? "Search with the whole picture" : "Pictures like this",
      act: (event) => viewer.similarPictures(event),
      name: "picture",
      testid: "whole-button",
    },
    isUpload && {
      text: "Objects like it",
      act: (event) => viewer.similarWhole(event),
      name: "similar",
      testid: "whole-objects-button",
    },
    image.gps && {
      text: "Taken near here",
      act: () => findNear(image.gps),
      title: "All pictures from within 10 km",
    },
  ];
}

function originalLink({ id, path }) {
  const href = `/v1/images/${id}/file`;
  const data = { testid: "download-original" };
  const props = { class: "button", href, download: fileName(path), data };
  return el("a", props, icon("download"), "Original");
}
