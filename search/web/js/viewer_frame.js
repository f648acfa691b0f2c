/** What surrounds the open picture: the bars above and below it, and the panel beside it. */

import { el } from "./dom.js";
import { icon } from "./icons.js";
import { closePicture } from "./store.js";
import { fileName } from "./words.js";

const MODES = [
  { mode: "pick", name: "pick", text: "Pick", testid: "pick-button", title: "Pick several objects (p, or alt-click)" },
  { mode: "box", name: "box", text: "Box", testid: "box-mode", title: "Drag a box around an object (b)" },
  { mode: "point", name: "point", text: "Points", testid: "point-mode", title: "Click points on an object (o)" },
]; // prettier-ignore

/** @param {import("./viewer.js").Viewer} viewer */
export function frameOf(viewer) {
  const button = (name, label, act, testid) =>
    el("button", { type: "button", class: "ghost", "aria-label": label, title: label, data: { testid }, on: { click: act } }, icon(name));
  const title = el("h2", { class: "viewer-title" });
  const place = el("span", { class: "viewer-place soft" });
  const previous = button("left", "Previous (←)", () => viewer.turn(-1), "previous-button");
  const next = button("right", "Next (→)", () => viewer.turn(1), "next-button");
  const head = el("header", { class: "viewer-head" },
    button("close", "Close (Esc)", () => closePicture(), "viewer-close"), title, place, previous, next); // prettier-ignore
  const modes = MODES.map(({ mode, name, text, testid, title: hint }) =>
    el("button", { type: "button", class: "mode", title: hint, data: { testid, mode }, on: { click: () => viewer.setMode(mode) } }, icon(name), el("span", { text })),
  ); // prettier-ignore
  const bar = el("div", { class: "modes", role: "toolbar", "aria-label": "How to point at objects" }, ...modes);
  const message = el("div", { class: "viewer-message" });
  const panel = el("aside", { class: "viewer-panel", "aria-label": "About the picture" });
  const main = el("div", { class: "viewer-main" }, head, viewer.stage.element, message, bar);

  return {
    element: el("div", { class: "viewer-body" }, main, panel),

    /** Tell what is open. */
    show() {
      title.textContent = fileName(viewer.image.path);
      title.title = viewer.image.path;
    },

    /** Bring the bars up to date. */
    update() {
      const { number, count } = viewer.place;
      place.textContent = number < 0 ? "" : `${number + 1} of ${count}`;
      previous.disabled = number <= 0;
      next.disabled = number < 0 || number >= count - 1;
      viewer.dialog.dataset.mode = viewer.mode;
      for (const each of modes) {
        each.setAttribute("aria-pressed", String(each.dataset.mode === viewer.mode));
        each.hidden = viewer.isUpload && each.dataset.mode === "pick";
      }
    },

    /** @param {Node[]} cards */
    panel(cards) {
      const key = focusKey(panel);
      panel.replaceChildren(...cards);
      if (key) panel.querySelector(key)?.focus();
    },

    /** @param {Node | null} card what is said instead of the picture */
    fail(card) {
      message.replaceChildren(...(card ? [card] : []));
      viewer.stage.element.hidden = bar.hidden = card !== null;
      panel.replaceChildren();
      title.textContent = "";
      place.textContent = "";
    },
  };
}

/** How to find what has the focus when it is made anew. */
function focusKey(panel) {
  const focused = /** @type {any} */ (document.activeElement);
  const testid = panel.contains(focused) && focused.dataset.testid;
  return testid ? `[data-testid="${testid}"]` : null;
}
