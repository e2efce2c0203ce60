// Requests to the server: captions by the API that programs use, previews, and whether it is there.

import { codeOfStatus } from "./messages.js";

/**
 * @typedef {{text: string, log_probability: number, attention: number[][] | null}} Word attention: [rows][columns]
 * @typedef {{text: string, language: string, score: number, confidence: number, words: Word[]}} Caption
 * @typedef {{language: string, beam: number, num: number}} CaptionOptions
 */

const RETRIES = 4;
const PROBE_SECONDS = 3, PROBE_TIMEOUT = 8; // between two probes of an open request, and of one
const GRACE_SECONDS = 5; // after the server's own deadline

/** `code` is the server's, or `unreachable` or `no_answer`. */
export class ApiError extends Error {
  /**
   * @param {string} code
   * @param {string} detail
   * @param {{status?: number, retryAfter?: number}} [answer] retryAfter in seconds
   */
  constructor(code, detail, { status = 0, retryAfter = 0 } = {}) {
    super(`${code}: ${detail}`);
    Object.assign(this, { code, detail, status, retryAfter });
  }
}

const sleep = (seconds, signal) =>
  new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const timer = setTimeout(resolve, 1000 * seconds);
    signal.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true });
  });

async function errorOf(response) {
  const retryAfter = Number(response.headers.get("Retry-After")) || 0;
  const error = (await response.json().catch(() => null))?.error; // none of a proxy's own page
  const code = error?.code ?? codeOfStatus(response.status);
  return new ApiError(code, error?.message ?? `status ${response.status}`, { status: response.status, retryAfter });
}

/** @returns {Promise<boolean>} whether anything answers, be it that it is stopping */
async function isReachable() {
  const controller = new AbortController(), timer = setTimeout(() => controller.abort(), 1000 * PROBE_TIMEOUT);
  try {
    await fetch("readyz", { cache: "no-store", signal: controller.signal });
    return true;
  } catch {
    return false;
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Resolves when the server takes requests again.
 * @param {AbortSignal} signal
 */
export async function waitUntilReady(signal) {
  for (;;) {
    await sleep(PROBE_SECONDS, signal);
    const response = await fetch("readyz", { cache: "no-store", signal }).catch(() => null);
    signal.throwIfAborted();
    if (response?.ok) return;
  }
}

// A browser notices late, or never, that a network is gone; so the server is probed while an answer is awaited.
async function watch(controller) {
  while (!controller.signal.aborted) {
    await sleep(PROBE_SECONDS, controller.signal);
    if (!(await isReachable())) controller.abort(new ApiError("unreachable", "no answer to readyz"));
  }
}

async function post(path, body, signal, deadline) {
  const controller = new AbortController();
  const abort = () => controller.abort(signal.reason);
  signal.throwIfAborted();
  signal.addEventListener("abort", abort, { once: true });
  const late = new ApiError("no_answer", `no answer after ${deadline} s`);
  const timer = setTimeout(() => controller.abort(late), 1000 * (deadline + GRACE_SECONDS));
  watch(controller).catch(() => {}); // it ends with the request
  try {
    const response = await fetch(path, { method: "POST", body, signal: controller.signal });
    if (!response.ok) throw await errorOf(response);
    return path === "page/preview" ? await response.blob() : await response.json();
  } catch (error) {
    controller.signal.throwIfAborted();
    throw error instanceof ApiError ? error : new ApiError("unreachable", error.message);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", abort);
    controller.abort(); // nothing is left to watch
  }
}

async function postWithRetries(path, body, { signal, deadline, onRetry = () => {} }) {
  for (let retries = 0; ; retries++) {
    try {
      return await post(path, body, signal, deadline);
    } catch (error) {
      if (error.status !== 503 || retries === RETRIES) throw error;
      const seconds = Math.min(Math.max(error.retryAfter, 1), deadline);
      onRetry(seconds);
      await sleep(seconds, signal);
      onRetry(0);
    }
  }
}

/**
 * Captions, best first. Where the server has too much to do, it is asked again when it says so.
 * @param {File} file
 * @param {CaptionOptions} options
 * @param {{signal: AbortSignal, deadline: number, onRetry?: (seconds: number) => void}} request deadline in seconds;
 *   onRetry is told in how many it is asked again
 * @returns {Promise<Caption[]>}
 * @throws {ApiError} or the signal's reason
 */
export async function captionImage(file, options, request) {
  const form = new FormData();
  form.append("images", file, file.name || "photo");
  for (const [name, value] of Object.entries({ ...options, attention: true })) form.append(name, String(value));
  const { results: [{ captions, error }] } = await postWithRetries("v1/caption", form, request);
  if (error) throw new ApiError(error.code, error.message);
  return captions.map(({ attention, words, ...caption }) => ({
    ...caption,
    words: words.map((word, index) => ({ ...word, attention: attention?.[index] ?? null })),
  }));
}

/**
 * A JPEG of a photo that the browser cannot show.
 * @param {File} file
 * @param {{signal: AbortSignal, deadline: number}} request
 * @returns {Promise<Blob>}
 */
export const previewImage = (file, request) => postWithRetries("page/preview", file, request);
