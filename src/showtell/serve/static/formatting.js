// Figures and names as people read them.

/** @param {number} probability @returns {string} */
export const percent = (probability) => `${Math.round(100 * probability)} %`;

/** @param {number} bytes @returns {string} */
export const mebibytes = (bytes) => `${(bytes / 2 ** 20).toFixed(2)} MiB`;

/**
 * What a confidence says, in words.
 * @param {number} confidence
 * @param {boolean} isCalibrated
 */
export const confidenceText = (confidence, isCalibrated) =>
  `${percent(confidence)} ${isCalibrated ? "likely to be right" : "mean probability of a word"}`;

/**
 * A language's name in itself, or its code where the browser knows none.
 * @param {string} code as in BCP 47
 */
export function languageName(code) {
  try {
    return new Intl.DisplayNames([code], { type: "language" }).of(code) ?? code;
  } catch {
    return code; // not a language tag
  }
}
