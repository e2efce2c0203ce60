// The photo on its stage: the image, the attention over it, and whether it is being captioned.

import { previewImage } from "./api.js";
import { drawAttention, placeOfAttention } from "./attention_map.js";
import { pictureOf, showBlob } from "./picture.js";
import { pageDirection } from "./texts.js";

/** @typedef {import("./settings.js").Settings} Settings */

const SMALL = 320; // pixels of width below which a photo is shown enlarged

export class PhotoView {
  /** @param {HTMLElement} section @param {Settings} settings */
  constructor(section, settings) {
    const part = (selector) => section.querySelector(selector);
    this.settings = settings;
    this.stage = part(".stage");
    this.image = part(".image");
    this.map = part(".attention");
    this.controls = part(".attention-view");
    this.busy = part(".busy");
    /** @type {HTMLCanvasElement | null} none while it is decoded, or if it cannot be shown */
    this.picture = null;
    this.isGrid = false;
    this.frame = part(".picture");
    this.dropZone = part(".drop-zone");
    this.noPreview = part(".no-preview");
    const end = pageDirection === "rtl" ? "left" : "right";
    part(".ramp").style.background = `linear-gradient(to ${end}, ${settings.attention_map.colors.join(", ")})`;
  }

  /**
   * Shows a photo; resolves when it is on the screen, or cannot be.
   * @param {File} file
   * @param {AbortSignal} signal of the next photo
   */
  async show(file, signal) {
    this.picture = null;
    this.showAttention(null);
    this.describe("", { code: "", direction: "" });
    this.stage.dataset.state = "photo";
    this.dropZone.hidden = this.noPreview.hidden = true;
    this.frame.hidden = false;
    try {
      await showBlob(this.image, file).catch(async () => {
        signal.throwIfAborted();
        this.frame.hidden = true; // no sign of a broken image, for as long as the server makes one
        await showBlob(this.image, await previewImage(file, { signal, deadline: this.settings.deadline }));
      });
    } catch {
      if (!signal.aborted) this.frame.hidden = !(this.noPreview.hidden = false);
      return;
    }
    if (signal.aborted) return;
    this.frame.hidden = false;
    this.picture = pictureOf(this.image);
    this.image.dataset.small = String(this.image.naturalWidth < SMALL);
    this.image.style.setProperty("--ratio", String(this.image.naturalWidth / this.image.naturalHeight));
  }

  clear() {
    this.picture = null;
    this.showAttention(null);
    this.stage.dataset.state = "empty";
    this.frame.hidden = this.noPreview.hidden = true;
    this.dropZone.hidden = false;
  }

  /** @param {string} caption @param {{code: string, direction: string}} language */
  describe(caption, { code, direction }) {
    Object.assign(this.image, { alt: caption, lang: code, dir: direction });
  }

  /** @param {number[][] | null} weights [rows][columns] of a word; null: the plain photo */
  showAttention(weights) {
    const isShown = Boolean(weights && this.picture);
    if (isShown) {
      const { attention_map, crop } = this.settings;
      drawAttention(this.map, this.picture, weights, { ...attention_map, crop, isGrid: this.isGrid });
    }
    this.map.dataset.shown = String(isShown);
  }

  /** Whether the button in it has the focus, which is lost when it is hidden. */
  get isBusyFocused() {
    return this.busy.contains(document.activeElement);
  }

  get hasAttention() {
    return this.map.dataset.shown === "true";
  }

  /** What is seen now: the photo, or its attention. */
  get canvas() {
    return this.hasAttention ? this.map : this.picture;
  }

  /** @param {number[][]} weights @returns {string} */
  placeOf(weights) {
    const { width, height } = this.picture ?? { width: 1, height: 1 };
    return placeOfAttention(weights, width, height, this.settings.crop, this.settings.attention_map.even);
  }

  /** @param {"waiting" | "ready" | "none"} state whether there is attention to be drawn in one way or another */
  setControls(state) {
    this.controls.dataset.state = state;
  }

  /** @param {string | null} text what is going on; null: nothing */
  setBusy(text) {
    this.busy.hidden = text === null;
    if (text !== null) this.busy.querySelector(".busy-text").textContent = text;
  }
}
