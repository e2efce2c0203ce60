// What can be taken away: the caption as text, files under a good name, and the record of a photo as JSON.

/** @typedef {import("./api.js").Caption} Caption */

// Names that a browser gave, and nobody chose.
const NAMELESS = /^(image|photo|pasted|camera)?$/i;

/** @param {string} photo its file name @param {string} ending @returns {string} */
export function downloadName(photo, ending) {
  const stem = photo.replace(/\.\w+$/, "");
  return `${NAMELESS.test(stem) ? "" : `${stem}-`}caption.${ending}`;
}

/**
 * Without https, a browser has no clipboard, but copies what is selected.
 * @param {string} text
 * @returns {Promise<boolean>} whether it worked
 */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = Object.assign(document.createElement("textarea"), { value: text, readOnly: true });
    const focused = document.activeElement;
    document.body.append(area);
    area.select();
    const worked = document.execCommand("copy");
    area.remove();
    focused?.focus({ preventScroll: true });
    return worked;
  }
}

/** @param {Blob} blob @param {string} name */
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

/**
 * As `showtell caption` writes a row, with the attention besides.
 * @param {string} image its file name
 * @param {Caption[]} captions
 * @param {number} beam
 */
export function captionRecord(image, captions, beam) {
  const [{ text, score, confidence, language, words }, ...others] = captions;
  const record = { image, caption: text, score, confidence, language, beam, words };
  if (!others.length) return record;
  const alternatives = others.map((other) => ({
    caption: other.text,
    score: other.score,
    confidence: other.confidence,
    words: other.words,
  }));
  return { ...record, alternatives };
}
