/** Asking the server. Every failure becomes an `ApiError` that says in words what is wrong. */

/** What an answer says that a query cannot be asked without a key. */
const KEY_NEEDED = "key-needed";

/** A failure as the page tells it. */
export class ApiError extends Error {
  /** @param {{status?: number, code: string, detail: string, hint?: string}} problem */
  constructor({ status = 0, code, detail, hint = "" }) {
    super(detail);
    this.status = status;
    this.code = code;
    this.hint = hint;
  }
}

/** Tells "lost" when the server does not answer, and "found" when it does. */
export const connection = new EventTarget();

/** @type {() => Promise<void>} asks for a key, and ends when the server took it */
let askKey = () => Promise.reject(new Error("nobody asks for a key"));

/** @param {() => Promise<void>} listener called when the server wants a key */
export function onKeyNeeded(listener) {
  askKey = listener;
}

/**
 * @typedef {{method?: string, json?: object, body?: FormData, headers?: Record<string, string>,
 *   signal?: AbortSignal}} Options
 */

/**
 * @param {string} path
 * @param {Options} options
 * @returns {Promise<any>} the answer's JSON; null if it has none
 * @throws {ApiError} or the signal's AbortError
 */
export async function ask(path, options = {}) {
  try {
    return await askOnce(path, options);
  } catch (error) {
    if (!(error instanceof ApiError) || error.code !== KEY_NEEDED) throw error;
    await askKey();
    return askOnce(path, options);
  }
}

/**
 * The same without asking for a key.
 *
 * @param {string} path
 * @param {Options} options
 */
export async function askOnce(path, { method, json, body, headers = {}, signal }) {
  const response = await reach(path, {
    method: method ?? (json || body ? "POST" : "GET"),
    body: json ? JSON.stringify(json) : body,
    headers: json ? { ...headers, "Content-Type": "application/json" } : headers,
    signal,
  });
  if (!response.ok) throw await problemOf(response);
  return response.status === 204 ? null : readJson(response);
}

async function reach(path, options) {
  try {
    const response = await fetch(path, options);
    connection.dispatchEvent(new Event("found"));
    return response;
  } catch (error) {
    if (options.signal?.aborted) throw error;
    connection.dispatchEvent(new Event("lost"));
    throw new ApiError({
      code: "no-answer",
      detail: "The server does not answer.",
      hint: "It may be starting, or gone. This page goes on by itself when it is back.",
    });
  }
}

async function readJson(response) {
  try {
    return await response.json();
  } catch (error) {
    if (error instanceof DOMException) throw error; // the question was taken back
    throw new ApiError({
      code: "no-json",
      detail: "The server's answer cannot be read.",
      hint: "Something between this page and the server may have changed it.",
    });
  }
}

async function problemOf(response) {
  const known = await response.json().catch(() => ({}));
  const wait = response.headers.get("Retry-After");
  return new ApiError({
    status: response.status,
    code: known.code ?? "unknown",
    detail: known.detail || `The server answers ${response.status} ${response.statusText}`.trim(),
    hint: known.hint || (wait ? `Try again in ${wait} s.` : ""),
  });
}

/** @param {unknown} error whether a question was taken back, which is no failure */
export function isAborted(error) {
  return error instanceof DOMException && error.name === "AbortError";
}

const THUMBNAILS = [160, 320, 640, 1280, 2048];

/**
 * The address of a picture that is sharp at a size.
 *
 * @param {{image_id?: string, upload_id?: string}} source
 * @param {number} side its longer side, CSS pixels
 */
export function pictureUrl({ image_id, upload_id }, side) {
  if (upload_id) return `/v1/uploads/${upload_id}/picture.jpg`;
  const wanted = Math.min(devicePixelRatio, 2) * side;
  const pixels = THUMBNAILS.find((each) => each >= 0.9 * wanted) ?? THUMBNAILS.at(-1);
  return `/v1/images/${image_id}/thumbnail?size=${pixels}`;
}

/** The address of a segment's cut-out, without what is around it. */
export function cutoutUrl(segmentId) {
  return `/v1/segments/${segmentId}/cutout.png?trim=true`;
}
