// One word's attention over the photo, as view/maps.py draws it: the photo becomes grey, and all colour is attention.

// For each of so many pixels: the cell before it, the cell behind it, and how far it is between their middles.
function placesOf(cells, pixels) {
  return Array.from({ length: pixels }, (_, pixel) => {
    const place = Math.min(Math.max(((pixel + 0.5) * cells) / pixels - 0.5, 0), cells - 1), low = Math.floor(place);
    return [low, Math.min(low + 1, cells - 1), place - low];
  });
}

// In the middle of each cell: the harmonic mean of the slopes at its sides, 0 where these differ in sign.
function slopesOf(line) {
  return line.map((value, n) => {
    const before = n ? value - line[n - 1] : 0, after = n + 1 < line.length ? line[n + 1] - value : 0;
    return before * after > 0 ? (2 * before * after) / (before + after) : 0;
  });
}

// A monotone cubic curve through the cells of a line, at each of the places.
function stretched(line, places) {
  const slopes = slopesOf(line);
  return places.map(([low, high, t]) => {
    const turn = t * (1 - t) * ((1 - t) * slopes[low] - t * slopes[high]);
    const drawn = line[low] + (line[high] - line[low]) * t * t * (3 - 2 * t) + turn;
    return Math.max(Math.min(drawn, Math.max(line[low], line[high])), Math.min(line[low], line[high]));
  });
}

// Down the columns, then along the rows.
function smoothed(weights, width, height) {
  const down = placesOf(weights.length, height), across = placesOf(weights[0].length, width);
  const columns = weights[0].map((_, column) => stretched(weights.map((row) => row[column]), down));
  const drawn = new Float32Array(width * height);
  for (let y = 0; y < height; y++) drawn.set(stretched(columns.map((column) => column[y]), across), y * width);
  return drawn;
}

function cellsOf(weights, width, height) {
  const drawn = new Float32Array(width * height);
  const rows = weights.length, columns = weights[0].length;
  for (let y = 0; y < height; y++) {
    const row = weights[Math.floor((y * rows) / height)];
    for (let x = 0; x < width; x++) drawn[y * width + x] = row[Math.floor((x * columns) / width)];
  }
  return drawn;
}

// 256 colours, from no attention to the greatest.
function paletteOf(stops) {
  const colours = stops.map((stop) => [1, 3, 5].map((at) => parseInt(stop.slice(at, at + 2), 16)));
  return Array.from({ length: 256 }, (_, value) => {
    const at = (value / 255) * (stops.length - 1), low = Math.min(Math.floor(at), stops.length - 2);
    return [0, 1, 2].map((channel) => Math.round(colours[low][channel] + (colours[low + 1][channel] - colours[low][channel]) * (at - low)));
  });
}

// Left, top, width, height of what the network is shown.
function seenOf(width, height, crop) {
  if (crop !== "center") return [0, 0, width, height];
  const side = Math.min(width, height);
  return [Math.floor((width - side) / 2), Math.floor((height - side) / 2), side, side];
}

const PLACES = ["upper left", "top", "upper right", "left", "middle", "right", "lower left", "bottom", "lower right"];

// The map in a sentence, for those who do not see it: where its brightest spot is, or that it is faint all over.
function placeOf(weights, image, look) {
  const cells = weights.flat(), most = Math.max(...cells), columns = weights[0].length;
  if (most < (look.even * cells.reduce((sum, value) => sum + value)) / cells.length) return "The model looked at no part in particular.";
  const [left, top, w, h] = seenOf(image.naturalWidth, image.naturalHeight, look.crop), at = cells.indexOf(most);
  const across = (left + (((at % columns) + 0.5) * w) / columns) / image.naturalWidth;
  const down = (top + ((Math.floor(at / columns) + 0.5) * h) / weights.length) / image.naturalHeight;
  return `The model looked most at the ${PLACES[3 * Math.floor(3 * down) + Math.floor(3 * across)]}.`;
}

function drawAttention(canvas, image, weights, look) {
  const width = (canvas.width = image.naturalWidth), height = (canvas.height = image.naturalHeight);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  const pixels = context.getImageData(0, 0, width, height), data = pixels.data;
  const [left, top, w, h] = seenOf(width, height, look.crop);
  const drawn = look.grid ? cellsOf(weights, w, h) : smoothed(weights, w, h);
  const cells = weights.flat();
  const full = Math.max(...cells, (look.even * cells.reduce((sum, value) => sum + value)) / cells.length) || 1;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const at = 4 * (y * width + x);
      const grey = look.dimmed * (0.299 * data[at] + 0.587 * data[at + 1] + 0.114 * data[at + 2]);
      const inside = x >= left && x < left + w && y >= top && y < top + h;
      if (!inside) {
        data[at] = data[at + 1] = data[at + 2] = grey + (255 - grey) * look.unseen;
        continue;
      }
      const strength = Math.round((255 * drawn[(y - top) * w + x - left]) / full);
      const alpha = look.opacity * (strength / 255) ** 0.8, colour = look.palette[strength];
      for (let channel = 0; channel < 3; channel++) data[at + channel] = grey + (colour[channel] - grey) * alpha;
    }
  }
  context.putImageData(pixels, 0, 0);
  if (look.grid) drawBorders(context, left, top, w, h, weights.length, weights[0].length);
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
