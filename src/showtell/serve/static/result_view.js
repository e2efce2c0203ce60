// The panel of the answer: words, confidence and all captions.

import { CaptionList } from "./caption_list.js";
import { CaptionWords } from "./caption_words.js";
import { confidenceText, percent } from "./formatting.js";

/**
 * @typedef {import("./api.js").Caption} Caption
 * @typedef {import("./settings.js").Language} Language
 * @typedef {import("./caption_words.js").WordEvents} WordEvents
 * @typedef {object} ResultEvents
 * @property {(caption: Caption, language: Language) => void} onCaption another caption is shown
 * @property {(event: MouseEvent) => void} onChoose somebody has chosen it
 */

export class ResultView {
  /** @param {HTMLElement} section @param {WordEvents & ResultEvents} events */
  constructor(section, events) {
    this.section = section;
    this.events = events;
    this.answer = this.#part(".answer");
    this.words = new CaptionWords(this.#part(".words"), this.#part(".word-note"), events);
    this.list = new CaptionList(this.#part(".caption-list"), (index, event) => {
      this.#showCaption(index);
      events.onChoose(event);
    });
    /** @type {Caption[]} */
    this.captions = [];
  }

  /** The caption that is shown. @type {Caption} */
  get caption() {
    return this.captions[this.index];
  }

  /** @param {Caption[]} captions best first @param {Language} language */
  show(captions, language) {
    Object.assign(this, { captions, language });
    this.#part(".captions-head").dir = language.direction;
    this.#part(".captions").hidden = captions.length < 2;
    this.answer.hidden = false;
    this.list.set(captions, language);
    this.#showCaption(0);
    this.#setState();
    if (document.activeElement === this.section) this.words.focusFirst();
  }

  clear() {
    if (this.answer.contains(document.activeElement)) this.section.focus(); // what is hidden loses the focus to nobody
    this.captions = [];
    this.answer.hidden = true;
    this.#setState();
  }

  /** @param {boolean} isBusy */
  setBusy(isBusy) {
    this.section.setAttribute("aria-busy", String(isBusy));
    this.#setState();
  }

  #part(selector) {
    return this.section.querySelector(selector);
  }

  #setState() {
    const isBusy = this.section.getAttribute("aria-busy") === "true";
    this.section.dataset.state = this.captions.length ? "answer" : isBusy ? "busy" : "empty";
  }

  #showCaption(index) {
    this.index = index;
    this.words.set(this.caption, this.language);
    this.#showConfidence();
    this.list.mark(index);
    this.events.onCaption(this.caption, this.language);
  }

  #showConfidence() {
    const { confidence } = this.caption, { calibrated, direction } = this.language;
    const box = this.#part(".confidence"), meter = this.#part(".meter"), text = confidenceText(confidence, calibrated);
    Object.assign(box, { dir: direction, title: text });
    meter.dataset.calibrated = String(calibrated);
    meter.setAttribute("aria-valuenow", String(Math.round(100 * confidence)));
    meter.setAttribute("aria-valuetext", text);
    meter.firstElementChild.style.width = `${100 * confidence}%`;
    this.#part(".percent").textContent = percent(confidence);
    box.querySelector(".help").hidden = calibrated;
  }
}
