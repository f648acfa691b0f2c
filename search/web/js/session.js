/** Asking for the key of a server that wants one. */

import { ApiError, askOnce, onKeyNeeded } from "./api.js";
import { byId } from "./dom.js";
import { sentence } from "./words.js";

/** @type {Promise<void> | null} all questions that wait for a key wait for the same one */
let waiting = null;

/** Open the dialog whenever the server wants a key. */
export function watchSession() {
  onKeyNeeded(() => {
    waiting ??= askForKey().finally(() => {
      waiting = null;
    });
    return waiting;
  });
}

function askForKey() {
  const dialog = byId("key-dialog");
  const input = byId("key-input");
  byId("key-error").textContent = "";
  dialog.showModal();
  return new Promise((resolve, reject) => {
    const refused = () => {
      const detail = "This server needs a key, and none was given.";
      reject(new ApiError({ status: 401, code: "key-refused", detail }));
    };
    dialog.addEventListener("close", refused, { once: true });
    byId("key-form").onsubmit = async (event) => {
      event.preventDefault();
      try {
        const headers = { "X-API-Key": input.value.trim() };
        await askOnce("/v1/session", { method: "POST", headers });
      } catch (error) {
        byId("key-error").textContent = sentence(error.message);
        input.select();
        return;
      }
      dialog.removeEventListener("close", refused);
      input.value = "";
      dialog.close();
      resolve();
    };
  });
}
