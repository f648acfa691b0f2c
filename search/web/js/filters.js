/** The panel beside the results: what hits are narrowed to, and how they are arranged. */

import { byId, debounced, el } from "./dom.js";
import { FacetLists } from "./facets.js";
import { filterChips } from "./filter_words.js";
import { forImages, isScene } from "./query.js";
import { AreaSlider } from "./slider.js";
import { go, query } from "./store.js";

const WAIT_MS = 250;
const narrow = matchMedia("(max-width: 899px)");
const CLOSED = "side-closed";

/** @type {FacetLists} */
let facets;
/** @type {(() => void)[]} what brings each control up to date */
const updates = [];

/** Build the panel, and let the button open and close it. */
export function buildFilters() {
  const lists = el("div", { class: "facets" });
  facets = new FacetLists(lists);
  byId("filter-panel").append(kinds(), lists, areas(), dates(), arrangement());
  byId("filter-button").addEventListener("click", toggle);
  byId("sheet-close").addEventListener("click", () => byId("filter-sheet").close());
  byId("sheet-done").addEventListener("click", () => byId("filter-sheet").close());
  byId("filter-sheet").addEventListener("close", place);
  narrow.addEventListener("change", place);
  place();
}

/**
 * Show the query's filters, and count what is left.
 *
 * @param {{anew?: boolean}} how anew: the index has changed
 */
export function showFilters({ anew = false } = {}) {
  for (const update of updates) update();
  const count = filterChips(query()).length;
  byId("filter-count").textContent = String(count);
  byId("filter-count").hidden = count === 0;
  facets.show(anew);
}

function toggle() {
  const sheet = byId("filter-sheet");
  if (narrow.matches) {
    byId("sheet-body").append(byId("filter-panel"));
    sheet.showModal();
  } else byId("search-page").classList.toggle(CLOSED);
  tellState();
}

/** Where there is room, the panel is at the side, else in a sheet of its own. */
function place() {
  if (!narrow.matches && byId("filter-sheet").open) byId("filter-sheet").close();
  byId("side").append(byId("filter-panel"));
  tellState();
}

function tellState() {
  const isOpen = narrow.matches
    ? byId("filter-sheet").open
    : !byId("search-page").classList.contains(CLOSED);
  byId("filter-button").setAttribute("aria-expanded", String(isOpen));
}

/** Set filters; those without a value are taken away. */
function setFilters(change) {
  const every = Object.entries({ ...query().filters, ...change });
  go({ filters: Object.fromEntries(every.filter(([, value]) => value !== undefined)) });
}

function setLook(change) {
  const every = Object.entries({ ...query().look, ...change });
  go({ look: Object.fromEntries(every.filter(([, value]) => value !== undefined)) });
}

function group(title, ...controls) {
  return el("fieldset", { class: "group" }, el("legend", { text: title }), ...controls);
}

function kinds() {
  const choice = (text, by) => {
    const input = el("input", { type: "radio", name: "by", value: by ?? "segment" });
    input.addEventListener("change", () => {
      const { look } = query();
      const filters = by ? forImages(query()).filters : query().filters;
      const { by: _, ...rest } = look;
      go({ look: by ? { ...rest, by } : rest, filters });
    });
    updates.push(() => {
      input.checked = query().look.by === by;
    });
    return el("label", {}, input, el("span", { text }));
  };
  const all = el("div", { class: "segmented", role: "radiogroup", "aria-label": "What is ranked" });
  all.append(choice("Objects", undefined), choice("Whole pictures", "image"));
  return all;
}

function areas() {
  const slider = new AreaSlider(debounced(setFilters, WAIT_MS));
  const all = group("Share of the picture", slider.element);
  updates.push(() => {
    slider.show(query().filters);
    all.hidden = query().look.by === "image";
  });
  return all;
}

function dates() {
  const field = (name, text) => {
    const input = el("input", { type: "date", class: "field", max: "9999-12-31" });
    input.addEventListener("change", () => setFilters({ [name]: input.value || undefined }));
    updates.push(() => {
      input.value = query().filters[name] ?? "";
    });
    return el("label", { class: "date" }, el("span", { text }), input);
  };
  return group("Taken", el("div", { class: "pair" }, field("since", "from"), field("until", "to")));
}

function arrangement() {
  const scenesIgnore = (control) => {
    updates.push(() => {
      const ignored = isScene(query()) || query().look.by === "image";
      for (const input of control.querySelectorAll("input")) input.disabled = ignored;
    });
    return control;
  };
  return group(
    "Hits",
    scenesIgnore(check("One of each picture", "per_image", 1)),
    check("Nested ones too", "nested", true),
    check("Irrelevant ones too", "all", true),
    scenesIgnore(diversity()),
  );
}

function check(text, name, value) {
  const input = el("input", { type: "checkbox" });
  input.addEventListener("change", () => setLook({ [name]: input.checked ? value : undefined }));
  updates.push(() => {
    input.checked = query().look[name] !== undefined;
  });
  return el("label", { class: "check" }, input, el("span", { text }));
}

function diversity() {
  const input = el("input", { type: "range", min: "0", max: "1", step: "0.1" });
  const value = el("output", { class: "soft" });
  const say = () => {
    value.textContent = Number(input.value) ? input.value : "off";
  };
  const set = debounced(() => setLook({ diversity: Number(input.value) || undefined }), WAIT_MS);
  input.addEventListener("input", () => {
    say();
    set();
  });
  updates.push(() => {
    input.value = String(query().look.diversity ?? 0);
    say();
  });
  return el("label", { class: "range" }, el("span", { text: "Diversity" }), value, input);
}
