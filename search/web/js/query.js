/** The query: what the address bar holds, and what the API is asked for. */

import { parseScene } from "./scene.js";

/** What a search box may hold after this word is not wanted. */
const UNWANTED = /\s+NOT\s+/;
const LISTS = ["label", "format", "camera"];
const NUMBERS = [
  "min_area", "max_area", "min_depth", "max_depth", "min_label_score", "min_size", "max_size",
]; // prettier-ignore
const TEXTS = ["path", "glob", "since", "until", "near"];
const OF_SEGMENTS = ["min_area", "max_area", "min_depth", "max_depth", "label", "min_label_score"];
const PROMPT_KEYS = { box: "box", at: "points", off: "not_points" };

/**
 * @typedef {import("./types.js").Example} Example
 * @typedef {{by?: "image", all?: true, nested?: true, min_relevance?: number, per_image?: number,
 *   diversity?: number}} Look
 * @typedef {object} Query
 * @property {string} text as typed
 * @property {Example[]} like what hits are like
 * @property {Example[]} not what they are unlike
 * @property {Example[]} things what a picture has to show, all of it
 * @property {Record<string, any>} filters as the API takes them
 * @property {Look} look
 * @property {{image_id?: string, upload_id?: string} | null} open the picture in the viewer
 * @property {string | null} segment the segment that is outlined there
 * @property {"" | "index"} page
 */

/** @param {Query} query whether it asks for something, or shows all there is */
export function isAsking(query) {
  return Boolean(query.text || query.like.length || query.things.length || onlyLabels(query));
}

/** Labels that are filtered by while nothing is asked for: then they are what is looked for. */
function onlyLabels({ text, like, filters, look }) {
  return text || like.length || look.by === "image" ? "" : (filters.label ?? []).join(", ");
}

/** @param {Query} query whether it asks for several things in one picture */
export function isScene(query) {
  return query.things.length > 0 || parseScene(query.text) !== null;
}

/** A query without what whole pictures do not have. */
export function forImages(query) {
  const kept = Object.entries(query.filters).filter(([name]) => !OF_SEGMENTS.includes(name));
  return { ...query, filters: Object.fromEntries(kept) };
}

/**
 * What a search box's text says: words that are wanted, and words that are not.
 *
 * @param {string} text
 */
export function splitWords(text) {
  const [wanted, ...unwanted] = text.trim().split(UNWANTED);
  return { wanted: wanted.trim(), unwanted: unwanted.map((words) => words.trim()).filter(Boolean) };
}

/**
 * The body of a search.
 *
 * @param {Query} query
 * @param {{limit: number, offset: number}} page
 */
export function toRequest(query, { limit, offset }) {
  const filters = query.look.by === "image" ? forImages(query).filters : query.filters;
  const asked = { ...query.look, filters, limit, offset };
  if (isScene(query)) {
    const { by, per_image, diversity, ...look } = asked; // a scene is found once in a picture
    return { ...look, scene: sceneOf(query) };
  }
  const { wanted, unwanted } = splitWords(query.text);
  const negatives = [...query.not, ...unwanted.map((text) => ({ text }))];
  const labels = onlyLabels(query);
  if (labels) return { ...asked, text: labels, negatives, all: true };
  return { ...asked, ...(wanted && { text: wanted }), positives: query.like, negatives };
}

/**
 * The parameters with which all pictures are asked for.
 *
 * @param {Query} query
 * @param {{limit: number, after: string | null}} page
 */
export function imageParams(query, { limit, after }) {
  const params = filterParams(forImages(query).filters);
  params.set("limit", String(limit));
  if (after) params.set("after", after);
  return params;
}

/** Filters as the API takes them in an address. */
export function filterParams(filters) {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(filters)) {
    for (const one of [value].flat()) params.append(name, one);
  }
  return params;
}

function sceneOf(query) {
  const typed = parseScene(query.text) ?? { things: query.text ? [query.text] : [], relations: [] };
  const shown = [...query.things, ...query.like];
  const named = shown.map((example, i) => ({ name: thingName(i), example }));
  return { things: [...typed.things, ...named], relations: typed.relations };
}

/** What a thing that was picked in a picture is called. */
export function thingName(i) {
  return `object ${i + 1}`;
}

/** @param {Query} query what decides which hits there are, as a text */
export function searchKey(query) {
  return toUrl({ ...query, open: null, segment: null, page: "" });
}

/**
 * @param {string} search the part of an address after "?"
 * @returns {Query}
 */
