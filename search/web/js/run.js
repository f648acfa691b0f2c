/** The index run that is going on: followed live, or asked for where events do not come through. */

import { ask } from "./api.js";

const POLL_MS = 2000;
const LIVE = ["running", "stopping"];

/** @typedef {import("./types.js").IndexRun} IndexRun */

/** @type {IndexRun | null} */
let latest = null;
/** @type {EventSource | null} */
let events = null;
let timer = 0;
/** @type {Set<(run: IndexRun, hasEnded: boolean) => void>} */
const listeners = new Set();

/** @param {(run: IndexRun, hasEnded: boolean) => void} listener `hasEnded`: just now */
export function onRun(listener) {
  listeners.add(listener);
}

/** @returns {IndexRun | null} */
export function run() {
  return latest;
}

/** @param {IndexRun} one whether it is going on */
export function isLive({ state }) {
  return LIVE.includes(state);
}

/**
 * Take what is known of the run, and follow it while it goes on.
 *
 * @param {IndexRun} now
 */
export function follow(now) {
  take(now);
  if (isLive(now) && !events && !timer) listen();
}

/** @param {{prune: boolean}} how */
export async function begin({ prune }) {
  follow(await ask("/v1/index", { json: { prune } }));
}

/** Ask the run to stop; what is indexed stays. */
export async function cancel() {
  const answer = await ask("/v1/index", { method: "DELETE" });
  if (answer) take(answer);
}

function take(now) {
  const hasEnded = latest !== null && isLive(latest) && !isLive(now);
  latest = now;
  for (const listener of listeners) listener(now, hasEnded);
}

function listen() {
  events = new EventSource("/v1/index/events");
  events.addEventListener("message", ({ data }) => {
    const now = JSON.parse(data);
    if (!isLive(now)) stopListening(); // or the browser would connect again
    take(now);
  });
  events.addEventListener("error", () => {
    stopListening();
    poll();
  });
}

function stopListening() {
  events?.close();
  events = null;
}

async function poll() {
  timer = 0;
  try {
    take(await ask("/v1/index"));
  } catch {
    // said by the banner; asked again below
  }
  if (latest && isLive(latest)) timer = setTimeout(poll, POLL_MS);
}
