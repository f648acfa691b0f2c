/** A slider with two thumbs for the share of the picture that an object covers. */

import { el } from "./dom.js";
import { percent } from "./words.js";

/** Shares at the steps of the slider: small objects matter as much as large ones. */
const STEPS = [0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1];
const LAST = STEPS.length - 1;

/** Two ranges, one over the other, whose thumbs cannot pass each other. */
export class AreaSlider {
  /** @param {(change: {min_area?: number, max_area?: number}) => void} changed */
  constructor(changed) {
    this.changed = changed;
    this.low = this.thumb("At least");
    this.high = this.thumb("At most");
    this.fill = el("span", { class: "span-fill" });
    this.text = el("output", { class: "soft" });
    const track = el("div", { class: "track" }, this.fill, this.low, this.high);
    this.element = el("div", { class: "two-thumbs" }, this.text, track);
  }

  thumb(label) {
    const input = el("input", { type: "range", min: "0", max: String(LAST), step: "1" });
    input.setAttribute("aria-label", label);
    input.addEventListener("input", () => this.move(input));
    return input;
  }

  /** @param {{min_area?: number, max_area?: number}} filters */
  show({ min_area: least = 0, max_area: most = 1 }) {
    this.low.value = String(nearestStep(least));
    this.high.value = String(nearestStep(most));
    this.draw();
  }

  move(input) {
    const [from, to] = this.ends;
    if (from >= to && input === this.low) this.low.value = String(to - 1);
    else if (from >= to) this.high.value = String(from + 1);
    this.draw();
    const [least, most] = this.ends;
    this.changed({
      min_area: STEPS[least] || undefined,
      max_area: most === LAST ? undefined : STEPS[most],
    });
  }

  get ends() {
    return [Number(this.low.value), Number(this.high.value)];
  }

  draw() {
    const [from, to] = this.ends;
    this.fill.style.left = `${(100 * from) / LAST}%`;
    this.fill.style.right = `${100 - (100 * to) / LAST}%`;
    this.low.classList.toggle("on-top", from > LAST / 2);
    for (const input of [this.low, this.high]) {
      input.setAttribute("aria-valuetext", percent(STEPS[input.value]));
    }
    const isAny = from === 0 && to === LAST;
    this.text.textContent = isAny ? "any" : `${percent(STEPS[from])} to ${percent(STEPS[to])}`;
  }
}

function nearestStep(share) {
  const distances = STEPS.map((step) => Math.abs(step - share));
  return distances.indexOf(Math.min(...distances));
}
