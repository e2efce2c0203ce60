// All captions below the one that is shown, each with its own confidence; together they need not make 100 %.

import { percent } from "./formatting.js";

/**
 * @typedef {import("./api.js").Caption} Caption
 * @typedef {import("./settings.js").Language} Language
 */

export class CaptionList {
  /** @param {HTMLOListElement} list @param {(index: number, event: MouseEvent) => void} onChoose */
  constructor(list, onChoose) {
    Object.assign(this, { list, onChoose });
    list.addEventListener("scroll", () => this.#fade());
    new ResizeObserver(() => this.#fade()).observe(list);
  }

  /** @param {Caption[]} captions @param {Language} language */
  set(captions, language) {
    const focused = this.#buttons.indexOf(document.activeElement);
    const items = captions.map((caption, index) => {
      const item = document.createElement("li");
      item.append(this.#button(caption, language, index));
      return item;
    });
    this.list.replaceChildren(...items);
    this.list.scrollTop = 0;
    this.#fade();
    if (focused >= 0) (this.#buttons[focused] ?? this.#buttons[0]).focus();
  }

  /** @param {number} index of the caption that is shown */
  mark(index) {
    this.#buttons.forEach((button, place) => button.setAttribute("aria-pressed", String(place === index)));
  }

  get #buttons() {
    return [...this.list.querySelectorAll("button")];
  }

  #button({ text, confidence }, { code, direction }, index) {
    const button = document.createElement("button"), words = document.createElement("span");
    const figure = document.createElement("small"), bar = document.createElement("i");
    Object.assign(button, { type: "button", className: "caption-choice", dir: direction });
    Object.assign(words, { lang: code, dir: direction, textContent: text });
    bar.style.setProperty("--full", String(confidence));
    figure.dir = "ltr";
    figure.append(percent(confidence), bar);
    button.append(words, figure);
    button.addEventListener("click", (event) => this.onChoose(index, event));
    return button;
  }

  // It fades at its end while there is more.
  #fade() {
    this.list.dataset.more = String(this.list.scrollTop + this.list.clientHeight < this.list.scrollHeight - 4);
  }
}
