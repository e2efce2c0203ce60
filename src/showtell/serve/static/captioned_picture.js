// A picture to take away: the photo or its attention as it is shown, with the caption below.

/** @typedef {import("./api.js").Word} Word */

// On paper, whatever the page's colors.
const INK = "#1f1b24", SOFT_INK = "#655f6e", BRAND = "#8a2462", PAPER = "#ffffff";

// Lines of [{text, width, index}] that fit into the width.
function wrap(context, words, width) {
  const space = context.measureText(" ").width;
  const lines = [[]];
  let used = 0;
  words.forEach((word, index) => {
    const wide = context.measureText(word.text).width;
    if (used && used + wide > width) {
      lines.push([]);
      used = 0;
    }
    lines.at(-1).push({ text: word.text, width: wide, index });
    used += wide + space;
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

function drawScale(context, colors, right, middle, size) {
  const font = `${size}px system-ui, sans-serif`;
  Object.assign(context, { font, textBaseline: "middle", textAlign: "right", direction: "ltr", fillStyle: SOFT_INK });
  const ramp = 6 * size, from = right - context.measureText("more attention").width - size / 2 - ramp;
  const gradient = context.createLinearGradient(from, 0, from + ramp, 0);
  colors.forEach((color, index) => gradient.addColorStop(index / (colors.length - 1), color));
  context.fillText("more attention", right, middle);
  context.fillText("less", from - size / 2, middle);
  context.fillStyle = gradient;
  context.fillRect(from, middle - size / 3, ramp, (2 * size) / 3);
}

// Words of each line, from the side where its language begins.
function drawLines(context, lines, { width, top, step, margin, space, direction, selected }) {
  lines.forEach((line, row) => {
    let at = margin;
    const middle = top + (row + 0.5) * step;
    for (const { text, width: wide, index } of line) {
      const left = direction === "ltr" ? at : width - at - wide;
      if (index === selected) {
        context.fillStyle = BRAND;
        context.beginPath();
        context.roundRect(left - space / 2, middle - step / 2 + 1, wide + space, step - 2, step / 6);
        context.fill();
      }
      context.fillStyle = index === selected ? PAPER : INK;
      context.fillText(text, left, middle);
      at += wide + space;
    }
  });
}

/**
 * @param {HTMLCanvasElement} shown the photo, or its attention
 * @param {Word[]} words of the caption
 * @param {{selected: number | null, direction: string, colors: string[] | null}} style selected: a word; colors: of
 *   the attention
 * @returns {HTMLCanvasElement}
 */
export function captionedPicture(shown, words, { selected, direction, colors }) {
  const { left, wide, high, width } = layout(shown);
  const size = Math.max(14, Math.round(width / 26)), margin = Math.round(size * 0.9), step = Math.round(size * 1.5);
  const font = `600 ${size}px system-ui, "Noto Sans", "Noto Sans Arabic", sans-serif`;
  const canvas = document.createElement("canvas"), context = canvas.getContext("2d");
  context.font = font;
  const lines = wrap(context, words, width - 2 * margin), space = context.measureText(" ").width;
  canvas.width = width;
  canvas.height = high + 2 * margin + lines.length * step + (colors ? step : 0);
  context.fillStyle = PAPER;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(shown, left, 0, wide, high);
  // Once more: a canvas forgets it with its size.
  Object.assign(context, { font, textBaseline: "middle", textAlign: "left", direction });
  drawLines(context, lines, { width, top: high + margin, step, margin, space, direction, selected });
  const small = Math.max(11, Math.round(size * 0.6));
  if (colors) drawScale(context, colors, width - margin, canvas.height - margin - step / 3, small);
  return canvas;
}
