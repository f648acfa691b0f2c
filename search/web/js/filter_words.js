/** The filters that are set, in words, and how to take each away. */

import { percent } from "./words.js";

/** Names of how deep a segment lies in others, from the top. */
const DEPTHS = ["whole objects", "parts", "parts of parts"];

/** @param {number} depth */
export function depthName(depth) {
  return DEPTHS[depth] ?? `depth ${depth}`;
}

/**
 * @param {import("./query.js").Query} query
 * @returns {{text: string, change: Partial<import("./query.js").Query>}[]}
 */
export function filterChips({ filters, look }) {
  const chips = [];
  const without = (...names) => {
    const kept = Object.entries(filters).filter(([name]) => !names.includes(name));
    return { filters: Object.fromEntries(kept) };
  };
  for (const name of ["label", "camera", "format"]) {
    for (const value of filters[name] ?? []) {
      chips.push({ text: value, change: { filters: toggled(filters, name, value) } });
    }
  }
  for (const name of ["path", "glob"]) {
    if (filters[name]) chips.push({ text: filters[name], change: without(name) });
  }
  for (const [names, text] of [
    [["min_area", "max_area"], areaText(filters)],
    [["min_depth", "max_depth"], depthText(filters)],
    [["since", "until"], datesText(filters)],
    [["near"], filters.near && nearText(filters.near)],
    [["min_size"], filters.min_size && `at least ${filters.min_size} px`],
    [["max_size"], filters.max_size && `at most ${filters.max_size} px`],
    [["min_label_score"], filters.min_label_score && `label surer than ${filters.min_label_score}`],
  ]) {
    if (text) chips.push({ text, change: without(...names) });
  }
  return [...chips, ...lookChips(look)];
}

/**
 * Filters with a value of a list added, or taken away if it is there.
 *
 * @param {Record<string, any>} filters
 * @param {string} name
 * @param {string} value
 */
export function toggled(filters, name, value) {
  const { [name]: values = [], ...others } = filters;
  const rest = values.filter((each) => each !== value);
  if (rest.length === values.length) rest.push(value);
  return rest.length ? { ...others, [name]: rest } : others;
}

function lookChips(look) {
  const without = (name) => {
    const { [name]: _, ...rest } = look;
    return { look: rest };
  };
  const each = look.per_image === 1 ? "one a picture" : `${look.per_image} a picture`;
  return [
    look.by === "image" && { text: "whole pictures", change: without("by") },
    look.per_image && { text: each, change: without("per_image") },
    look.nested && { text: "nested too", change: without("nested") },
    look.diversity && { text: `diversity ${look.diversity}`, change: without("diversity") },
    look.all && { text: "irrelevant too", change: without("all") },
    look.min_relevance !== undefined && {
      text: `relevance from ${look.min_relevance}`,
      change: without("min_relevance"),
    },
  ].filter(Boolean);
}

/** @param {Record<string, any>} filters */
function areaText({ min_area: least, max_area: most }) {
  if (least === undefined && most === undefined) return "";
  if (most === undefined) return `larger than ${percent(least)}`;
  if (least === undefined) return `smaller than ${percent(most)}`;
  return `${percent(least)} to ${percent(most)}`;
}

/** @param {Record<string, any>} filters */
function depthText({ min_depth: least, max_depth: most }) {
  if (least === undefined && most === undefined) return "";
  if (least === most) return depthName(least);
  return most === undefined ? `depth from ${least}` : `depth ${least ?? 0} to ${most}`;
}

/** @param {Record<string, any>} filters */
function datesText({ since, until }) {
  if (since?.endsWith("-01-01") && until === `${since.slice(0, 4)}-12-31`) return since.slice(0, 4);
  if (since && until) return `${since} to ${until}`;
  if (since) return `since ${since}`;
  return until ? `until ${until}` : "";
}

/** @param {string} near latitude, longitude and radius in kilometres */
function nearText(near) {
  const [latitude, longitude, radius] = near.split(",");
  return `${radius} km around ${latitude}, ${longitude}`;
}
