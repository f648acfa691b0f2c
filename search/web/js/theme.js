/** Dark or light: as the system has it, until it is chosen here. */

import { byId } from "./dom.js";
import { icon } from "./icons.js";

const KEY = "segsearch-theme";
const dark = matchMedia("(prefers-color-scheme: dark)");
/** @type {string | null} what was chosen on this page: storage may be forbidden */
let chosen = null;

/** Apply what was chosen, and let the button change it. */
export function watchTheme() {
  show();
  dark.addEventListener("change", show);
  byId("theme-toggle").addEventListener("click", () => {
    remember(theme() === "dark" ? "light" : "dark");
    show();
  });
}

function theme() {
  return chosen ?? recall() ?? (dark.matches ? "dark" : "light");
}

function show() {
  const shown = theme();
  document.documentElement.dataset.theme = shown;
  const button = byId("theme-toggle");
  button.replaceChildren(icon(shown === "dark" ? "sun" : "moon"));
  button.setAttribute("aria-label", shown === "dark" ? "Light colours" : "Dark colours");
  button.title = button.getAttribute("aria-label");
}

function recall() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}

function remember(theme) {
  chosen = theme;
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // then for as long as the page is open
  }
}
