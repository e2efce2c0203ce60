// The page's own words, from one table per language. A table is JSON behind `export default`; a value is a sentence
// with {names}, or one for each plural form that Intl.PluralRules knows of the language. What varies by code or by
// place has a family of keys: `error.busy`.

import ar from "./texts_ar.js";
import de from "./texts_de.js";
import en from "./texts_en.js";

const TABLES = { ar, de, en };

// Of the languages that the browser's user reads, the first one with a table; numbers as in its region, as in `ar-EG`.
function choose(languages) {
  for (const locale of languages) {
    const language = locale.split("-")[0].toLowerCase();
    if (Object.hasOwn(TABLES, language)) return { language, locale };
  }
  return { language: "en", locale: "en" };
}

const { language, locale } = choose(navigator.languages ?? [navigator.language]);
const table = TABLES[language], plurals = new Intl.PluralRules(locale);

/** Of the page, whatever the language of captions. */
export const pageDirection = table.direction;
/** For Intl. */
export const pageLocale = locale;

/** @param {string} key @returns {boolean} */
export const hasText = (key) => Object.hasOwn(table, key);

/**
 * A sentence in parts, for elements in it.
 * @param {string} key
 * @param {Record<string, string | number | Node>} [values] `count` selects the plural form
 * @returns {(string | Node)[]}
 */
export function textParts(key, values = {}) {
  const entry = table[key], pattern = typeof entry === "string" ? entry : entry[plurals.select(values.count)];
  return pattern.split(/\{(\w+)\}/).map((part, index) => {
    const value = index % 2 ? values[part] : part;
    return typeof value === "number" ? value.toLocaleString(locale) : value;
  });
}

/** @param {string} key @param {Record<string, string | number>} [values] @returns {string} */
export const text = (key, values) => textParts(key, values).join("");

/** A name of any direction, which leaves that of the sentence around it alone. @param {string} name */
export const isolate = (name) => `\u2068${name}\u2069`;

/** Gives the page its language, and each element in it the text or the accessible name that it asks for. */
export function translatePage() {
  Object.assign(document.documentElement, { lang: language, dir: pageDirection });
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = text(element.dataset.text);
  for (const element of document.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", text(element.dataset.label));
  }
  delete document.documentElement.dataset.pending;
}
