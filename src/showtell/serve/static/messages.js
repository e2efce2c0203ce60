// What a person is told about an error code of the server or of the browser.

/** The photo's fault: captioning it again is no use. */
const PHOTO_MESSAGES = {
  empty: "This file is empty.",
  truncated: "This image is damaged or cut off.",
  not_an_image: "This file is not an image.",
  too_large: "This photo is too large.",
  too_small: "This photo is too small.",
  unsupported: "Images of this kind are not read here. Save it as JPEG or PNG, and try that.",
  unreadable: "This file cannot be read.",
};

const REQUEST_MESSAGES = {
  unreachable: "The server cannot be reached. The photo is captioned when it is back.",
  no_answer: "The server did not answer. It may be busy; try again.",
  unauthorized: "The server asks for its key. Reload the page and enter it.",
  cross_site: "The server does not take photos from this page. Open it by the server's own address.",
  wrong_host: "The server does not take photos from this page. Open it by the server's own address.",
  body_too_large: "This photo is too large for the server. Try a smaller one.",
  slow_upload: "Sending the photo took too long. Try a smaller one, or a better connection.",
  queue_full: "The server has too much to do. Try again in a moment.",
  busy: "The server has too much to do. Try again in a moment.",
  stopping: "The server is stopping. Try again later.",
  deadline: "This took too long and was given up. Try again, or with a narrower beam.",
  invalid: "The server does not take these options. Reload the page.",
  internal: "Something went wrong on the server. Try again, or another photo.",
};

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
export const isPhotoCode = (code) => code in PHOTO_MESSAGES;

/** @param {string} code @returns {string} */
export const messageOf = (code) => PHOTO_MESSAGES[code] ?? REQUEST_MESSAGES[code] ?? REQUEST_MESSAGES.no_answer;
