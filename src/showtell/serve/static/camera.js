// A photo from the computer's camera; a phone's own camera makes the better photo.

export class Camera {
  /**
   * @param {HTMLDialogElement} dialog
   * @param {(file: File) => void} onPhoto
   */
  constructor(dialog, onPhoto) {
    this.dialog = dialog;
    this.video = dialog.querySelector("video");
    /** @type {MediaStream | null} */
    this.stream = null;
    this.isOpening = false;
    dialog.addEventListener("close", () => this.#stop());
    dialog.querySelector('[data-action="close"]').addEventListener("click", () => dialog.close());
    dialog.querySelector('[data-action="snap"]').addEventListener("click", () => this.#snap(onPhoto));
  }

  /** Whether the browser lets the page look through a camera; it does so on https and this computer only. */
  static get isAvailable() {
    return !matchMedia("(pointer: coarse)").matches && Boolean(navigator.mediaDevices?.getUserMedia);
  }

  get isOpen() {
    return this.dialog.open;
  }

  /** Rejects if there is no camera, or it is not allowed. */
  async open() {
    if (this.isOpening || this.stream) return; // a second stream would stay on, for only one is stopped
    this.isOpening = true;
    try {
      const video = { facingMode: "environment", width: { ideal: 1280 } };
      this.stream = await navigator.mediaDevices.getUserMedia({ video });
    } finally {
      this.isOpening = false;
    }
    this.video.srcObject = this.stream;
    this.dialog.showModal();
    this.video.play().catch(() => {});
  }

  #stop() {
    this.stream?.getTracks().forEach((track) => track.stop());
    this.stream = this.video.srcObject = null;
  }

  #snap(onPhoto) {
    const { videoWidth: width, videoHeight: height } = this.video;
    if (!width) return;
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    canvas.getContext("2d").drawImage(this.video, 0, 0);
    this.dialog.close();
    const type = "image/jpeg";
    canvas.toBlob((blob) => onPhoto(new File([blob], "camera.jpg", { type })), type, 0.95);
  }
}
