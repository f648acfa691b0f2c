/** What the index holds, and what may be done with it. */

import { ask } from "./api.js";
import { byId } from "./dom.js";
import { run } from "./run.js";
import { counted } from "./words.js";

/** @type {import("./types.js").Stats | null} */
let latest = null;

/** @returns {import("./types.js").Stats | null} null until the server has answered once */
export function stats() {
  return latest;
}

/** Whether there is nothing to ask: no index, and no run that has begun to fill one. */
export function isNothingThere() {
  return latest?.exists === false && !run()?.progress.images;
}

/** Ask anew, and show it in the header. */
export async function loadStats() {
  latest = await ask("/v1/stats");
  byId("index-size").textContent = counted(latest.images, "picture");
  const objects = counted(latest.segments, "object");
  byId("index-link").title = `The index: ${counted(latest.images, "picture")}, ${objects}`;
  return latest;
}
