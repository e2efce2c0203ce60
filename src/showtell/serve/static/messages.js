// What a person is told about an error code of the server or of the browser: `error.CODE` in the tables of texts.

import { hasText, text } from "./texts.js";

/** The photo's fault: captioning it again is no use. */
const PHOTO_CODES = ["empty", "truncated", "not_an_image", "too_large", "too_small", "unsupported", "unreadable"];

/** Codes of answers that a proxy gives in the server's place. */
const STATUS_CODES = {
  401: "unauthorized",
  403: "cross_site",
  408: "slow_upload",
  413: "body_too_large",
  503: "busy",
  504: "deadline",
};

/** @param {number} status of HTTP @returns {string} */
export const codeOfStatus = (status) => STATUS_CODES[status] ?? "no_answer";

/** @param {string} code @returns {boolean} */
export const isPhotoCode = (code) => PHOTO_CODES.includes(code);

/** @param {string} code @returns {string} */
export const messageOf = (code) => text(hasText(`error.${code}`) ? `error.${code}` : "error.no_answer");
