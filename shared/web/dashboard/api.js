// The app's HTTP API with the caller's key, which lives in this tab's session storage and in a header and nowhere else;
// or, if the app signs in its callers, with the browser's session.

const BASE = new URL("..", import.meta.url);
const KEY = "fabric-saga-key";
const TIMEOUT = 20_000;

/** Where the browser signs in; empty if callers have a key. The app writes it into the page. */
export const SIGN_IN = document.documentElement.dataset.signIn ?? "";

/** A response that is an error, with the text of its problem details; status 0 means no response. */
export class ApiError extends Error {
  constructor(status, message, problem = {}) {
    super(message);
    this.status = status;
    this.problem = problem;
  }
}

const WORDS = {
  401: "The app does not accept this key.",
  403: "This key does not allow this.",
  404: "It does not exist, or no longer exists.",
  429: "Too many requests; the page tries again.",
  503: "The app cannot reach its storage.",
};

let offset = 0;
const kept = new Map();

/** The server's clock, from its responses: ages must not depend on the viewer's clock. */
export function now() {
  return Date.now() + offset;
}

/** The key of this tab, or null. A browser that signs in needs none. */
export function key() {
  if (SIGN_IN) return "none";
  return sessionStorage.getItem(KEY);
}

/** Store a key, or forget it and everything that was read with it. */
export function setKey(value) {
  kept.clear();
  if (value) sessionStorage.setItem(KEY, value);
  else sessionStorage.removeItem(KEY);
}

/**
 * GET: return the body, and true if it has changed since the last time (by ETag). Throws ApiError.
 * `accept` lists further statuses with a usable body: health returns 503 if a check fails.
 */
export async function get(path, { accept = [], timeout = TIMEOUT } = {}) {
  const before = kept.get(path);
  const response = await send("GET", path, undefined, before ? { "if-none-match": before.etag } : {}, timeout);
  const etag = response.headers.get("etag");
  if (response.status === 304 && before) {
    kept.set(path, { etag: etag ?? before.etag, body: before.body });
    return { body: before.body, isNew: false };
  }
  if (!response.ok && !accept.includes(response.status)) throw await errorOf(response);
  const body = await jsonOf(response);
  if (etag) kept.set(path, { etag, body });
  return { body, isNew: true };
}

/** POST a JSON body and return the response's body. Throws ApiError. */
export async function post(path, body = {}) {
  const response = await send("POST", path, JSON.stringify(body), { "content-type": "application/json" });
  if (!response.ok) throw await errorOf(response);
  return response.status === 204 ? {} : jsonOf(response);
}

async function send(method, path, body, headers, timeout = TIMEOUT) {
  const limit = AbortSignal.timeout(timeout);
  try {
    const response = await fetch(new URL(path, BASE), {
      method,
      body,
      headers: { accept: "application/json", ...proof(), ...headers },
      signal: limit,
      cache: "no-store",
      credentials: SIGN_IN ? "same-origin" : "omit",
      redirect: "error",
      referrerPolicy: "no-referrer",
    });
    const date = Date.parse(response.headers.get("date") ?? "");
    // The header has whole seconds: only a difference larger than their rounding counts.
    if (!Number.isNaN(date)) offset = Math.abs(date - Date.now()) > 1500 ? date - Date.now() : 0;
    return response;
  } catch {
    throw new ApiError(0, limit.aborted ? "The app did not respond in time." : "The app does not respond.");
  }
}

/** The header that a page of another origin cannot send, or the key. */
function proof() {
  return SIGN_IN ? { "x-fabric-saga-page": "1" } : { "x-functions-key": key() ?? "" };
}

async function jsonOf(response) {
  try {
    return await response.json();
  } catch {
    throw new ApiError(response.status, "The response is not JSON; check that this address is the app's.");
  }
}

async function errorOf(response) {
  let problem = {};
  try {
    problem = (await response.json()) ?? {};
  } catch {
    // The host answers 401 without a body.
  }
  const said = [problem.title, problem.detail].filter(Boolean).join(": ");
  return new ApiError(response.status, said || WORDS[response.status] || `The app responded with status ${response.status}.`, problem);
}
