/** The page about the index and its run, and the slim bar above all other pages. */

import { byId, el } from "./dom.js";
import { failure } from "./message.js";
import { begin, cancel, isLive, onRun, run } from "./run.js";
import { stats } from "./stats.js";
import { go, query } from "./store.js";
import { counted, duration, sentence, size } from "./words.js";

const STATES = {
  never: "Nothing has been indexed from here yet",
  running: "Indexing",
  stopping: "Stopping",
  done: "The index is up to date",
  stopped: "Stopped: the next run goes on from here",
  failed: "The run failed",
};
/** @type {import("./api.js").ApiError | null} */
let problem = null;
/** @type {Map<string, {key: string, element: any}>} what the page is made of, by name */
const sections = new Map();

/** Keep the bar and the page up to date. */
export function watchProgress() {
  onRun(() => {
    showBar();
    showIndexPage();
  });
}

/** Start a run, and show the page about it. */
export async function startIndexing({ prune = false } = {}) {
  go({ page: "index" });
  await attempt(() => begin({ prune }));
}

/** Draw the page about the index, if it is the one that is shown. */
export function showIndexPage() {
  const page = byId("index-page");
  const [known, now] = [stats(), run()];
  if (query().page !== "index" || !known || !now) return;
  const wanted = [
    kept("title", "", () => el("h1", { text: "The index", tabindex: "-1" })),
    ...(problem ? [kept("problem", problem.message, () => failure(problem))] : []),
    kept("progress", `${now.state} ${now.message}`, () => progressCard(now)),
    kept("buttons", `${now.state} ${known.access.can_index}`, () => buttonRow(known, now)),
    kept("holdings", JSON.stringify([{ ...known, run: null }, isLive(now)]), () =>
      holdings(known, now),
    ),
  ];
  showFigures(now);
  arrange(page, wanted);
}

/** Make a section only if it has changed: a button that is replaced while pressed gets no click. */
function kept(name, key, make) {
  const known = sections.get(name);
  if (known?.key === key) return known.element;
  const element = make();
  sections.set(name, { key, element });
  return element;
}

/** Let a page have these children; those that stay are not touched, and the focus is not lost. */
function arrange(page, wanted) {
  const focused = document.activeElement;
  const place = [...page.children].findIndex((child) => child.contains(focused));
  for (const child of [...page.children]) if (!wanted.includes(child)) child.remove();
  wanted.forEach((child, i) => {
    if (page.children[i] !== child) page.insertBefore(child, page.children[i] ?? null);
  });
  if (place < 0 || page.contains(focused)) return;
  const next = page.children[place]?.querySelector("button:not(:disabled), a");
  (next ?? page.querySelector("h1")).focus();
}

async function attempt(act) {
  problem = null;
  try {
    await act();
  } catch (error) {
    problem = error;
  }
  showIndexPage();
}

function showBar() {
  const now = run();
  const bar = byId("run-bar");
  bar.hidden = !isLive(now) || query().page === "index";
  const { done = 0, seconds_to_go: left } = now.progress;
  byId("run-fill").style.width = `${100 * share(now)}%`;
  const rest = typeof left === "number" ? `, ${duration(left)} to go` : "";
  byId("run-text").textContent =
    `${STATES[now.state]}: ${done} of ${counted(total(now.progress), "file")}${rest}`;
}

/** Show or hide the bar, as the page demands. */
export function placeBar() {
  if (run()) showBar();
}

function share({ state, progress }) {
  if (state === "done") return 1;
  const all = total(progress);
  return all ? progress.done / all : 0;
}

/** How many files there were to do. */
function total({ files = 0, unchanged = 0, done = 0 }) {
  return Math.max(files - unchanged, done);
}

