// A photo as the page draws it: at most PICTURE_SIDE pixels a side, over white, as the model gets it.

const PICTURE_SIDE = 1024; // enough for a screen; attention is computed for each of these pixels

/**
 * Shows a file in the image. Rejects if the browser cannot decode it.
 * @param {HTMLImageElement} image
 * @param {Blob} blob
 */
export async function showBlob(image, blob) {
  URL.revokeObjectURL(image.src); // of the photo before
  image.src = URL.createObjectURL(blob);
  await image.decode();
}

/**
 * A copy to draw on.
 * @param {HTMLImageElement} image decoded
 * @returns {HTMLCanvasElement}
 */
export function pictureOf(image) {
  const scale = Math.min(1, PICTURE_SIDE / Math.max(image.naturalWidth, image.naturalHeight));
  const scaled = (side) => Math.max(1, Math.round(scale * side));
  const width = scaled(image.naturalWidth), height = scaled(image.naturalHeight);
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d");
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, width, height);
  context.drawImage(image, 0, 0, width, height);
  return canvas;
}
