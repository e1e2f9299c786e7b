/** Requests to the service, with the API key of this tab. */

import { text } from "./messages.js";

const KEY = "facet-api-key";
const ATTEMPTS = 4;
const LONGEST_WAIT_S = 10;
const BUSY = ["overloaded", "not-ready"];

/** An error that the service answers, or that prevents an answer. */
export class ServiceError extends Error {
  /** @param {Object} problem - the problem of RFC 9457 that the service sent. */
  constructor({ title = null, detail = "", status = 0, type = "" }) {
    super(detail || title || "");
    this.title = title ? `${title}.` : null;
    this.status = status;
    this.kind = type.split("/").pop();
  }
}

/** Return the API key of this tab, or "". */
export function apiKey() {
  return sessionStorage.getItem(KEY) || "";
}

/** Keep an API key until the tab is closed; "" forgets it. */
export function keepApiKey(key) {
  if (key) sessionStorage.setItem(KEY, key);
  else sessionStorage.removeItem(KEY);
}

/** Return whether a text can be an API key: a header has only visible ASCII characters. */
export function isKey(text) {
  return /^[\x21-\x7e]+$/.test(text);
}

/**
 * Send a request and return the object of its answer; null if it has none.
 *
 * A service that is busy or still starting is asked again, a few times. Other problems with the status 503, such as
 * a request that takes too long, would occur again.
 *
 * @param {string} method - the HTTP method.
 * @param {string} path - the path, relative to the page.
 * @param {{query?: Object, json?: Object|string, form?: FormData, text?: string|Blob, signal?: AbortSignal}} [content]
 *   - query parameters (empty values are left out), and the body: an object or its JSON, a form, or JSON lines.
 * @returns {Promise<Object|null>} the answer.
 * @throws {ServiceError} the service refused the request or did not answer.
 */
export async function call(method, path, content = {}) {
  for (let attempt = 1; ; attempt++) {
    const response = await send(method, path, content);
    if (response.status === 204) return null;
    const answer = await read(response);
    if (response.ok) return answer;
    const error = refusal(answer, response);
    const wait = Number(response.headers.get("retry-after"));
    if (!BUSY.includes(error.kind) || !wait || wait > LONGEST_WAIT_S || attempt >= ATTEMPTS) throw error;
    await pause(wait * 1000, content.signal);
  }
}

/** Return the body of an answer as a blob. Arguments and errors are those of `call`. */
export async function download(path, content = {}) {
  const response = await send("GET", path, content);
  if (!response.ok) throw refusal(await read(response), response);
  return response.blob();
}

async function send(method, path, { query = {}, json, form, text: lines, signal }) {
  const parameters = new URLSearchParams(
    Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined && value !== false));
  const headers = apiKey() ? { Authorization: `Bearer ${apiKey()}` } : {};
  let body = form;
  if (json !== undefined) [body, headers["Content-Type"]] = [typeof json === "string" ? json : JSON.stringify(json), "application/json"];
  if (lines !== undefined) [body, headers["Content-Type"]] = [lines, "application/x-ndjson"];
  try {
    return await fetch(parameters.size ? `${path}?${parameters}` : path, { method, headers, body, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServiceError({ title: text("error.unreachable"), detail: text("error.unreachable.detail") });
  }
}

async function read(response) {
  try {
    return JSON.parse(await response.text(), exact);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    return { detail: text("error.no_json", { status: response.status }) };
  }
}

/** Keep an integer that a number of JavaScript would round as it is written, for JSON that is made of it again. */
function exact(_, value, context) {
  const isRounded = Number.isInteger(value) && !Number.isSafeInteger(value);
  return isRounded && context?.source && JSON.rawJSON ? JSON.rawJSON(context.source) : value; // not in older browsers
}

function refusal(answer, response) {
  if (response.status === 401) document.dispatchEvent(new CustomEvent("facet:locked"));
  return new ServiceError({ ...answer, status: response.status });
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("", "AbortError"));
    }, { once: true });
  });
}
