// The page: a photo and options become a request, its answer becomes words.

import { ApiError, captionImage, waitUntilReady } from "./api.js";
import { captionedPicture } from "./captioned_picture.js";
import { captionRecord, copyText, downloadName, save } from "./downloads.js";
import { Examples, fileOf } from "./examples.js";
import { confidenceText, duration, mebibytes } from "./formatting.js";
import { isPhotoCode, messageOf } from "./messages.js";
import { OptionsForm } from "./options.js";
import { PhotoSources } from "./photo_sources.js";
import { PhotoView } from "./photo_view.js";
import { ResultView } from "./result_view.js";
import { loadSettings } from "./settings.js";
import { isolate, text, textParts, translatePage } from "./texts.js";

/** @typedef {import("./settings.js").Example} Example */

const COPIED = 2000; // milliseconds for which the button says so

translatePage();

const part = (selector) => document.querySelector(selector);
const [live, error] = [".live", ".error"].map(part);

// ---- errors ----

// `name` is the file's, `detail` what a person who looks after the server would ask for.
function showError(message, { name = "", detail = "", isPassing = false } = {}) {
  error.querySelector("p").textContent = name ? text("named", { name: isolate(name), message }) : message;
  error.querySelector("code").textContent = detail;
  error.querySelector("details").hidden = !detail;
  error.querySelector("details").open = false;
  error.dataset.passing = String(isPassing);
  error.hidden = !message;
}

// What was not taken harms nothing that is shown: its message is over with the next thing that is done.
const refuse = (message, name) => showError(message, { name, isPassing: true });
document.addEventListener(
  "click",
  ({ target }) => {
    if (error.dataset.passing === "true" && !target.closest(".error")) showError("");
  },
  { capture: true },
);

const settings = await loadSettings().catch((failure) => {
  showError(text("refused.not_loaded"), { detail: failure.message });
  throw failure;
});
const languageOf = (code) => settings.languages.find((language) => language.code === code);

// ---- parts ----

/** @type {{file: File, example: Example | null, shown: Promise<void>, controller: AbortController} | null} */
let photo = null;
/** The request in work, or the wait for a server that is gone. @type {AbortController | null} */
let request = null;
let beamOfAnswer = 0;
let taken = 0; // photos that came; one that takes long to read must not replace a later one
let copied = 0; // the timer after which the button says again what it does

const view = new PhotoView(part(".photo"), settings);
const result = new ResultView(part(".result"), {
  onShow: (weights) => view.showAttention(weights),
  onAnnounce: (message) => (live.textContent = message),
  placeOf: (weights) => view.placeOf(weights),
  onCaption(caption, { code, direction, calibrated }) {
    view.describe(caption.text, { code, direction });
    view.setControls(caption.words.some((word) => word.attention) ? "ready" : "none");
    const spoken = document.createElement("bdi"), confidence = confidenceText(caption.confidence, calibrated);
    Object.assign(spoken, { lang: code, dir: direction, textContent: caption.text });
    live.replaceChildren(...textParts("announcement", { caption: spoken, confidence }));
  },
  onChoose: (event) => event.detail && reveal(), // a keyboard stays where it is
});
const options = new OptionsForm(part(".options"), settings, (event, isKeyboard) => {
  captionPhoto();
  if (event.target.type !== "range" && !isKeyboard) reveal();
});
const sources = new PhotoSources(document.body, settings.accept, (file, count = 1) => takePhoto(file, { count }), refuse);
const examples = new Examples(part(".examples"), settings.examples, takeExample);
part(".tagline").textContent = text(settings.has_attention ? "tagline_attention" : "tagline");
const model = Object.assign(document.createElement("bdi"), { className: "model", textContent: settings.model });
part(".page-footer p").replaceChildren(...textParts("footer", { model }));
for (const element of document.querySelectorAll("[data-needs=attention]")) element.hidden = !settings.has_attention;

// The photo and its words into view, where a small screen or a large zoom has them above or below what was pressed.
function reveal() {
  const stage = view.stage.getBoundingClientRect(), panel = result.section.getBoundingClientRect();
  const isSeen = stage.bottom > stage.height / 2 && stage.top + stage.height / 2 < innerHeight;
  const isRead = panel.top >= 0 && panel.top < 0.8 * innerHeight;
  if (isSeen && isRead) return;
  const behavior = matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth";
  const upper = panel.top < stage.top ? result.section : view.stage; // side by side, or one below the other
  upper.scrollIntoView({ block: "start", behavior });
}

// ---- photos ----

async function takeExample(example) {
  const turn = ++taken;
  try {
    const file = await fileOf(example);
    if (turn === taken) await takePhoto(file, { example });
  } catch {
    refuse(text("refused.unreachable"), example.name);
  }
}

