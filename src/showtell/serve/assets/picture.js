// What can be taken away: the picture as it is shown with its sentence below, and everything as JSON.

// Names that a browser gave, and nobody chose.
const NAMELESS = /^(image|photo|pasted|camera)?$/i;

function nameOf(photo, ending) {
  const stem = photo.replace(/\.\w+$/, "");
  return `${NAMELESS.test(stem) ? "" : `${stem}-`}caption.${ending}`;
}

// Whether it worked. Without https, a browser has no clipboard, but copies what is selected.
async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = Object.assign(document.createElement("textarea"), { value: text, readOnly: true });
    const focused = document.activeElement;
    document.body.append(area);
    area.select();
    const worked = document.execCommand("copy");
    area.remove();
    focused?.focus({ preventScroll: true });
    return worked;
  }
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// Lines of [{text, width, index}] that fit into the width.
function wrapped(context, words, width) {
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

const LEAST = 240; // pixels of its width, for the longest word to fit

// As large as the photo; a small one is enlarged, and a narrow one stands in the middle.
function placedIn(shown) {
  const width = shown.naturalWidth ?? shown.width, height = shown.naturalHeight ?? shown.height;
  const scale = Math.max(1, LEAST / Math.max(width, height));
  const [wide, high] = [width, height].map((side) => Math.max(1, Math.round(scale * side)));
  return { left: Math.max(0, Math.round((LEAST - wide) / 2)), wide, high, width: Math.max(LEAST, wide) };
}

function drawScale(context, stops, right, middle, size) {
  const text = { font: `${size}px system-ui, sans-serif`, textBaseline: "middle", textAlign: "right", direction: "ltr", fillStyle: "#655f6e" };
  Object.assign(context, text);
  const ramp = 6 * size, from = right - context.measureText("more attention").width - size / 2 - ramp;
  const colours = context.createLinearGradient(from, 0, from + ramp, 0);
  stops.forEach((stop, index) => colours.addColorStop(index / (stops.length - 1), stop));
  context.fillText("more attention", right, middle);
  context.fillText("less", from - size / 2, middle);
  context.fillStyle = colours;
  context.fillRect(from, middle - size / 3, ramp, (2 * size) / 3);
}

// `stops` are the colours of the attention in it; null: it is the plain photo.
function makePicture(shown, words, { selected, language, stops }) {
  const { left: beside, wide: across, high: height, width } = placedIn(shown);
  const size = Math.max(14, Math.round(width / 26)), margin = Math.round(size * 0.9), step = Math.round(size * 1.5);
  const font = `600 ${size}px system-ui, "Noto Sans", "Noto Sans Arabic", sans-serif`;
  const canvas = document.createElement("canvas"), context = canvas.getContext("2d");
  context.font = font;
  const lines = wrapped(context, words, width - 2 * margin), space = context.measureText(" ").width;
  canvas.width = width;
  canvas.height = height + 2 * margin + lines.length * step + (stops ? step : 0);
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(shown, beside, 0, across, height);
  const rightward = directionOf(language) === "ltr";
  Object.assign(context, { font, textBaseline: "middle", textAlign: "left", direction: directionOf(language) });
  lines.forEach((line, row) => {
    let at = margin;
    const middle = height + margin + (row + 0.5) * step;
    for (const { text, width: wide, index } of line) {
      const left = rightward ? at : width - at - wide;
      if (index === selected) {
        context.fillStyle = "#8a2462";
        context.beginPath();
        context.roundRect(left - space / 2, middle - step / 2 + 1, wide + space, step - 2, size / 4);
        context.fill();
      }
      context.fillStyle = index === selected ? "#ffffff" : "#1f1b24";
      context.fillText(text, left, middle);
      at += wide + space;
    }
  });
  if (stops) drawScale(context, stops, width - margin, canvas.height - margin - step / 3, Math.max(11, Math.round(size * 0.6)));
  return canvas;
}

// As `showtell caption` writes a row, with the attention besides.
function recordOf(photo, answer, asked) {
  const [best, ...others] = answer.captions;
  const row = { image: photo, caption: best.text, score: best.score, confidence: best.confidence, language: answer.language };
  const rest = others.map(({ text, ...more }) => ({ caption: text, ...more }));
  return { ...row, beam: asked.beam, words: best.words, ...(rest.length ? { alternatives: rest } : {}) };
}
