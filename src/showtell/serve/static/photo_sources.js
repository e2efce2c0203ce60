// The ways in which a person gives a photo: chosen, dropped, pasted or taken.

import { Camera } from "./camera.js";
import { text } from "./texts.js";

/**
 * @typedef {(file: File, count?: number) => void} TakePhoto count: of how many files it is one
 * @typedef {(text: string) => void} Refuse
 */

export class PhotoSources {
  /**
   * @param {HTMLElement} root
   * @param {string} accept files that are photos, as of a file input
   * @param {TakePhoto} take
   * @param {Refuse} refuse what is no photo
   */
  constructor(root, accept, take, refuse) {
    Object.assign(this, { root, take, refuse });
    this.suffixes = accept.split(",").filter((item) => item.startsWith("."));
    this.stage = root.querySelector(".stage");
    this.fileInput = root.querySelector('[data-input="file"]');
    this.fileInput.accept = accept;
    this.cameraInput = root.querySelector('[data-input="camera"]');
    this.camera = new Camera(root.querySelector("dialog.camera"), take);
    this.#chooseFiles();
    this.#dropFiles();
    this.#pasteFiles();
    this.#button("camera").addEventListener("click", () => this.#openCamera());
  }

  get isCameraOpen() {
    return this.camera.isOpen;
  }

  #button(action) {
    return this.root.querySelector(`.sources [data-action="${action}"]`);
  }

  // Browsers know no type of many a photo, such as one of a phone.
  #isPhoto({ type, name }) {
    return type.startsWith("image/") || this.suffixes.some((suffix) => name.toLowerCase().endsWith(suffix));
  }

  #takeFirst(files) {
    const file = [...files].find((each) => this.#isPhoto(each)) ?? files[0];
    if (file) this.take(file, files.length);
    return Boolean(file);
  }

  #chooseFiles() {
    this.#button("choose").addEventListener("click", () => this.fileInput.click());
    this.stage.addEventListener("click", () => this.stage.dataset.state === "empty" && this.fileInput.click());
    for (const input of [this.fileInput, this.cameraInput]) {
      input.addEventListener("change", () => {
        this.#takeFirst(input.files);
        input.value = ""; // the same file may be chosen again
      });
    }
  }

  // Anywhere on the page: beside the stage, the browser would open the photo in the page's place.
  #dropFiles() {
    let depth = 0; // entering a child comes before leaving its parent
    const onFiles = (type, handle) =>
      document.addEventListener(type, (event) => {
        if (event.dataTransfer?.types.includes("Files")) handle(event);
      });
    onFiles("dragenter", () => (this.stage.dataset.over = String(++depth > 0)));
    onFiles("dragleave", () => (this.stage.dataset.over = String(--depth > 0)));
    onFiles("dragover", (event) => event.preventDefault());
    onFiles("drop", (event) => {
      event.preventDefault();
      depth = 0;
      this.stage.dataset.over = "false";
      this.#takeFirst(event.dataTransfer.files);
    });
  }

  #pasteFiles() {
    document.addEventListener("paste", (event) => {
      const data = event.clipboardData;
      if (data?.files.length && this.#takeFirst(data.files)) return event.preventDefault();
      if (data?.types.length) this.refuse(text("refused.no_picture"));
    });
    // Browsers give the clipboard to a button only on https or the same computer; Ctrl+V works everywhere.
    this.#button("paste").hidden = !navigator.clipboard?.read;
    this.#button("paste").addEventListener("click", () => this.#readClipboard());
  }

  async #readClipboard() {
    try {
      for (const item of await navigator.clipboard.read()) {
        const type = item.types.find((name) => name.startsWith("image/"));
        if (type) return this.take(new File([await item.getType(type)], "pasted", { type }));
      }
      this.refuse(text("refused.no_picture"));
    } catch {
      this.refuse(text("refused.clipboard"));
    }
  }

  async #openCamera() {
    if (!Camera.isAvailable) return this.cameraInput.click();
    try {
      await this.camera.open();
    } catch {
      this.refuse(text("refused.camera"));
    }
  }
}