/** @param {File} file @param {{count?: number, example?: Example | null}} source count: of how many files it is one */
async function takePhoto(file, { count = 1, example = null } = {}) {
  const turn = ++taken, largest = settings.max_photo_bytes;
  if (file.size > largest) {
    const sizes = { found: mebibytes(file.size), limit: mebibytes(largest) };
    return refuse(text("refused.too_large", sizes), file.name);
  }
  try {
    await file.slice(0, 1).arrayBuffer();
  } catch {
    return refuse(text("refused.unreadable"), file.name);
  }
  if (turn !== taken) return;
  forgetPhoto();
  const controller = new AbortController();
  photo = { file, example, controller, shown: view.show(file, controller.signal) };
  examples.mark(example);
  const note = count > 1 ? text("one_of_files", { count, name: isolate(file.name) }) : "";
  part(".file-note").hidden = !note;
  part(".file-note").textContent = note;
  captionPhoto();
  if (note) live.textContent = `${note} ${text("captioning")}`;
  reveal();
}

function forgetPhoto() {
  photo?.controller.abort();
  photo = null;
  forgetAnswer();
  part(".file-note").hidden = true;
  examples.mark(null);
}

function forgetAnswer() {
  result.clear();
  view.showAttention(null);
  view.setControls("waiting");
  live.textContent = "";
}

// ---- requests ----

function setBusy(message) {
  const losesFocus = message === null && view.isBusyFocused;
  view.setBusy(message);
  result.setBusy(message !== null);
  options.setButton(Boolean(photo), result.captions.length > 0);
  if (losesFocus) options.focus();
  if (message !== null) live.textContent = message;
}

async function captionPhoto() {
  if (!photo) return;
  request?.abort();
  const controller = (request = new AbortController()), { signal } = controller;
  const { file, shown } = photo, asked = options.value;
  options.settle();
  showError("");
  setBusy(text("captioning"));
  const onRetry = (seconds) =>
    setBusy(seconds ? text("retrying", { seconds: duration(seconds) }) : text("captioning"));
  try {
    const captions = await captionImage(file, asked, { signal, deadline: settings.deadline, onRetry });
    await shown;
    signal.throwIfAborted();
    beamOfAnswer = asked.beam;
    result.show(captions, languageOf(asked.language));
  } catch (failure) {
    if (!signal.aborted) showFailure(failure, signal);
  } finally {
    if (request === controller) setBusy(null);
  }
}

function showFailure(failure, signal) {
  if (!(failure instanceof ApiError)) throw failure; // a mistake in the page
  const { code, status, detail } = failure, { name } = photo.file;
  if (isPhotoCode(code)) {
    forgetPhoto(); // it is the photo's fault: asking again is no use
    view.clear();
    return showError(messageOf(code), { name, detail: `${code}: ${detail}` });
  }
  showError(messageOf(code), { detail: status ? `${code}: ${detail}` : "" });
  // Rejected where something else was asked for meanwhile.
  if (code === "unreachable") waitUntilReady(signal).then(captionPhoto, () => {});
}

part('[data-action="cancel"]').addEventListener("click", () => {
  request?.abort();
  request = null;
  setBusy(null);
  live.textContent = text("cancelled");
});
part(".options").addEventListener("submit", (event) => {
  event.preventDefault();
  captionPhoto();
  reveal();
});

// ---- attention ----

part('[data-name="view"]').addEventListener("change", ({ target }) => {
  view.isGrid = target.value === "grid";
  result.words.redraw();
});
document.addEventListener("keydown", ({ key }) => {
  if (key === "Escape" && result.captions.length && !sources.isCameraOpen) result.words.select(null);
});

// ---- what can be taken away ----

part('[data-action="copy"]').addEventListener("click", async ({ currentTarget }) => {
  const label = currentTarget.querySelector("span");
  if (!(await copyText(result.caption.text))) return refuse(text("refused.copy"));
  label.textContent = live.textContent = text("copied");
  clearTimeout(copied);
  copied = setTimeout(() => (label.textContent = text("copy")), COPIED);
});
part('[data-action="picture"]').addEventListener("click", () => {
  if (!view.picture) return refuse(text("no_preview"), photo.file.name);
  const colors = view.hasAttention ? settings.attention_map.colors : null;
  const { code, direction } = result.language, style = { selected: result.words.selected, code, direction, colors };
  const picture = captionedPicture(view.canvas, result.caption, style);
  const name = downloadName(photo.file.name, "png");
  picture.toBlob((blob) => save(blob, name), "image/png");
});
part('[data-action="json"]').addEventListener("click", () => {
  const record = JSON.stringify(captionRecord(photo.file.name, result.captions, beamOfAnswer)) + "\n";
  save(new Blob([record], { type: "application/json" }), downloadName(photo.file.name, "json"));
});