export function fromUrl(search) {
  const given = new URLSearchParams(search);
  const examples = (name) =>
    given
      .getAll(name)
      .map((text) => readExample(text))
      .filter(Boolean);
  const open = readExample(given.get("open") ?? "", "image_id");
  return {
    text: given.get("q")?.trim() ?? "",
    like: examples("like"),
    not: examples("not"),
    things: examples("thing"),
    filters: readFilters(given),
    look: readLook(given),
    open: open?.image_id || open?.upload_id ? open : null,
    segment: given.get("segment"),
    page: given.get("page") === "index" ? "index" : "",
  };
}

/**
 * @param {Query} query
 * @returns {string} "?…", or "" for the start page
 */
export function toUrl(query) {
  const pairs = [];
  const add = (name, value) => {
    if (value !== undefined && value !== null && value !== "") pairs.push([name, value]);
  };
  add("page", query.page);
  add("q", query.text);
  for (const example of query.like) add("like", writeExample(example));
  for (const example of query.not) add("not", writeExample(example));
  for (const example of query.things) add("thing", writeExample(example));
  for (const [name, value] of filterParams(query.filters)) add(name, value);
  for (const [name, value] of Object.entries(query.look)) add(name, value === true ? "1" : value);
  if (query.open) add("open", writeExample(query.open, "image_id"));
  add("segment", query.segment);
  const text = pairs.map(([name, value]) => `${name}=${escaped(value)}`).join("&");
  return text && `?${text}`;
}

/** Percent-encode only what would be misread, so that addresses stay readable. */
function escaped(value) {
  const readable = (code) => decodeURIComponent(code);
  return encodeURIComponent(value)
    .replace(/%20/g, "+")
    .replace(/%(3A|2C|2F|40)/g, readable);
}

function readFilters(given) {
  const filters = {};
  for (const name of TEXTS) if (given.get(name)) filters[name] = given.get(name);
  for (const name of NUMBERS) {
    const number = readNumber(given.get(name));
    if (number !== undefined) filters[name] = number;
  }
  for (const name of LISTS) if (given.has(name)) filters[name] = given.getAll(name);
  return filters;
}

function readLook(given) {
  /** @type {Look} */
  const look = {};
  if (given.get("by") === "image") look.by = "image";
  for (const name of ["all", "nested"]) if (given.get(name) === "1") look[name] = true;
  for (const name of ["min_relevance", "per_image", "diversity"]) {
    const number = readNumber(given.get(name));
    if (number !== undefined) look[name] = number;
  }
  return look;
}

function readNumber(text) {
  const number = text ? Number(text) : NaN;
  return Number.isFinite(number) ? number : undefined;
}

/**
 * Write an example: "ID", "image:ID", "upload:ID~box:1,2,3,4~at:5,6~off:7,8" or "text:words".
 *
 * @param {Example} example
 * @param {keyof Example} bare the kind that is written without its name
 */
export function writeExample(example, bare = "segment_id") {
  if (example.text !== undefined) return `text:${example.text}`;
  const kind = ["segment_id", "image_id", "upload_id"].find((name) => example[name]);
  const parts = [kind === bare ? example[kind] : `${kind.replace("_id", "")}:${example[kind]}`];
  for (const [name, key] of Object.entries(PROMPT_KEYS)) {
    const numbers = example[key]?.flat() ?? [];
    if (numbers.length) parts.push(`${name}:${numbers.join(",")}`);
  }
  return parts.join("~");
}

/**
 * @param {string} text
 * @param {"segment_id" | "image_id"} bare
 * @returns {Example | null} null if it makes no sense
 */
function readExample(text, bare = "segment_id") {
  const words = /^text:(.+)$/s.exec(text);
  if (words) return { text: words[1] };
  const [what, ...prompts] = text.split("~");
  const [, kind, id] = /^(?:(segment|image|upload):)?([\w-]+)$/.exec(what) ?? [];
  if (!id) return null;
  const example = { [kind ? `${kind}_id` : bare]: id };
  for (const prompt of prompts) readPrompt(example, prompt);
  return example;
}

function readPrompt(example, prompt) {
  const [name, list = ""] = prompt.split(":");
  const numbers = list.split(",").map(Number);
  const key = PROMPT_KEYS[name];
  if (!key || !numbers.every(Number.isFinite)) return;
  if (key === "box") {
    if (numbers.length === 4) example.box = numbers;
  } else if (numbers.length % 2 === 0) {
    example[key] = numbers.flatMap((x, i) => (i % 2 ? [] : [[x, numbers[i + 1]]]));
  }
}
