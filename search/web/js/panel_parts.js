/** What the cards of the panel beside the open picture are made of. */

import { el } from "./dom.js";
import { icon } from "./icons.js";

/**
 * @typedef {object} Action what a button does
 * @property {string} text
 * @property {(event: Event) => void} act
 * @property {any} [name] of its icon
 * @property {string} [testid]
 * @property {string} [kind] its class
 * @property {string} [title]
 */

/** @param {Action} action */
export function actionButton({ text, act, name, testid, kind = "", title }) {
  const on = { click: act };
  const props = { type: "button", class: `button ${kind}`, title, data: { testid }, on };
  return el("button", props, name && icon(name), el("span", { text }));
}

/** @param {(Action | Node | false | null)[]} actions */
export function row(...actions) {
  const buttons = actions.map((one) => (one && "act" in one ? actionButton(one) : one));
  return el("div", { class: "actions" }, ...buttons);
}

/** @param {[string, string | null | undefined | false][]} pairs without a value: left out */
export function facts(pairs) {
  const rows = pairs.flatMap(([name, value]) =>
    value ? [el("dt", { text: name }), el("dd", { text: value })] : [],
  );
  return el("dl", { class: "facts" }, ...rows);
}

/**
 * What can be done with the object that is meant.
 *
 * @param {import("./viewer.js").Viewer} viewer
 * @param {boolean} isPicked
 * @returns {Action[]}
 */
export function objectActions(viewer, isPicked) {
  return [
    {
      text: "Find similar",
      act: (event) => viewer.similar(event),
      name: "similar",
      testid: "similar-button",
      kind: "primary",
      title: "Find similar (s)",
    },
    {
      text: "Not this",
      act: (event) => viewer.not(event),
      name: "minus",
      testid: "negative-button",
      title: "Not this (n)",
    },
    {
      text: isPicked ? "In the scene" : "Add to scene",
      act: () => viewer.pickSubject(),
      name: isPicked ? "pick" : "plus",
      testid: "add-to-scene",
      title: "For a search with several things (a)",
    },
  ];
}
