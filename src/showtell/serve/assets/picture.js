// What can be taken away: the picture as it is shown with its sentence below, and everything as JSON.

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

function makePicture(shown, words, selected, language) {
  const width = shown.naturalWidth ?? shown.width, height = shown.naturalHeight ?? shown.height;
  const size = Math.max(14, Math.round(width / 26)), margin = Math.round(size * 0.9), step = Math.round(size * 1.5);
  const font = `600 ${size}px system-ui, "Noto Sans", "Noto Sans Arabic", sans-serif`;
  const canvas = document.createElement("canvas"), context = canvas.getContext("2d");
  context.font = font;
  const lines = wrapped(context, words, width - 2 * margin), space = context.measureText(" ").width;
  canvas.width = width;
  canvas.height = height + 2 * margin + lines.length * step;
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(shown, 0, 0, width, height);
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
  return canvas;
}

// As `showtell caption` writes a row, with the attention besides.
function recordOf(photo, answer, asked) {
  const [best, ...others] = answer.captions;
  const row = { image: photo, caption: best.text, score: best.score, confidence: best.confidence, language: answer.language };
  const rest = others.map(({ text, ...more }) => ({ caption: text, ...more }));
  return { ...row, beam: asked.beam, words: best.words, ...(rest.length ? { alternatives: rest } : {}) };
}
