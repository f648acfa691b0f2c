/** The pointer on the open picture: hovering, clicking, dragging a box, placing points. */

import { findSimilar, notThis, pick } from "./actions.js";
import { outlineIsDrawn } from "./timing.js";

/** Movement from which a click is a drag, CSS pixels. */
const DRAG_PX = 5;
/** Turning the wheel by so much is one step. */
const WHEEL_STEP = 40;
const WHEEL_PAUSE_MS = 250;

/** @typedef {import("./types.js").Segment} Segment */

/** Follows the pointer for a viewer. */
export class Pointing {
  /** @param {import("./viewer.js").Viewer} viewer */
  constructor(viewer) {
    this.viewer = viewer;
    /** @type {Segment[]} what contains the pointer, the smallest first */
    this.chain = [];
    /** @type {{x: number, y: number, from: [number, number], isBox: boolean} | null} */
    this.press = null;
    this.turned = 0;
    this.turnedAt = 0;
    const { canvas } = viewer.stage;
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointerup", (event) => this.up(event));
    canvas.addEventListener("pointercancel", () => {
      this.press = null;
    });
    canvas.addEventListener("pointerleave", () => this.leave());
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("contextmenu", (event) => this.menu(event));
  }

  /** Another picture comes: nothing is under the pointer yet. */
  forget() {
    this.chain = [];
    this.press = null;
  }

  move(event) {
    if (this.press) this.drag(event);
    else if (event.pointerType !== "touch") this.hoverAt(event);
  }

  /** Outline what is under the pointer, where objects are what one points at. */
  hoverAt(event) {
    const { viewer } = this;
    if (
      !viewer.hitting ||
      !viewer.prompt.isEmpty ||
      viewer.mode === "box" ||
      viewer.mode === "point"
    )
      return;
    this.chain = viewer.hitting.chainAt(...viewer.stage.point(event));
    const segment = viewer.hitting.chosen(this.chain);
    if (segment === viewer.hovered) return;
    viewer.hover(segment);
    outlineIsDrawn(event);
  }

  leave() {
    this.chain = [];
    if (this.viewer.hovered && !this.press) this.viewer.hover(null);
  }

  down(event) {
    if (event.button !== 0 || !this.viewer.image) return;
    this.press = {
      x: event.clientX,
      y: event.clientY,
      from: this.viewer.stage.point(event),
      isBox: false,
    };
    event.target.setPointerCapture(event.pointerId);
  }

  drag(event) {
    const { viewer, press } = this;
    const far = Math.hypot(event.clientX - press.x, event.clientY - press.y) > DRAG_PX;
    const mayDrag =
      viewer.mode === "box" || (event.pointerType !== "touch" && viewer.mode !== "pick");
    if (!press.isBox && !(far && mayDrag)) return;
    if (!press.isBox) {
      press.isBox = true;
      viewer.hovered = null;
    }
    viewer.prompt.span(press.from, viewer.stage.point(event));
  }

  up(event) {
    const { press } = this;
    this.press = null;
    if (!press || press.isBox || event.button !== 0) return;
    const far = Math.hypot(event.clientX - press.x, event.clientY - press.y) > 2 * DRAG_PX;
    if (!far) this.click(event);
  }

  click(event) {
    const { viewer } = this;
    if (viewer.mode === "point" || (viewer.mode === "box" && !viewer.prompt.isEmpty)) {
      viewer.prompt.add(viewer.stage.point(event), !(event.shiftKey || viewer.isBeside));
      return;
    }
    if (viewer.mode === "box") return;
    if (!viewer.prompt.isEmpty) {
      viewer.clearPrompt();
      this.hoverAt(event);
      return;
    }
    const segment = this.segmentAt(event);
    if (segment) this.act(segment, event);
  }

  /** @returns {Segment | null} */
  segmentAt(event) {
    const { viewer } = this;
    if (!viewer.hitting) return null;
    this.chain = viewer.hitting.chainAt(...viewer.stage.point(event));
    const now = this.chain.indexOf(viewer.selected);
    const again = event.pointerType === "touch" && now >= 0;
    return again ? this.chain[(now + 1) % this.chain.length] : viewer.hitting.chosen(this.chain);
  }

  act(segment, event) {
    const { viewer } = this;
    const example = { segment_id: segment.id };
    if (viewer.mode === "pick" || event.altKey) pick(example);
    else if (event.shiftKey) notThis(example, event);
    else if (event.ctrlKey || event.metaKey || event.pointerType === "touch")
      viewer.select(segment);
    else findSimilar(example, event);
  }

  /** Walk from the part to the whole and back. */
  wheel(event) {
    const { viewer } = this;
    if (event.ctrlKey || !viewer.hitting || !viewer.prompt.isEmpty || this.chain.length < 2) return;
    event.preventDefault();
    if (event.timeStamp - this.turnedAt > WHEEL_PAUSE_MS) this.turned = 0;
    this.turnedAt = event.timeStamp;
    this.turned += event.deltaMode ? Math.sign(event.deltaY) * WHEEL_STEP : event.deltaY;
    const steps = Math.trunc(this.turned / WHEEL_STEP);
    if (!steps) return;
    this.turned = 0;
    const segment = viewer.hitting.walk(this.chain, -Math.sign(steps));
    if (segment !== viewer.hovered) viewer.hover(segment);
  }

  /** The right button: beside the object in the mode for points, else it selects. */
  menu(event) {
    const { viewer } = this;
    event.preventDefault();
    if (viewer.mode === "point") viewer.prompt.add(viewer.stage.point(event), false);
    else if (viewer.hovered) viewer.select(viewer.hovered);
  }
}
