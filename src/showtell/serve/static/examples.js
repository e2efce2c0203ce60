// The photos that the page offers to try.

import { hasText, isolate, text } from "./texts.js";

/** @typedef {import("./settings.js").Example} Example */

export class Examples {
  /** @param {HTMLElement} box @param {Example[]} examples @param {(example: Example) => void} onChoose */
  constructor(box, examples, onChoose) {
    this.examples = examples;
    this.credit = box.querySelector(".credit");
    this.buttons = examples.map((example) => {
      const button = document.createElement("button"), image = document.createElement("img");
      Object.assign(button, { type: "button", className: "thumbnail" });
      button.setAttribute("aria-pressed", "false");
      button.dataset.orientation = example.width < example.height ? "portrait" : "landscape";
      Object.assign(image, { src: example.url, alt: describe(example), width: example.width, height: example.height });
      button.append(image);
      button.addEventListener("click", () => onChoose(example));
      return button;
    });
    box.querySelector(".thumbnails").replaceChildren(...this.buttons);
  }

  /** @param {Example | null} chosen whose photo is on the stage */
  mark(chosen) {
    for (const [index, button] of this.buttons.entries()) {
      button.setAttribute("aria-pressed", String(this.examples[index] === chosen));
    }
    this.credit.textContent = chosen ? text("credit", { credit: credit(chosen) }) : "";
  }
}

const describe = ({ name }) => (hasText(`example.${name}`) ? text(`example.${name}`) : name);

function credit({ author, licence, is_resized }) {
  const parts = [isolate(author), licence ? isolate(licence) : text("public_domain")];
  return [...parts, ...(is_resized ? [text("resized")] : [])].join(text("comma"));
}

/** @param {Example} example @returns {Promise<File>} */
export async function fileOf({ name, url }) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: status ${response.status}`);
  return new File([await response.blob()], name, { type: "image/jpeg" });
}
