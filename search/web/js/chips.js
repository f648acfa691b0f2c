/** The query as chips: what is wanted, what is not, the filters. Each can be taken away. */

import { byId, el } from "./dom.js";
import { filterChips } from "./filter_words.js";
import { icon } from "./icons.js";
import { isScene, splitWords, thingName } from "./query.js";
import { parseScene } from "./scene.js";
import { go, query } from "./store.js";
import { exampleThumb } from "./thumbs.js";

/** Show the chips of the query. */
export function showChips() {
  const now = query();
  const without = (name, i) => () => go({ [name]: now[name].filter((_, each) => each !== i) });
  const chips = [
    ...textChips(now),
    ...now.like.map((one, i) => exampleChip(one, { kind: "like", remove: without("like", i) })),
    ...now.things.map((one, i) =>
      exampleChip(one, { kind: "thing", name: thingName(i), remove: without("things", i) }),
    ),
    ...now.not.map((one, i) => exampleChip(one, { kind: "not", remove: without("not", i) })),
    ...filterChips(now).map(({ text, change }) =>
      chip({ kind: "filter", text, remove: () => go(change) }),
    ),
  ];
  if (chips.length > 1) {
    const clear = { type: "button", class: "link", on: { click: clearAll }, text: "Clear all" };
    chips.push(el("button", clear));
  }
  byId("chips").replaceChildren(...chips);
}

/** Back to all pictures. */
export function clearAll() {
  go({ text: "", like: [], not: [], things: [], filters: {}, look: {} });
}

function textChips({ text }) {
  if (!text) return [];
  const scene = parseScene(text);
  if (scene) return sceneChips(text, scene);
  const { wanted, unwanted } = splitWords(text);
  const rest = (words) => [wanted, ...words].filter(Boolean).join(" NOT ");
  const wantedChip = wanted
    ? [chip({ kind: "text", text: wanted, remove: () => go({ text: "", ...orphaned() }) })]
    : [];
  const others = unwanted.map((words, i) =>
    chip({
      kind: "not",
      text: words,
      remove: () => go({ text: rest(unwanted.filter((_, each) => each !== i)) }),
    }),
  );
  return [...wantedChip, ...others];
}

/** Without anything wanted, nothing is unwanted. */
function orphaned() {
  return query().like.length ? {} : { not: [] };
}

function sceneChips(text, { relations }) {
  const parts = text.split(/\s+AND\s+/).filter(Boolean);
  return parts.map((part, i) =>
    chip({
      kind: relations.includes(part.trim()) ? "relation" : "thing",
      text: part.trim(),
      remove: () => go({ text: parts.filter((_, each) => each !== i).join(" AND ") }),
    }),
  );
}

function exampleChip(example, { kind, name = "", remove }) {
  const text = example.text ?? (name || nameOf(example));
  const thumb = example.text === undefined && exampleThumb(example);
  const isIgnored = kind === "not" && isScene(query());
  return chip({ kind: isIgnored ? "ignored" : kind, text, thumb, remove });
}

function nameOf(example) {
  if (example.segment_id) return "object";
  const isWhole = !example.box && !example.points?.length;
  if (example.upload_id) return isWhole ? "your picture" : "in your picture";
  return isWhole ? "whole picture" : "in a picture";
}

const SIGNS = { not: "minus", ignored: "minus", thing: "plus" };
const SPOKEN = {
  not: "not: ",
  ignored: "not (a scene has none): ",
  thing: "and: ",
  filter: "filter: ",
};

function chip({ kind, text, thumb = null, remove }) {
  const label = `Remove ${SPOKEN[kind] ?? ""}${text}`;
  const cross = el(
    "button",
    { type: "button", class: "chip-x", "aria-label": label, title: label, on: { click: remove } },
    icon("close"),
  );
  const spoken = el("span", { class: "sr-only", text: SPOKEN[kind] ?? "" });
  const sign = SIGNS[kind] && icon(SIGNS[kind]);
  const words = el("span", { class: "chip-text", text });
  return el(
    "span",
    { class: `chip ${kind}`, data: { testid: "chip", kind } },
    sign,
    spoken,
    thumb,
    words,
    cross,
  );
}
