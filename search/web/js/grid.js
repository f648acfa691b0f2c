/** The grid of results: laid out in rows, filled from the top, walked through with the arrows. */

import { hideCell, makeCell, showCell } from "./cell.js";
import { debounced, el, focusResults } from "./dom.js";
import { justified, nearestInRow } from "./layout.js";

/** Height that rows should have, for narrow and wide grids, CSS pixels. */
const ROW = { narrow: 150, middle: 190, wide: 230 };
const NARROW = 560;
const WIDE = 1100;
const GAP = 8;
/** How far outside the window pictures are loaded already. */
const AHEAD = "600px 0px";
/** Shapes of the cells that stand in for those that are on their way. */
const STAND_INS = [1.5, 1.2, 0.8, 1.4, 1.7, 1, 1.3, 1.5, 0.75, 1.6, 1.2, 1.4, 1, 1.5, 1.3, 0.8];

/** @typedef {import("./types.js").Item} Item */

/** Keeps the cells of a list of items in place. */
export class Grid {
  /** @param {HTMLElement} element a list */
  constructor(element) {
    this.element = element;
    /** @type {Item[]} */
    this.items = [];
    /** @type {HTMLElement[]} */
    this.cells = [];
    /** @type {import("./layout.js").Place[]} */
    this.places = [];
    this.numbers = new WeakMap();
    this.seen = new IntersectionObserver((entries) => this.see(entries), { rootMargin: AHEAD });
    this.width = 0;
    const resized = debounced(() => this.resize(), 60);
    new ResizeObserver(resized).observe(element);
    element.addEventListener("keydown", (event) => this.walk(event));
    element.addEventListener("focusin", (event) => this.rove(event));
  }

  /** Show cells that stand in for items which are not there yet. */
  wait() {
    this.clear();
    const cells = STAND_INS.map(() => el("li", { class: "cell stand-in", "aria-hidden": "true" }));
    this.element.setAttribute("aria-busy", "true");
    this.element.append(...cells);
    this.place(cells, this.layOut(STAND_INS), 0);
  }

  clear() {
    if (this.element.contains(document.activeElement)) focusResults();
    this.seen.disconnect();
    this.items = [];
    this.cells = [];
    this.places = [];
    this.element.replaceChildren();
    this.element.style.height = "0";
    this.element.removeAttribute("aria-busy");
  }

  /** @param {Item[]} items to show below those that are there */
  add(items) {
    const first = this.items.length;
    if (!first) this.clear();
    const cells = items.map((item, i) => makeCell(item, first + i));
    cells.forEach((cell, i) => this.numbers.set(cell, first + i));
    this.items.push(...items);
    this.cells.push(...cells);
    this.element.append(...cells);
    this.arrange(first);
    for (const cell of cells) this.seen.observe(cell);
  }

  /** @param {Element} element in a cell: the number of its item, -1 outside */
  numberOf(element) {
    const cell = element.closest(".cell");
    return (cell && this.numbers.get(cell)) ?? -1;
  }

  /** @param {number} number of the cell that gets the focus */
  focus(number) {
    this.cells[number]?.querySelector("a").focus();
  }

  /** Lay all out again; cells before the last row of the older ones do not move. */
  arrange(first = 0) {
    const shapes = this.items.map(({ image }) => image.width / image.height);
    const places = this.layOut(shapes);
    const row = this.places[first - 1]?.row ?? 0;
    const from = first ? this.places.findIndex((place) => place.row === row) : 0;
    const moved = this.cells.slice(from);
    this.places = places;
    this.place(moved, places.slice(from), from);
  }

  layOut(shapes) {
    this.width = this.element.clientWidth;
    const height = this.width < NARROW ? ROW.narrow : this.width < WIDE ? ROW.middle : ROW.wide;
    return justified(shapes, { width: this.width, height, gap: this.width < NARROW ? 4 : GAP });
  }

  place(cells, places, from) {
    cells.forEach((cell, i) => {
      const { left, top, width, height } = places[i];
      Object.assign(cell.style, {
        transform: `translate(${left}px, ${top}px)`,
        width: `${width}px`,
        height: `${height}px`,
      });
      if (cell.dataset.seen) showCell(cell, this.items[from + i]);
    });
    const last = places.at(-1);
    if (last) this.element.style.height = `${last.top + last.height}px`;
  }

  resize() {
    const isCovered = document.querySelector(".viewer[open]") !== null; // and has no scroll bar
    if (this.element.clientWidth !== this.width && this.items.length && !isCovered) this.arrange();
  }

  /** Load the pictures again that could not be loaded. */
  retry() {
    this.cells.forEach((cell, i) => {
      if (cell.dataset.seen && cell.querySelector(".broken")) showCell(cell, this.items[i]);
    });
  }

  see(entries) {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) {
        target.dataset.seen = "1";
        showCell(target, this.items[this.numbers.get(target)]);
      } else if (target.dataset.seen) {
        delete target.dataset.seen;
        hideCell(target);
      }
    }
  }

  walk(event) {
    const number = this.numberOf(event.target);
    if (number < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
    const to = this.target(event.key, number);
    if (to === undefined) return;
    event.preventDefault();
    this.focus(Math.min(Math.max(to, 0), this.cells.length - 1));
  }

  target(key, number) {
    switch (key) {
      case "ArrowRight":
        return number + 1;
      case "ArrowLeft":
        return number - 1;
      case "ArrowDown":
        return nearestInRow(this.places, number, 1);
      case "ArrowUp":
        return nearestInRow(this.places, number, -1);
      case "Home":
        return 0;
      case "End":
        return this.cells.length - 1;
      default:
        return undefined;
    }
  }

  /** Of all cells only the one that had the focus last is reached with the tab key. */
  rove(event) {
    const link = event.target.closest("a.cell-link");
    if (!link) return;
    for (const other of this.element.querySelectorAll('a[tabindex="0"]')) {
      other.setAttribute("tabindex", "-1");
    }
    link.tabIndex = 0;
  }
}
