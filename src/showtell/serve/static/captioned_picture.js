// A picture to take away: the photo or its attention as it is shown, with the caption below.

import { joinedWords } from "./formatting.js";
import { pageDirection, text } from "./texts.js";

/** @typedef {import("./api.js").Caption} Caption */

// On paper, whatever the page's colors.
const INK = "#1f1b24", SOFT_INK = "#655f6e", BRAND = "#8a2462", PAPER = "#ffffff";

// Lines of [{text, width, index, gap}] that fit into the width; `gap` is before the word, none at the start of a line.
function wrap(context, { text: sentence, words }, width) {
  const space = context.measureText(" ").width, joined = joinedWords(sentence, words);
  const lines = [];
  let used = Infinity;
  words.forEach((word, index) => {
    const wide = context.measureText(word.text).width, between = joined[index] ? 0 : space;
    const isFirst = used + between + wide > width, gap = isFirst ? 0 : between;
    if (isFirst) lines.push([]);
    lines.at(-1).push({ text: word.text, width: wide, index, gap });
    used = isFirst ? wide : used + gap + wide;
  });
  return lines;
}

const MIN_WIDTH = 240; // pixels of its width, for the longest word to fit

// As large as the photo; a small one is enlarged, and a narrow one stands in the middle.
function layout({ width, height }) {
  const scale = Math.max(1, MIN_WIDTH / Math.max(width, height));
  const [wide, high] = [width, height].map((side) => Math.max(1, Math.round(scale * side)));
  return { left: Math.max(0, Math.round((MIN_WIDTH - wide) / 2)), wide, high, width: Math.max(MIN_WIDTH, wide) };
}

// At the end of the last line, in the page's language: less, the colors, more.
function drawScale(context, colors, width, margin, middle, size) {
  const font = `${size}px system-ui, sans-serif`, ramp = 6 * size, gap = size / 2;
  Object.assign(context, { font, textBaseline: "middle", textAlign: "end", direction: pageDirection });
  const less = text("less"), wide = (label) => context.measureText(label).width;
  const fits = wide(less) + wide(text("more_attention")) + ramp + 2 * gap <= width - 2 * margin;
  const more = text(fits ? "more_attention" : "more"), high = wide(more) + gap, low = high + ramp;
  const place = (fromEnd) => (pageDirection === "rtl" ? margin + fromEnd : width - margin - fromEnd);
  context.fillStyle = SOFT_INK;
  context.fillText(more, place(0), middle);
  context.fillText(less, place(low + gap), middle);
  const gradient = context.createLinearGradient(place(low), 0, place(high), 0);
  colors.forEach((color, index) => gradient.addColorStop(index / (colors.length - 1), color));
  context.fillStyle = gradient;
  context.fillRect(Math.min(place(low), place(high)), middle - size / 3, ramp, (2 * size) / 3);
}

// Words of each line, from the side where its language begins.
function drawLines(context, lines, { width, top, step, margin, direction, selected }) {
  lines.forEach((line, row) => {
    let at = margin;
    const middle = top + (row + 0.5) * step;
    const pad = line.some(({ gap }) => gap) ? step / 10 : 1; // characters without spaces touch each other
    for (const { text: word, width: wide, index, gap } of line) {
      at += gap;
      const left = direction === "ltr" ? at : width - at - wide;
      if (index === selected) {
        context.fillStyle = BRAND;
        context.beginPath();
        context.roundRect(left - pad, middle - step / 2 + 1, wide + 2 * pad, step - 2, step / 6);
        context.fill();
      }
      context.fillStyle = index === selected ? PAPER : INK;
      context.fillText(word, left, middle);
      at += wide;
    }
  });
}

/**
 * @param {HTMLCanvasElement} shown the photo, or its attention
 * @param {Caption} caption
 * @param {{selected: number | null, code: string, direction: string, colors: string[] | null}} style selected: a word;
 *   code and direction: of the caption's language; colors: of the attention
 * @returns {HTMLCanvasElement}
 */
export function captionedPicture(shown, caption, { selected, code, direction, colors }) {
  const { left, wide, high, width } = layout(shown);
  const size = Math.max(14, Math.round(width / 26)), margin = Math.round(size * 0.9), step = Math.round(size * 1.5);
  const font = `600 ${size}px system-ui, "Noto Sans", sans-serif`; // what these lack, a browser takes from others
  // By the language, a browser draws a Han character as its readers write it.
  const canvas = Object.assign(document.createElement("canvas"), { lang: code }), context = canvas.getContext("2d");
  context.font = font;
  const lines = wrap(context, caption, width - 2 * margin);
  canvas.width = width;
  canvas.height = high + 2 * margin + lines.length * step + (colors ? step : 0);
  context.fillStyle = PAPER;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(shown, left, 0, wide, high);
  // Once more: a canvas forgets it with its size.
  Object.assign(context, { font, textBaseline: "middle", textAlign: "left", direction });
  drawLines(context, lines, { width, top: high + margin, step, margin, direction, selected });
  const small = Math.max(11, Math.round(size * 0.6));
  if (colors) drawScale(context, colors, width, margin, canvas.height - margin - step / 3, small);
  return canvas;
}
