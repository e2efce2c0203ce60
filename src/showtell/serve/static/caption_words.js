// The caption as words that can be selected: one stop for Tab, arrow keys between words.

import { joinedWords, percent } from "./formatting.js";
import { pageDirection, text, textParts } from "./texts.js";

/**
 * @typedef {import("./api.js").Caption} Caption
 * @typedef {import("./api.js").Word} Word
 * @typedef {import("./settings.js").Language} Language
 * @typedef {object} WordEvents
 * @property {(weights: number[][] | null) => void} onShow draw this attention, or the plain photo
 * @property {(text: string) => void} onAnnounce say this to those who do not see the photo
 * @property {(weights: number[][]) => string} placeOf where the model looked, in a sentence
 */

export class CaptionWords {
  /** @param {HTMLElement} box @param {HTMLElement} note @param {WordEvents} events */
  constructor(box, note, events) {
    Object.assign(this, { box, note, events });
    /** @type {number | null} */
    this.selected = null;
    /** @type {Word[]} */
    this.words = [];
    box.addEventListener("click", (event) => this.#click(event));
    box.addEventListener("keydown", (event) => this.#keydown(event));
    // A keyboard and a mouse look around without selecting; a finger cannot hover.
    box.addEventListener("focusin", ({ target }) => {
      if (target.matches(":focus-visible")) this.#preview(this.#indexOf(target));
    });
    box.addEventListener("focusout", ({ relatedTarget }) => {
      if (!box.contains(relatedTarget)) this.#preview(this.selected);
    });
    box.addEventListener("pointerover", ({ target, pointerType }) => {
      if (pointerType === "mouse" && target.closest("button")) this.#preview(this.#indexOf(target));
    });
    box.addEventListener("pointerleave", () => this.#preview(this.selected));
  }

  /** @param {Caption} caption @param {Language} language */
  set({ text: sentence, words }, language) {
    const focused = this.#indexOf(document.activeElement), joined = joinedWords(sentence, words);
    Object.assign(this, { words, language, hasAttention: words.some((word) => word.attention) });
    this.box.dataset.language = language.code;
    this.box.dataset.plain = String(!this.hasAttention);
    this.box.dir = language.direction;
    this.box.dataset.joined = String(joined.some(Boolean));
    this.box.replaceChildren(...words.map((word, index) => this.#button(word, index, joined)));
    this.select(null);
    if (focused >= 0) this.#focus(focused);
  }

  /** @param {number | null} index */
  select(index) {
    this.selected = index;
    [...this.box.children].forEach((button, place) => button.setAttribute("aria-pressed", String(place === index)));
    this.#preview(index);
    const weights = index === null ? null : this.words[index].attention;
    this.events.onAnnounce(weights ? this.events.placeOf(weights) : "");
  }

  /** Draws the selected word's attention anew. */
  redraw() {
    if (this.selected !== null) this.#preview(this.selected);
  }

  focusFirst() {
    this.box.querySelector("button")?.focus();
  }

  #indexOf(element) {
    return [...this.box.children].findIndex((button) => button.contains(element));
  }

  #button({ text: word, log_probability }, index, joined) {
    const button = document.createElement("button"), bar = document.createElement("i");
    const probability = Math.exp(log_probability);
    // The language is not the box's, whose own name is the page's.
    Object.assign(button, { type: "button", className: "word", lang: this.language.code, tabIndex: index ? -1 : 0 });
    button.setAttribute("aria-label", text("word_label", { word, percent: percent(probability) }));
    // No space before it, or behind it.
    Object.assign(button.dataset, { before: String(joined[index]), behind: String(joined[index + 1] ?? false) });
    bar.style.setProperty("--full", String(probability));
    button.append(word, bar);
    return button;
  }

  #preview(index) {
    this.#explain(index);
    this.events.onShow(index === null ? null : this.words[index].attention);
  }

  #explain(index) {
    if (index === null) {
      return this.#write([text(this.hasAttention ? "select_word" : "no_attention")]);
    }
    const { text: spelling, log_probability, attention } = this.words[index];
    const name = document.createElement("bdi"), word = document.createElement("b");
    Object.assign(name, { lang: this.language.code, dir: this.language.direction, textContent: spelling });
    word.append(name);
    const likely = textParts("next_word", { word, percent: percent(Math.exp(log_probability)) });
    this.#write(likely, ...(attention ? [[this.events.placeOf(attention)]] : []));
  }

  // In the page's language, but on the side of the words.
  #write(...lines) {
    this.note.dir = this.language.direction;
    this.note.replaceChildren(
      ...lines.map((parts) => {
        const line = document.createElement("bdi");
        line.dir = pageDirection;
        line.append(...parts);
        return line;
      }),
    );
  }

  #focus(index) {
    const place = Math.min(Math.max(index, 0), this.words.length - 1);
    [...this.box.children].forEach((button, other) => (button.tabIndex = other === place ? 0 : -1));
    this.box.children[place].focus();
  }

  #click(event) {
    const index = this.#indexOf(event.target);
    if (index < 0) return;
    this.#focus(index);
    this.select(index === this.selected ? null : index);
  }

  #keydown(event) {
    const index = this.#indexOf(document.activeElement), isRtl = this.language.direction === "rtl";
    const [forward, back] = isRtl ? ["ArrowLeft", "ArrowRight"] : ["ArrowRight", "ArrowLeft"];
    const next = index + 1, previous = index - 1, last = this.words.length - 1;
    const targets = { [forward]: next, [back]: previous, ArrowDown: next, ArrowUp: previous, Home: 0, End: last };
    if (!(event.key in targets)) return;
    event.preventDefault();
    this.#focus(targets[event.key]);
  }
}
