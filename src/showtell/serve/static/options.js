// Language, number of captions and width of the search.

import { languageName } from "./formatting.js";
import { pageLocale, text } from "./texts.js";

/**
 * @typedef {import("./settings.js").Settings} Settings
 * @typedef {import("./api.js").CaptionOptions} CaptionOptions
 */

const CAPTIONS = 3; // at first: where the search is as wide, they cost nothing
const MOST_BUTTONS = 4; // of languages, in one row of a phone
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
    form.querySelector('[data-name="language"] .choices').append(...languageChoices(settings.languages));
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
    this.button.querySelector("span").textContent = text(hasAnswer ? "caption_again" : "caption_photo");
  }

  /** To where a request is made once more. */
  focus() {
    (this.button.disabled ? this.num : this.button).focus({ preventScroll: true });
  }

  #label() {
    this.form.querySelector('[data-for="num"]').textContent = Number(this.num.value).toLocaleString(pageLocale);
    this.form.querySelector('[data-for="beam"]').textContent = Number(this.beam.value).toLocaleString(pageLocale);
  }
}

// Each by its name in itself, so that its readers find it; many of them as a list, which takes less room.
function languageChoices(languages) {
  if (languages.length <= MOST_BUTTONS) return languages.map((language, index) => languageButton(language, index === 0));
  const select = Object.assign(document.createElement("select"), { name: "language" });
  select.setAttribute("aria-label", text("language"));
  for (const language of languages) {
    const { code, direction } = language, option = document.createElement("option");
    Object.assign(option, { value: code, lang: code, dir: direction, textContent: languageName(language) });
    select.append(option);
  }
  return [select];
}

function languageButton(language, isChosen) {
  const [label, radio, box, name] = ["label", "input", "span", "bdi"].map((tag) => document.createElement(tag));
  Object.assign(radio, { type: "radio", name: "language", value: language.code, checked: isChosen });
  Object.assign(name, { lang: language.code, dir: language.direction, textContent: languageName(language) });
  box.append(name);
  label.append(radio, box);
  return label;
}
