// Language, number of captions and width of the search.

import { languageName } from "./formatting.js";

/**
 * @typedef {import("./settings.js").Settings} Settings
 * @typedef {import("./api.js").CaptionOptions} CaptionOptions
 */

const CAPTIONS = 3; // at first: where the search is as wide, they cost nothing
const REST = 400; // milliseconds after which a slider is at rest; arrow keys come in rows

export class OptionsForm {
  /**
   * @param {HTMLFormElement} form
   * @param {Settings} settings
   * @param {(event: Event, isKeyboard: boolean) => void} onChange a choice was made, and rests
   */
  constructor(form, settings, onChange) {
    this.form = form;
    const [num, beam] = [form.querySelector("#num"), form.querySelector("#beam")];
    Object.assign(this, { num, beam, button: form.querySelector('[type="submit"]') });
    num.max = beam.max = String(settings.max_beam);
    beam.value = String(settings.beam);
    num.value = String(Math.min(CAPTIONS, settings.beam));
    num.addEventListener("input", () => {
      if (Number(num.value) > Number(beam.value)) beam.value = num.value; // a search finds as many as its beam is wide
      this.#label();
    });
    beam.addEventListener("input", () => {
      if (Number(num.value) > Number(beam.value)) num.value = beam.value;
      this.#label();
    });
    this.#label();
    const choices = settings.languages.map(({ code }, index) => languageChoice(code, index === 0));
    form.querySelector('[data-name="language"] .choices').append(...choices);
    form.addEventListener("change", (event) => {
      this.settle();
      const isKeyboard = event.target.matches(":focus-visible");
      this.timer = setTimeout(onChange, event.target.type === "range" ? REST : 0, event, isKeyboard);
    });
  }

  /** @returns {CaptionOptions} */
  get value() {
    const language = String(new FormData(this.form).get("language"));
    return { language, beam: Number(this.beam.value), num: Number(this.num.value) };
  }

  /** No change is waiting any more. */
  settle() {
    clearTimeout(this.timer);
  }

  /** @param {boolean} hasPhoto @param {boolean} hasAnswer */
  setButton(hasPhoto, hasAnswer) {
    this.button.disabled = !hasPhoto;
    this.button.querySelector("span").textContent = hasAnswer ? "Caption again" : "Caption photo";
  }

  /** To where a request is made once more. */
  focus() {
    (this.button.disabled ? this.num : this.button).focus({ preventScroll: true });
  }

  #label() {
    this.form.querySelector('[data-for="num"]').textContent = this.num.value;
    this.form.querySelector('[data-for="beam"]').textContent = this.beam.value;
  }
}

function languageChoice(code, isChosen) {
  const [label, radio, name] = ["label", "input", "span"].map((tag) => document.createElement(tag));
  Object.assign(radio, { type: "radio", name: "language", value: code, checked: isChosen });
  Object.assign(name, { lang: code, textContent: languageName(code) });
  label.append(radio, name);
  return label;
}
