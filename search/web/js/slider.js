/** A slider with two thumbs for the share of the picture that an object covers. */

import { el } from "./dom.js";
import { percent } from "./words.js";

/** Shares at the steps of the slider: small objects matter as much as large ones. */
const STEPS = [0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1];
const LAST = STEPS.length - 1;

/**
 * @param {(change: {min_area?: number, max_area?: number}) => void} change
 * @returns {{element: HTMLElement, show: (filters: any) => void}}
 */
export function areaSlider(change) {
  const thumb = (label) =>
    el("input", { type: "range", min: "0", max: String(LAST), step: "1", "aria-label": label });
  const [low, high] = [thumb("At least"), thumb("At most")];
  const fill = el("span", { class: "span-fill" });
  const text = el("output", { class: "soft" });

  const draw = () => {
    const [from, to] = [Number(low.value), Number(high.value)];
    fill.style.left = `${(100 * from) / LAST}%`;
    fill.style.right = `${100 - (100 * to) / LAST}%`;
    low.classList.toggle("on-top", from > LAST / 2);
    for (const input of [low, high]) input.setAttribute("aria-valuetext", percent(STEPS[input.value]));
    text.textContent = from || to < LAST ? `${percent(STEPS[from])} to ${percent(STEPS[to])}` : "any";
  };
  const moved = (event) => {
    const [from, to] = [Number(low.value), Number(high.value)];
    if (from >= to) {
      if (event.target === low) low.value = String(to - 1);
      else high.value = String(from + 1);
    }
    draw();
    change({
      min_area: STEPS[low.value] || undefined,
      max_area: Number(high.value) === LAST ? undefined : STEPS[high.value],
    });
  };
  for (const input of [low, high]) input.addEventListener("input", moved);
  return {
    element: el("div", { class: "two-thumbs" }, text, el("div", { class: "track" }, fill, low, high)),
    show: ({ min_area: least = 0, max_area: most = 1 }) => {
      low.value = String(nearestStep(least));
      high.value = String(nearestStep(most));
      draw();
    },
  };
}

function nearestStep(share) {
  const distances = STEPS.map((step) => Math.abs(step - share));
  return distances.indexOf(Math.min(...distances));
}
