// The page's settings, which the server makes of its model and limits.

/**
 * @typedef {{code: string, name: string | null, direction: "ltr" | "rtl", calibrated: boolean}} Language name: in itself
 * @typedef {{name: string, url: string, width: number, height: number} & Credit} Example
 * @typedef {{author: string, licence: string | null, is_resized: boolean}} Credit licence: null for the public domain
 * @typedef {{colors: string[], even: number, opacity: number, dimmed: number, unseen: number}} AttentionStyle
 * @typedef {{mode: "squash" | "center" | "shortest_edge" | "pad", share: number}} Crop the part of a photo that the model
 *   sees: all of it, the middle square, or a square around it; and the middle share of that
 * @typedef {object} Settings
 * @property {string} model
 * @property {Language[]} languages
 * @property {number} beam the usual width of the search
 * @property {number} max_beam the widest, and the most captions of a photo
 * @property {string} accept files that are photos: media types and suffixes, as of a file input
 * @property {number} max_photo_bytes
 * @property {number} deadline seconds in which the server answers
 * @property {boolean} has_attention
 * @property {Crop} crop
 * @property {AttentionStyle} attention_map
 * @property {Example[]} examples
 */

/** @returns {Promise<Settings>} */
export async function loadSettings() {
  const response = await fetch("page/settings.json");
  if (!response.ok) throw new Error(`page/settings.json: status ${response.status}`);
  return response.json();
}
