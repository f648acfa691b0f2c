/** What is said instead of results, or above them: failures, nothing found, an empty index. */

import { el } from "./dom.js";
import { icon } from "./icons.js";
import { counted, sentence } from "./words.js";

/** A card with a title, words and buttons. */
function card({ testid, title, text, name = "search", kind = "" }, ...more) {
  return el(
    "section",
    { class: `message ${kind}`, data: { testid }, role: kind === "failure" ? "alert" : null },
    icon(/** @type {any} */ (name)),
    el("div", {}, el("h2", { text: title }), text && el("p", { text }), ...more),
  );
}

/**
 * @param {string} text
 * @param {() => void} act
 * @param {Record<string, any>} props
 */
export function button(text, act, props = {}) {
  return el("button", { type: "button", class: "button", on: { click: act }, ...props }, text);
}

/**
 * A failure, in words.
 *
 * @param {import("./api.js").ApiError} error
 * @param {() => void} [again]
 */
export function failure(error, again) {
  const words = {
    testid: "error",
    title: sentence(error.message),
    text: sentence(error.hint ?? ""),
    name: "alert",
  };
  if (error.code === "upload-gone") return card({ ...words, kind: "failure" }, chooseAgain());
  return card({ ...words, kind: "failure" }, again && button("Try again", again));
}

function chooseAgain() {
  return button("Choose the picture again", () => document.getElementById("upload-file").click());
}

/**
 * Nothing was relevant enough.
 *
 * @param {import("./types.js").SearchResponse} answer
 * @param {{filtered: boolean, showAnyway: () => void, clearFilters: () => void}} actions
 */
export function nothingFound(answer, { filtered, showAnyway, clearFilters }) {
  const clear = filtered && button("Clear the filters", clearFilters);
  if (answer.kind === "scenes") {
    const title = "No picture shows all of it.";
    const text = answer.absent.length
      ? `Nowhere to be found: ${answer.absent.join(", ")}.`
      : "Each of the things is somewhere, but not all together.";
    const anyway = button("Show the nearest anyway", showAnyway, { "data-testid": "show-anyway" });
    return card({ testid: "nothing-found", title, text }, anyway, clear);
  }
  if (!answer.nearest) {
    const text = filtered ? "The filters may leave nothing." : "";
    return card({ testid: "nothing-found", title: "Nothing found.", text }, clear);
  }
  return card(
    { testid: "nothing-found", title: "Nothing like that here.", text: nearestText(answer) },
    button("Show the nearest anyway", showAnyway, { "data-testid": "show-anyway" }),
    clear,
  );
}

function nearestText({ nearest, least }) {
  if (nearest.relevance === null || least === null) return "";
  const [has, needs] = [nearest.relevance, least].map((value) => value.toFixed(1));
  return `The nearest has a relevance of ${has}; to count, it would have to be ${needs}.`;
}

/**
 * The index holds no picture.
 *
 * @param {import("./types.js").Stats} stats
 * @param {() => void} indexNow
 */
export function emptyIndex({ access, run }, indexNow) {
  const title = "There are no pictures in the index yet.";
  if (run.state === "running") {
    const text = "They are being indexed: the first ones can be found in a moment.";
    return card({ testid: "empty-index", title, text, name: "progress" }, progressLink());
  }
  if (access.can_index) {
    const text = "Indexing cuts every picture into its objects, so that each can be found.";
    const start = button("Index the pictures now", indexNow, {
      class: "button primary",
      "data-testid": "index-button",
    });
    return card({ testid: "empty-index", title, text, name: "picture" }, start);
  }
  const text = "Fill it with this command, in the folder that holds your pictures:";
  const command = el("code", { class: "command", text: "index ./photos" });
  return card({ testid: "empty-index", title, text, name: "picture" }, command);
}

function progressLink() {
  return el("a", { class: "button", href: "/?page=index", text: "Show the progress" });
}

/**
 * How to search, above all pictures.
 *
 * @param {import("./types.js").Stats | null} stats
 */
export function welcome(stats) {
  const line = el("p", { class: "welcome" });
  if (stats) {
    const objects = counted(stats.segments, "object");
    line.append(el("strong", { text: `${objects} in ${counted(stats.images, "picture")}.` }), " ");
  }
  line.append("Type what you look for, drop a picture in, or open one and click an object in it.");
  return line;
}

/** Words above hits that are shown although they are not relevant. */
export function irrelevantShown(hide) {
  return el(
    "p",
    { class: "welcome" },
    "The nearest are shown, however irrelevant. ",
    button("Only what is relevant", hide, { class: "link" }),
  );
}
