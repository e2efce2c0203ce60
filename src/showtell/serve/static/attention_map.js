// One word's attention over the photo, as view/maps.py draws it: the photo becomes grey, and all colour is attention.

import { text } from "./texts.js";

/** @typedef {import("./settings.js").AttentionStyle & {crop: import("./settings.js").Crop, isGrid: boolean}} MapStyle */

// For each of so many pixels: the cell before it, the cell behind it, and how far it is between their middles.
function samplePoints(cells, pixels) {
  return Array.from({ length: pixels }, (_, pixel) => {
    const position = Math.min(Math.max(((pixel + 0.5) * cells) / pixels - 0.5, 0), cells - 1);
    const low = Math.floor(position);
    return [low, Math.min(low + 1, cells - 1), position - low];
  });
}

// In the middle of each cell: the harmonic mean of the slopes at its sides, 0 where these differ in sign.
function slopes(line) {
  return line.map((value, n) => {
    const before = n ? value - line[n - 1] : 0, after = n + 1 < line.length ? line[n + 1] - value : 0;
    return before * after > 0 ? (2 * before * after) / (before + after) : 0;
  });
}

// A monotone cubic curve (Fritsch and Carlson, 1980) through the cells of a line, at each of the points.
function interpolate(line, points) {
  const slope = slopes(line);
  return points.map(([low, high, t]) => {
    const tangent = t * (1 - t) * ((1 - t) * slope[low] - t * slope[high]);
    const value = line[low] + (line[high] - line[low]) * t * t * (3 - 2 * t) + tangent;
    return Math.max(Math.min(value, Math.max(line[low], line[high])), Math.min(line[low], line[high]));
  });
}

// Down the columns, then along the rows.
function smooth(weights, width, height) {
  const down = samplePoints(weights.length, height), across = samplePoints(weights[0].length, width);
  const columns = weights[0].map((_, column) => interpolate(weights.map((row) => row[column]), down));
  const drawn = new Float32Array(width * height);
  for (let y = 0; y < height; y++) drawn.set(interpolate(columns.map((column) => column[y]), across), y * width);
  return drawn;
}

function cells(weights, width, height) {
  const drawn = new Float32Array(width * height);
  const rows = weights.length, columns = weights[0].length;
  for (let y = 0; y < height; y++) {
    const row = weights[Math.floor((y * rows) / height)];
    for (let x = 0; x < width; x++) drawn[y * width + x] = row[Math.floor((x * columns) / width)];
  }
  return drawn;
}

// 256 colors, from no attention to the greatest.
function palette(stops) {
  const colors = stops.map((stop) => [1, 3, 5].map((at) => parseInt(stop.slice(at, at + 2), 16)));
  return Array.from({ length: 256 }, (_, value) => {
    const at = (value / 255) * (stops.length - 1), low = Math.min(Math.floor(at), stops.length - 2);
    const [from, to] = [colors[low], colors[low + 1]];
    return from.map((channel, index) => Math.round(channel + (to[index] - channel) * (at - low)));
  });
}

// Left, top, width, height of the part that the model sees, as `visible_box` in view/maps.py.
function visibleBox(width, height, { mode, share }) {
  const side = mode === "pad" ? Math.max(width, height) : Math.min(width, height);
  const [w, h] = (mode === "squash" ? [width, height] : [side, side]).map((s) => Math.max(1, Math.round(s * share)));
  return [Math.floor((width - w) / 2), Math.floor((height - h) / 2), w, h];
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

const PLACES = ["upper_left", "top", "upper_right", "left", "middle", "right", "lower_left", "bottom", "lower_right"];

/**
 * The map in a sentence, for those who do not see it: where its brightest spot is, or that it is faint all over.
 * @param {number[][]} weights [rows][columns]
 * @param {number} width of the photo, as its height in any unit
 * @param {number} height
 * @param {import("./settings.js").Crop} crop
 * @param {number} even times the mean: below, the model looks everywhere alike
 */
export function placeOfAttention(weights, width, height, crop, even) {
  const flat = weights.flat(), greatest = Math.max(...flat), columns = weights[0].length;
  if (greatest < even * mean(flat)) return text("looked.nowhere");
  const [left, top, w, h] = visibleBox(width, height, crop), cell = flat.indexOf(greatest);
  const across = (left + (((cell % columns) + 0.5) * w) / columns) / width;
  const down = (top + ((Math.floor(cell / columns) + 0.5) * h) / weights.length) / height;
  const third = (at) => Math.min(2, Math.max(0, Math.floor(3 * at))); // padding is outside of the photo
  return text(`looked.${PLACES[3 * third(down) + third(across)]}`);
}

/**
 * @param {HTMLCanvasElement} canvas takes the picture's size
 * @param {HTMLCanvasElement} picture
 * @param {number[][]} weights [rows][columns], none below 0
 * @param {MapStyle} style
 */
export function drawAttention(canvas, picture, weights, style) {
  const width = (canvas.width = picture.width), height = (canvas.height = picture.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(picture, 0, 0);
  const pixels = context.getImageData(0, 0, width, height), data = pixels.data;
  const [left, top, w, h] = visibleBox(width, height, style.crop);
  const drawn = style.isGrid ? cells(weights, w, h) : smooth(weights, w, h);
  const flat = weights.flat(), colors = palette(style.colors);
  const full = Math.max(...flat, style.even * mean(flat)) || 1;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const at = 4 * (y * width + x);
      const grey = style.dimmed * (0.299 * data[at] + 0.587 * data[at + 1] + 0.114 * data[at + 2]);
      const inside = x >= left && x < left + w && y >= top && y < top + h;
      if (!inside) {
        data[at] = data[at + 1] = data[at + 2] = grey + (255 - grey) * style.unseen;
        continue;
      }
      const strength = Math.round((255 * drawn[(y - top) * w + x - left]) / full);
      const alpha = style.opacity * (strength / 255) ** 0.8, color = colors[strength];
      for (let channel = 0; channel < 3; channel++) data[at + channel] = grey + (color[channel] - grey) * alpha;
    }
  }
  context.putImageData(pixels, 0, 0);
  if (style.isGrid) drawBorders(context, left, top, w, h, weights.length, weights[0].length);
}

function drawBorders(context, left, top, width, height, rows, columns) {
  context.fillStyle = "rgb(255 255 255 / 55%)";
  const thick = Math.max(1, Math.round(Math.min(width, height) / 300)), half = Math.floor(thick / 2);
  for (let row = 1; row < rows; row++) {
    context.fillRect(left, top + Math.ceil((row * height) / rows) - half, width, thick);
  }
  for (let column = 1; column < columns; column++) {
    context.fillRect(left + Math.ceil((column * width) / columns) - half, top, thick, height);
  }
}
