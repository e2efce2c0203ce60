// Figures and names as people read them, by the page's language.

import { pageLocale, text } from "./texts.js";

const PERCENT = new Intl.NumberFormat(pageLocale, { style: "percent" });
const SECONDS = new Intl.NumberFormat(pageLocale, { style: "unit", unit: "second", unitDisplay: "long" });
const HUNDREDTHS = new Intl.NumberFormat(pageLocale, { minimumFractionDigits: 2, maximumFractionDigits: 2 });

/** @param {number} probability @returns {string} */
export const percent = (probability) => PERCENT.format(probability);

/** @param {number} seconds @returns {string} */
export const duration = (seconds) => SECONDS.format(seconds);

/** @param {number} bytes @returns {string} */
export const mebibytes = (bytes) => text("mebibytes", { number: HUNDREDTHS.format(bytes / 2 ** 20) });

/**
 * What a confidence says, in words.
 * @param {number} confidence
 * @param {boolean} isCalibrated
 */
export const confidenceText = (confidence, isCalibrated) =>
  text(isCalibrated ? "likely_right" : "mean_probability", { percent: percent(confidence) });

/**
 * A language's name in itself, or its code where nobody knows one.
 * @param {import("./settings.js").Language} language
 */
export function languageName({ code, name }) {
  if (name) return name;
  try {
    return new Intl.DisplayNames([code], { type: "language" }).of(code) ?? code;
  } catch {
    return code; // not a language tag
  }
}

/**
 * For each word of a caption, whether it follows the one before without a space, as in Chinese.
 * @param {string} caption
 * @param {{text: string}[]} words
 * @returns {boolean[]}
 */
export function joinedWords(caption, words) {
  let end = 0;
  return words.map((word, index) => {
    const start = caption.indexOf(word.text, end), isJoined = index > 0 && start === end;
    if (start >= 0) end = start + word.text.length;
    return isJoined;
  });
}