function progressCard(now) {
  const hasRun = now.state !== "never";
  return el(
    "section",
    { class: "panel", data: { testid: "progress", state: now.state } },
    el("div", { class: "panel-head" },
      el("h2", { text: STATES[now.state] }),
      hasRun && el("span", { class: "big" })),
    now.message && el("p", { class: messageClass(now), text: sentence(now.message) }),
    hasRun && el("progress", { max: 1, "aria-label": "How far the run is" }),
    isLive(now) && el("p", { class: "current" }),
    hasRun && figures([]),
  ); // prettier-ignore
}

/** Bring the bar and the numbers of the card about the run up to date. */
function showFigures(now) {
  if (now.state === "never") return;
  const { progress } = now;
  const card = sections.get("progress").element;
  const done = share(now);
  const bar = card.querySelector("progress");
  if (isLive(now) && !progress.done) bar.removeAttribute("value");
  else bar.value = done;
  card.querySelector(".big").textContent = `${Math.floor(100 * done)} %`;
  if (isLive(now)) card.querySelector(".current").textContent = progress.current ?? " ";
  card.querySelector(".figures").replaceWith(figures(runFigures(progress, isLive(now))));
}

function messageClass({ state }) {
  return state === "failed" ? "error-text" : "";
}

function runFigures(progress, live) {
  const { done = 0, seconds, seconds_to_go: left } = progress;
  const pace = seconds > 0 && done ? done / seconds : null;
  return [
    ["files", progress.files],
    ["unchanged", progress.unchanged],
    ["done", `${done} of ${total(progress)}`],
    ["pictures", progress.images],
    ["objects", progress.segments],
    ["failed", progress.failed],
    progress.pruned && ["removed", progress.pruned],
    ["time", duration(seconds ?? 0)],
    pace && ["pace", pace >= 1 ? `${pace.toFixed(1)} files/s` : `${(1 / pace).toFixed(1)} s/file`],
    live && typeof left === "number" && ["to go", duration(left)],
  ].filter(Boolean);
}

function figures(pairs) {
  const cells = pairs.map(([name, value]) =>
    el("div", {}, el("dt", { text: name }), el("dd", { text: (value ?? 0).toLocaleString("en") })),
  );
  return el("dl", { class: "figures" }, ...cells);
}

function buttonRow(known, now) {
  return el("div", { class: "row" }, ...buttons(known, now));
}

function buttons({ access }, now) {
  if (!access.can_index) return [];
  const button = (text, testid, act, kind = "") =>
    el(
      "button",
      { type: "button", class: `button ${kind}`, data: { testid }, on: { click: act } },
      text,
    );
  if (isLive(now)) {
    const stop = button("Cancel", "cancel-button", () => attempt(cancel));
    stop.disabled = now.state === "stopping";
    return [stop];
  }
  return [
    button("Index now", "index-button", () => attempt(() => begin({ prune: false })), "primary"),
    button("…and remove what is gone", "prune-button", () => attempt(() => begin({ prune: true }))),
  ];
}

function holdings(known, now) {
  const pairs = [
    ["files", known.files],
    ["pictures", known.images],
    ["objects", known.segments],
    ["failed", known.failed],
    known.size_bytes !== null && ["size", size(known.size_bytes)],
  ].filter(Boolean);
  const about = [
    ["Folders", known.roots.join(", ")],
    ["CLIP", known.clip],
    ["SAM 2", known.sam2],
    ["Version", known.version],
  ].filter(([, value]) => value);
  const rows = about.flatMap(([name, value]) => [
    el("dt", { text: name }),
    el("dd", { text: value }),
  ]);
  return el(
    "section",
    { class: "panel" },
    el("h2", { text: known.exists ? "What it holds" : "There is no index yet" }),
    known.exists ? figures(pairs) : el("p", { class: "soft", text: noIndex(known.access, now) }),
    el("dl", { class: "about" }, ...rows),
    el("a", { class: "button small", href: "/", text: "All pictures" }),
  );
}

function noIndex({ can_index: can }, now) {
  if (isLive(now)) return "The first run is filling it.";
  return can
    ? "“Index now” cuts the pictures of the configured folders into their objects."
    : "Fill it with the command: index ./photos";
}
