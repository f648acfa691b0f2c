/** Making elements. Whatever comes from outside becomes text or an attribute, never markup. */

/**
 * Make an element.
 *
 * @param {string} tag
 * @param {Record<string, any>} props attributes; `class`, `text`, `on` (event → listener) and
 *   `data` (name → value) as well. What is null, undefined or false is left out.
 * @param {...(Node | string | null | undefined | false)} children
 * @returns {any} an element of that tag
 */
export function el(tag, props = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") made.textContent = value;
    else if (name === "on") listen(made, value);
    else if (name === "data") Object.assign(made.dataset, value);
    else if (name in made && typeof value !== "string") made[name] = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(.../** @type {(Node | string)[]} */ (children.filter(Boolean)));
  return made;
}

function listen(element, listeners) {
  for (const [event, listener] of Object.entries(listeners)) {
    element.addEventListener(event, listener);
  }
}

/** @param {string} id of an element that the page has */
export function byId(id) {
  return /** @type {any} */ (document.getElementById(id));
}

/**
 * Call a function once the calls stop for a while.
 *
 * @param {(...args: any[]) => void} call
 * @param {number} ms
 */
export function debounced(call, ms) {
  let timer = 0;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(call, ms, ...args);
  };
}

/** @returns {HTMLDialogElement | null} the open dialog that lies above all others */
export function topDialog() {
  const open = /** @type {NodeListOf<HTMLDialogElement>} */ (
    document.querySelectorAll("dialog[open]")
  );
  return [...open].at(-1) ?? null;
}

/** Leave the focus at the results, where what had it is gone. */
export function focusResults() {
  byId("results").focus({ preventScroll: true });
}

/** Whether what has the focus takes letters itself. */
export function isTyping(target) {
  if (!(target instanceof HTMLElement)) return false;
  return target.matches("textarea, select, input:not([type=checkbox], [type=radio], [type=range])");
}
