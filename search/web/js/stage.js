/** The open picture and the canvas over it, on which outlines are drawn. */

import { pictureUrl } from "./api.js";
import { drawShade, strokeOutline } from "./cell.js";
import { el } from "./dom.js";
import { toPath, toleranceAt, trace } from "./outline.js";

const DOT = 6;
const COLOURS = { on: "#37e0a6", off: "#ff6b6b", box: "#ffffff" };

/**
 * @typedef {import("./rle.js").Mask} Mask
 * @typedef {{key: string | null, mask: () => Mask, colour: string, width?: number, number?: number,
 *   isFocus?: boolean}} Outline `key` names it for as long as the picture is open; null: it changes
 * @typedef {{box: number[] | null, points: number[][], notPoints: number[][]}} Marks
 */

/** Shows one picture as large as there is room. */
export class Stage {
  constructor() {
    this.picture = el("img", { class: "stage-picture", alt: "", draggable: "false" });
    this.canvas = el("canvas", {
      class: "stage-canvas",
      tabindex: "0",
      autofocus: "",
      role: "application",
      "aria-label": "The picture's objects",
      data: { testid: "viewer-canvas" },
    });
    this.frame = el("div", { class: "stage-frame" }, this.picture, this.canvas);
    this.tag = el("div", { class: "tag", role: "status" });
    this.element = el("div", { class: "stage" }, this.frame, this.tag);
    this.size = { width: 1, height: 1 };
    this.scale = 1;
    /** @type {Map<string, Path2D>} */
    this.paths = new Map();
    this.redraw = () => {};
    new ResizeObserver(() => this.fit()).observe(this.element);
    this.picture.addEventListener("load", () => this.element.classList.remove("loading"));
    this.picture.addEventListener("error", () => this.element.classList.add("broken"));
  }

  /**
   * Show a picture.
   *
   * @param {{image_id?: string, upload_id?: string}} source
   * @param {{width: number, height: number}} size in pixels
   * @param {string} name
   */
  show(source, size, name) {
    this.size = size;
    this.source = source;
    this.picture.alt = name;
    this.picture.removeAttribute("src");
    this.element.classList.remove("broken");
    this.element.classList.add("loading");
    this.paths.clear();
    this.fit();
  }

  /** Load a picture again that could not be loaded. */
  retry() {
    if (!this.element.classList.contains("broken")) return;
    this.element.classList.remove("broken");
    this.picture.removeAttribute("src");
    this.fit();
  }

  /** Make the picture as large as there is room. */
  fit() {
    const { clientWidth, clientHeight } = this.element;
    if (!clientWidth || !this.source) return;
    const { width, height } = this.size;
    const fit = Math.min(clientWidth / width, clientHeight / height);
    const [shownWidth, shownHeight] = [width * fit, height * fit].map((side) =>
      Math.max(1, Math.round(side)),
    );
    Object.assign(this.frame.style, { width: `${shownWidth}px`, height: `${shownHeight}px` });
    const url = pictureUrl(this.source, Math.max(shownWidth, shownHeight));
    if (this.picture.getAttribute("src") !== url) this.picture.src = url;
    this.sharp = Math.min(devicePixelRatio || 1, 2);
    const canvasWidth = Math.round(shownWidth * this.sharp);
    if (canvasWidth !== this.canvas.width) this.paths.clear();
    this.canvas.width = canvasWidth;
    this.canvas.height = Math.round(shownHeight * this.sharp);
    this.scale = this.canvas.width / width;
    this.redraw();
  }

  /**
   * @param {{clientX: number, clientY: number}} event
   * @returns {[number, number]} where it is, in pixels of the picture
   */
  point({ clientX, clientY }) {
    const { left, top, width, height } = this.canvas.getBoundingClientRect();
    return [
      ((clientX - left) / width) * this.size.width,
      ((clientY - top) / height) * this.size.height,
    ];
  }

  /**
   * Draw outlines, the last ones on top; what is in none that has the focus is darkened.
   *
   * @param {Outline[]} outlines
   * @param {Marks | null} marks
   */
  draw(outlines, marks) {
    const context = this.canvas.getContext("2d");
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    const drawn = outlines.map((outline) => ({ ...outline, path: this.path(outline) }));
    const focus = drawn.filter(({ isFocus }) => isFocus);
    if (focus.length) drawShade(context, focus, this.canvas.width, this.canvas.height);
    for (const { path, colour, width = 2 } of drawn) {
      strokeOutline(context, path, colour, this.sharp, width);
    }
    if (marks) this.drawMarks(context, marks);
  }

  path({ key, mask }) {
    const known = key && this.paths.get(key);
    if (known) return known;
    const path = toPath(trace(mask(), toleranceAt(this.scale / this.sharp)), this.scale);
    if (key) this.paths.set(key, path);
    return path;
  }

  drawMarks(context, { box, points, notPoints }) {
    if (box) {
      const [x0, y0, x1, y1] = box.map((value) => value * this.scale);
      const frame = new Path2D();
      frame.rect(x0, y0, x1 - x0, y1 - y0);
      context.setLineDash([6 * this.sharp, 5 * this.sharp]);
      context.lineWidth = 1.5 * this.sharp;
      context.strokeStyle = COLOURS.box;
      context.stroke(frame);
      context.setLineDash([]);
    }
    for (const point of points) this.drawDot(context, point, COLOURS.on, true);
    for (const point of notPoints) this.drawDot(context, point, COLOURS.off, false);
  }

  /** A dot with a plus or a minus in it, so that it is not told by its colour alone. */
  drawDot(context, [x, y], colour, isOn) {
    const radius = DOT * this.sharp;
    const [middleX, middleY] = [(x + 0.5) * this.scale, (y + 0.5) * this.scale];
    context.beginPath();
    context.arc(middleX, middleY, radius, 0, 2 * Math.PI);
    context.fillStyle = colour;
    context.fill();
    context.lineWidth = 1.5 * this.sharp;
    context.strokeStyle = "#10131a";
    context.stroke();
    const arm = radius / 2;
    context.beginPath();
    context.moveTo(middleX - arm, middleY);
    context.lineTo(middleX + arm, middleY);
    if (isOn) {
      context.moveTo(middleX, middleY - arm);
      context.lineTo(middleX, middleY + arm);
    }
    context.stroke();
  }

  /** @param {string} text shown over the picture; "" for nothing */
  say(text) {
    if (this.tag.textContent !== text) this.tag.textContent = text; // or it would be read again
  }
}
