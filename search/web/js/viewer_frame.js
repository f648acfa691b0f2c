/** What surrounds the open picture: the bars above and below it, and the panel beside it. */

import { el } from "./dom.js";
import { icon } from "./icons.js";
import { closePicture } from "./store.js";
import { fileName } from "./words.js";

const MODES = [
  { mode: "pick", text: "Pick", testid: "pick-button", title: "Pick several (p, or alt-click)" },
  { mode: "box", text: "Box", testid: "box-mode", title: "Drag a box around an object (b)" },
  { mode: "point", text: "Points", testid: "point-mode", title: "Click points on an object (o)" },
];

/** Makes and keeps the elements around the picture. */
export class Frame {
  /** @param {import("./viewer.js").Viewer} viewer */
  constructor(viewer) {
    this.viewer = viewer;
    this.title = el("h2", { class: "viewer-title" });
    this.place = el("span", { class: "viewer-place soft" });
    this.hint = el("p", { class: "viewer-hint" });
    this.message = el("div", { class: "viewer-message" });
    this.panel = el("aside", { class: "viewer-panel", "aria-label": "About the picture" });
    this.foot = this.makeFoot();
    const { element: stage } = viewer.stage;
    const main = el(
      "div",
      { class: "viewer-main" },
      this.makeHead(),
      stage,
      this.message,
      this.foot,
    );
    this.element = el("div", { class: "viewer-body" }, main, this.panel);
  }

  makeHead() {
    const { viewer } = this;
    const button = (name, label, testid, act) =>
      el(
        "button",
        {
          type: "button",
          class: "ghost",
          "aria-label": label,
          title: label,
          data: { testid },
          on: { click: act },
        },
        icon(name),
      );
    const close = button("close", "Close (Esc)", "viewer-close", () => closePicture());
    this.previous = button("left", "Previous (←)", "previous-button", () => viewer.turn(-1));
    this.next = button("right", "Next (→)", "next-button", () => viewer.turn(1));
    return el(
      "header",
      { class: "viewer-head" },
      close,
      this.title,
      this.place,
      this.previous,
      this.next,
    );
  }

  makeFoot() {
    this.modes = MODES.map(({ mode, text, testid, title }) =>
      el(
        "button",
        {
          type: "button",
          class: "mode",
          title,
          data: { testid, mode },
          on: { click: () => this.viewer.setMode(/** @type {any} */ (mode)) },
        },
        icon(/** @type {any} */ (mode)),
        el("span", { text }),
      ),
    );
    const label = "How to point at objects";
    const bar = el("div", { class: "modes", role: "toolbar", "aria-label": label }, ...this.modes);
    return el("footer", { class: "viewer-foot" }, this.hint, bar);
  }

  /** Tell what is open. */
  show() {
    this.title.textContent = fileName(this.viewer.image.path);
    this.title.title = this.viewer.image.path;
    this.viewer.dialog.setAttribute("aria-label", `Picture ${this.title.textContent}`);
  }

  /** Bring the bars up to date. */
  update() {
    const { viewer } = this;
    const { number, count } = viewer;
    this.place.textContent = number < 0 ? "" : `${number + 1} of ${count}`;
    this.previous.disabled = number <= 0;
    this.next.disabled = number < 0 || number >= count - 1;
    this.hint.textContent = viewer.hint;
    viewer.dialog.dataset.mode = viewer.mode;
    for (const each of this.modes) {
      each.setAttribute("aria-pressed", String(each.dataset.mode === viewer.mode));
      each.hidden = viewer.isUpload && each.dataset.mode === "pick";
    }
  }

  /** @param {Node[]} cards */
  fillPanel(cards) {
    const focused = /** @type {any} */ (document.activeElement);
    const testid = this.panel.contains(focused) && focused.dataset.testid;
    this.panel.replaceChildren(...cards);
    if (testid) this.panel.querySelector(`[data-testid="${testid}"]`)?.focus();
  }

  get hasFailed() {
    return this.message.childElementCount > 0;
  }

  /** @param {Node | null} card what is said instead of the picture */
  fail(card) {
    this.message.replaceChildren(...(card ? [card] : []));
    this.viewer.stage.element.hidden = this.foot.hidden = card !== null;
    this.panel.replaceChildren();
    this.title.textContent = "";
    this.place.textContent = "";
  }
}
