/** The page's icons: strokes on a field of 24 × 24. */

const SVG = "http://www.w3.org/2000/svg";

const PATHS = {
  search: "M10.5 4a6.5 6.5 0 1 1 0 13a6.5 6.5 0 0 1 0-13M15.5 15.5L20 20",
  picture: "M4 6.5A1.5 1.5 0 0 1 5.5 5h13A1.5 1.5 0 0 1 20 6.5v11a1.5 1.5 0 0 1-1.5 1.5h-13A1.5 1.5 0 0 1 4 17.5zM4.5 17l4.5-5l3.5 3.5l3-3L20 17M15.5 8.6v.1",
  close: "M6.5 6.5l11 11M17.5 6.5l-11 11",
  filter: "M4 7h9M17 7h3M4 17h3M11 17h9M15 5v4M9 15v4",
  sun: "M12 8a4 4 0 1 1 0 8a4 4 0 0 1 0-8M12 3v1.5M12 19.5V21M3 12h1.5M19.5 12H21M5.6 5.6l1.1 1.1M17.3 17.3l1.1 1.1M5.6 18.4l1.1-1.1M17.3 6.7l1.1-1.1",
  moon: "M19.5 14.2A8 8 0 0 1 9.8 4.5a8 8 0 1 0 9.7 9.7z",
  help: "M9 9.2a3 3 0 1 1 4.2 2.7c-.8.4-1.2 1-1.2 1.9v.4M12 17.6v.1M12 3.5a8.5 8.5 0 1 1 0 17a8.5 8.5 0 0 1 0-17",
  similar: "M4.5 9.5a5 5 0 0 1 10 0a5 5 0 0 1-10 0M9.5 14.5a5 5 0 1 0 5-5",
  minus: "M12 3.5a8.5 8.5 0 1 1 0 17a8.5 8.5 0 0 1 0-17M8 12h8",
  plus: "M12 5v14M5 12h14",
  left: "M14.5 5.5L8 12l6.5 6.5",
  right: "M9.5 5.5L16 12l-6.5 6.5",
  box: "M4 8V5.5A1.5 1.5 0 0 1 5.5 4H8M16 4h2.5A1.5 1.5 0 0 1 20 5.5V8M20 16v2.5a1.5 1.5 0 0 1-1.5 1.5H16M8 20H5.5A1.5 1.5 0 0 1 4 18.5V16M9 9h6v6H9z",
  point: "M12 9a3 3 0 1 1 0 6a3 3 0 0 1 0-6M12 3.5V7M12 17v3.5M3.5 12H7M17 12h3.5",
  pick: "M5 12.5l4 4L19 7",
  download: "M12 4v11M7.5 10.5L12 15l4.5-4.5M5 19.5h14",
  progress: "M4 12h3l2.5-6l5 12l2.5-6h3",
  alert: "M12 4.5L21 19.5H3zM12 10v4.5M12 17v.1",
}; // prettier-ignore

/**
 * @param {keyof typeof PATHS} name
 * @returns {SVGElement} hidden from screen readers: what it is on has the name
 */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

/** Put its icon before the text of every element that names one in `data-icon`. */
export function placeIcons(root = document) {
  for (const element of root.querySelectorAll("[data-icon]")) {
    element.prepend(icon(/** @type {any} */ (element).dataset.icon));
  }
}
