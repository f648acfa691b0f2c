/** What there is to filter by, and how many of each: lists whose values are switched on and off. */

import { ask, isAborted } from "./api.js";
import { el } from "./dom.js";
import { depthName, toggled } from "./filter_words.js";
import { filterParams, forImages } from "./query.js";
import { isNothingThere } from "./stats.js";
import { go, query } from "./store.js";

const SHOWN = 8;
const ASKED = 50;

/**
 * @typedef {object} Group one property
 * @property {string} title
 * @property {string[]} filters what its values set
 * @property {boolean} ofSegments whole pictures do not have it
 * @property {(value: string) => string} name
 * @property {(filters: any, value: string) => boolean} isOn
 * @property {(filters: any, value: string) => any} toggle
 */

/** @type {Record<string, Group>} */
const GROUPS = {
  label: listed("Label", "label", true),
  folder: single("Folder", ["path"], (value) => ({ path: `${value}/` })),
  year: single("Year", ["since", "until"], (value) => ({
    since: `${value}-01-01`,
    until: `${value}-12-31`,
  })),
  camera: listed("Camera", "camera", false),
  format: listed("Format", "format", false),
  depth: {
    ...single("Part or whole", ["min_depth", "max_depth"], (value) => ({
      min_depth: Number(value),
      max_depth: Number(value),
    })),
    ofSegments: true,
    name: (value) => depthName(Number(value)),
  },
};

/** Values of which several may be on. */
function listed(title, filter, ofSegments) {
  return {
    title,
    filters: [filter],
    ofSegments,
    name: (value) => value,
    isOn: (filters, value) => filters[filter]?.includes(value) ?? false,
    toggle: (filters, value) => toggled(filters, filter, value),
  };
}

/** Values of which one at most is on. */
function single(title, names, conditions) {
  const has = (filters, value) =>
    Object.entries(conditions(value)).every(([name, wanted]) => filters[name] === wanted);
  return {
    title,
    filters: names,
    ofSegments: false,
    name: (value) => value,
    isOn: has,
    toggle: (filters, value) => {
      const others = without(filters, names);
      return has(filters, value) ? others : { ...others, ...conditions(value) };
    },
  };
}

function without(filters, names) {
  return Object.fromEntries(Object.entries(filters).filter(([name]) => !names.includes(name)));
}

/** Lists of values below an element. */
export class FacetLists {
  /** @param {HTMLElement} element */
  constructor(element) {
    this.element = element;
    this.asking = new AbortController();
    /** @type {Set<string>} groups that are shown whole */
    this.unfolded = new Set();
    this.facets = [];
    /** @type {string | null} */
    this.counted = null;
  }

  /** @param {boolean} anew count even if the filters are those that were counted with */
  async show(anew) {
    const { filters, look } = query();
    const key = JSON.stringify([filters, look.by]);
    if ((key === this.counted && !anew) || isNothingThere()) return;
    this.counted = key;
    this.asking.abort();
    this.asking = new AbortController();
    const { signal } = this.asking;
    const shown = Object.keys(GROUPS).filter((by) => look.by !== "image" || !GROUPS[by].ofSegments);
    this.draw(); // what is on shows at once, the numbers follow
    try {
      const answers = await Promise.all(questions(shown, filters).map((one) => count(one, signal)));
      this.facets = answers.flat();
      this.draw();
    } catch (error) {
      if (isAborted(error)) return;
      this.counted = null; // the hits say what is wrong
    }
  }

  draw() {
    const { filters } = query();
    const focused = /** @type {any} */ (document.activeElement)?.dataset?.key;
    const isWorthIt = ({ by, values }) =>
      values.length > 1 || values.some((one) => isOn(by, one, filters));
    const groups = Object.keys(GROUPS)
      .flatMap((by) => this.facets.filter((facet) => facet.by === by))
      .filter(isWorthIt)
      .map((facet) => this.group(facet, filters));
    this.element.replaceChildren(...groups);
    if (!focused) return;
    const again = this.element.querySelector(`[data-key="${CSS.escape(focused)}"]`);
    /** @type {HTMLElement | null} */ (again)?.focus();
  }

  group({ by, values, more }, filters) {
    const isWhole = this.unfolded.has(by) || values.length <= SHOWN + 1;
    const shown = isWhole ? values : values.filter((one, i) => i < SHOWN || isOn(by, one, filters));
    const rows = shown.map((one) => valueRow(by, one, filters));
    const rest = values.length - shown.length;
    const unfold = () => {
      this.unfolded.add(by);
      this.draw();
    };
    return el(
      "fieldset",
      { class: "group", data: { facet: by } },
      el("legend", { text: GROUPS[by].title }),
      ...rows,
      rest > 0 &&
        el("button", {
          type: "button",
          class: "link",
          on: { click: unfold },
          text: `${rest} more`,
        }),
      isWhole && more && el("p", { class: "soft small", text: "and more, less common" }),
    );
  }
}

function isOn(by, { value }, filters) {
  return GROUPS[by].isOn(filters, value);
}

function valueRow(by, one, filters) {
  const { name, toggle } = GROUPS[by];
  const on = isOn(by, one, filters);
  return el(
    "button",
    {
      type: "button",
      class: "facet",
      "aria-pressed": String(on),
      data: { testid: "facet", by, value: one.value, key: `${by}:${one.value}` },
      on: { click: () => go({ filters: toggle(query().filters, one.value) }) },
    },
    el("span", { class: "facet-name", text: name(one.value), title: one.value }),
    el("span", { class: "facet-count", text: one.count.toLocaleString("en") }),
  );
}

/**
 * What to ask: a property that is filtered by is counted without its own filter, or its other
 * values would be gone.
 */
function questions(shown, filters) {
  const isSet = (by) => GROUPS[by].filters.some((name) => name in filters);
  const free = shown.filter((by) => !isSet(by));
  const own = shown
    .filter(isSet)
    .map((by) => ({ by: [by], filters: without(filters, GROUPS[by].filters) }));
  return [...(free.length ? [{ by: free, filters }] : []), ...own];
}

async function count({ by, filters }, signal) {
  const { look } = query();
  const params = filterParams(look.by === "image" ? forImages({ filters }).filters : filters);
  for (const each of by) params.append("by", each);
  params.set("limit", String(ASKED));
  return (await ask(`/v1/facets?${params}`, { signal })).facets;
}
