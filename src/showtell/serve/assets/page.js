// The page: a photo and options become a question, its answer becomes words.

const settings = JSON.parse(JSON.stringify(props.settings));
const root = element.querySelector("#showtell");
const part = (selector) => root.querySelector(selector);
const [stage, frame, image, map] = [".st-stage", ".st-frame", ".st-image", ".st-map"].map(part);
const [result, live, form] = [".st-result", ".st-live", ".st-options"].map(part);
const look = { ...settings.map, crop: settings.crop, palette: paletteOf(settings.map.stops), grid: false };
const num = part("#st-num"), beam = part("#st-beam");
const SMALL = 320; // pixels of width from which on a photo is shown in its own size

const state = {
  photo: null, // {name, encoded | example, own: a blob's address}
  pictured: false, // whether the server's picture of it is shown
  asked: null, // the question that is open
  number: 0, // of the last question; whatever comes for an earlier one is not shown
  answer: null,
  chosen: 0, // which of its captions
  sweep: 0, // the timer that forgets a kept question
  copied: 0, // and the one after which the button no longer says so
};

// ---- attention ----

const words = makeWords(part(".st-words"), part(".st-note"), {
  show(index) {
    const weights = index === null ? null : state.answer?.captions[state.chosen].words[index].attention;
    map.dataset.shown = String(Boolean(weights && image.naturalWidth));
    if (weights && image.naturalWidth) drawAttention(map, image, weights, look);
  },
  where: (word) => placeOf(word.attention, image, look),
  say: (text) => (live.textContent = text),
});
const others = makeOthers(part(".st-list"), (index, event) => {
  showCaption(index);
  if (event.detail) reveal(); // a keyboard stays where it is
});
part(".st-ramp").style.background = `linear-gradient(to right, ${settings.map.stops.join(", ")})`;
part('[data-name="view"]').addEventListener("change", (event) => {
  look.grid = event.target.value === "grid";
  if (words.selected !== null) words.again();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && state.answer && !part(".st-camera").open) words.clear();
});

// ---- what is shown ----

// `name` is the file's, `detail` what a person who looks after it would ask for.
function fail(text, { name = "", detail = "", passing = false } = {}) {
  const error = part(".st-error");
  error.querySelector("bdi").textContent = name;
  error.querySelector("span").textContent = (name && ": ") + text;
  error.querySelector("code").textContent = detail;
  error.querySelector("details").hidden = !detail;
  error.querySelector("details").open = false;
  error.dataset.passing = String(passing);
  error.hidden = !text;
}

// What was not taken harms nothing that is shown: its message is over with the next thing that is done.
const refuse = (text, name) => fail(text, { name, passing: true });
const fade = () => part(".st-error").dataset.passing === "true" && fail("");
root.addEventListener("click", (event) => event.target.closest(".st-error") || fade(), true);

function busy(is) {
  part(".st-busy").hidden = !is;
  result.setAttribute("aria-busy", String(is));
  if (is) live.textContent = "Captioning";
}

function showPicture(address) {
  image.src = address;
  frame.hidden = false;
  part(".st-empty").hidden = true;
  stage.dataset.state = "photo";
}

// Until the true picture comes: the small one, as large as that will be.
function enlarged({ thumb, width, height }) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  canvas.getContext("2d").drawImage(thumb, 0, 0, width, height);
  return canvas.toDataURL("image/jpeg", 0.8);
}

image.addEventListener("load", () => {
  image.dataset.small = String(image.naturalWidth < SMALL);
  image.style.setProperty("--ratio", image.naturalWidth / image.naturalHeight);
});

// The photo and its words into view, where a small screen or a large zoom has them above or below what was pressed.
function reveal() {
  const photo = stage.getBoundingClientRect(), answer = result.getBoundingClientRect();
  const isSeen = photo.bottom > photo.height / 2 && photo.top + photo.height / 2 < innerHeight;
  const isRead = !answer.height || (answer.top >= 0 && answer.top < 0.8 * innerHeight);
  if (isSeen && isRead) return;
  const behavior = matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth";
  part(".st-grid").scrollIntoView({ block: "start", behavior });
}

function dropPhoto() {
  state.photo = null;
  frame.hidden = form.querySelector('[type="submit"]').disabled = true;
  part(".st-empty").hidden = false;
  stage.dataset.state = "empty";
  part(".st-taken").hidden = true;
}

function forget() {
  if (part(".st-answer").contains(document.activeElement)) result.focus(); // what is hidden loses the focus to nobody
  state.answer = null;
  map.dataset.shown = "false";
  part(".st-answer").hidden = true;
  part(".st-view").dataset.idle = "true";
  part(".st-waiting").hidden = false;
  live.textContent = "";
}

function showCaption(index) {
  state.chosen = index;
  const caption = state.answer.captions[index], calibrated = settings.calibrated.includes(state.answer.language);
  words.set(caption, state.answer.language);
  const meter = part(".st-meter"), text = surely(caption, calibrated);
  meter.dataset.calibrated = String(calibrated);
  part(".st-sure").dir = directionOf(state.answer.language);
  part(".st-sure").title = text;
  meter.setAttribute("aria-valuenow", String(Math.round(100 * caption.confidence)));
  meter.setAttribute("aria-valuetext", text);
  meter.firstElementChild.style.width = percent(caption.confidence).replace(" ", "");
  part(".st-percent").textContent = percent(caption.confidence);
  part(".st-sure .st-help").hidden = calibrated;
  image.alt = caption.text;
  image.lang = state.answer.language;
  part(".st-view").dataset.idle = String(!caption.words.some((word) => word.attention));
  others.mark(index);
  const spoken = Object.assign(document.createElement("bdi"), { lang: state.answer.language, textContent: caption.text });
  live.replaceChildren("Caption: ", spoken, `. ${text}.`);
}

function showAnswer(answer) {
  state.answer = answer;
  const { captions, language } = answer;
  part(".st-others-head").dir = directionOf(language);
  part(".st-others").hidden = captions.length < 2;
  part(".st-answer").hidden = false;
  part(".st-waiting").hidden = true;
  others.set(captions, language);
  showCaption(0);
  if (document.activeElement === result) part(".st-word")?.focus();
}

// ---- questions and answers ----

const encode = (file) =>
  new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });

const chosen = () => ({ language: new FormData(form).get("st-language"), beam: Number(beam.value), num: Number(num.value) });

function ask() {
  if (!state.photo) return;
  clearTimeout(later);
  fail("");
  busy(true);
  clearTimeout(state.patience);
  state.patience = setTimeout(reach.tell, 1000 * settings.patience, ++state.number);
  state.asked = { id: state.number, ...chosen(), picture: !state.pictured };
  reach.asked();
  trigger("caption", { ...state.asked, ...state.photo.source });
}

watch("value", () => {
  const answer = JSON.parse(JSON.stringify(props.value ?? null));
  if (!answer || answer.id !== state.asked?.id) return; // of a photo or of options that are no longer wanted
  const asked = state.asked;
  state.asked = null;
  reach.done();
  clearTimeout(state.sweep);
  state.sweep = setTimeout(keptQuestion, 5000); // later, no reload comes of what failed before
  if (answer.error) {
    busy(false);
    forget();
    const { text, code, detail } = answer.error, { name } = state.photo;
    if (!detail) return fail(text);
    dropPhoto(); // the photo's fault: asking again is no use
    return fail(text, { name, detail: `${code}: ${detail}` });
  }
  const done = () => {
    if (state.number !== asked.id) return; // the picture took its time, and another photo came
    busy(false);
    showAnswer({ ...answer, beam: asked.beam });
  };
  if (!answer.picture) return done();
  state.pictured = true;
  image.onload = done;
  showPicture(answer.picture);
});

const reach = makeReach(
  () => state.asked?.id ?? null,
  (text, reason) => {
    state.asked = null;
    busy(false);
    fail(text, { detail: reason.startsWith("status") ? reason : "" });
    if (reason !== "unreachable") return;
    clearTimeout(state.sweep);
    const { name, source } = state.photo;
    keepQuestion({ ...chosen(), name, example: source.example, encoded: source.photo }, image);
  },
);

let taken = 0; // photos that came; one that takes long to read must not replace a later one
const mebibytes = (bytes) => `${(bytes / 2 ** 20).toFixed(2)} MiB`;
async function take({ file, of = 1, example }) {
  const turn = ++taken;
  if (file && file.size > settings.largest) {
    const text = `This photo is too large: found ${mebibytes(file.size)}, expected at most ${mebibytes(settings.largest)}.`;
    return refuse(text, file.name);
  }
  let source;
  try {
    source = example ? { example: example.name } : { photo: await encode(file) };
  } catch {
    return refuse("The browser could not read this. If it is a folder, choose one photo in it.", file.name);
  }
  if (turn !== taken) return;
  forget();
  fail("");
  if (state.photo?.own) URL.revokeObjectURL(state.photo.own);
  const own = file ? URL.createObjectURL(file) : null;
  state.photo = { name: example?.name ?? (file.name || "photo"), source, own };
  state.pictured = false;
  image.alt = "";
  image.onload = null;
  showPicture(own ?? enlarged(example));
  inputs.mark(example ?? null);
  const credit = part(".st-credit");
  credit.hidden = !example;
  credit.textContent = example ? `Photo: ${example.credit}` : "";
  form.querySelector('[type="submit"]').disabled = false;
  const choice = of > 1 ? `One of ${of} files was taken: ${state.photo.name}.` : "";
  part(".st-taken").hidden = !choice;
  part(".st-taken").textContent = choice;
  ask();
  if (choice) live.textContent = `${choice} Captioning`;
  reveal();
}
const inputs = makeInputs(root, settings, take, refuse);
if (!settings.looks) for (const each of root.querySelectorAll(".st-looks, .st-view")) each.hidden = true;

// ---- options ----

let later = 0;
const label = () => {
  part('[data-for="num"]').textContent = num.value;
  part('[data-for="beam"]').textContent = beam.value;
};
num.max = beam.max = settings.widest;
beam.value = settings.beam;
num.addEventListener("input", () => {
  if (Number(num.value) > Number(beam.value)) beam.value = num.value; // a search finds as many as its beam is wide
  label();
});
beam.addEventListener("input", () => {
  if (Number(num.value) > Number(beam.value)) num.value = beam.value;
  label();
});
label();
settings.languages.forEach((language, index) => {
  const choice = document.createElement("label"), radio = document.createElement("input"), name = document.createElement("span");
  Object.assign(radio, { type: "radio", name: "st-language", value: language, checked: index === 0 });
  name.lang = language;
  name.textContent = NAMES[language] ?? language;
  choice.append(radio, name);
  part('[data-name="language"]').append(choice);
});
form.addEventListener("change", (event) => {
  clearTimeout(later);
  later = setTimeout(ask, event.target.type === "range" ? 400 : 0); // arrow keys on a slider come in rows
  if (event.target.type === "radio" && !event.target.matches(":focus-visible")) reveal(); // a keyboard stays where it is
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  ask();
  reveal();
});

// ---- what can be taken away ----

part('[data-do="copy"]').addEventListener("click", async (event) => {
  const label = event.currentTarget.querySelector("span");
  if (!(await copied(state.answer.captions[state.chosen].text))) return refuse("The browser did not let the caption be copied.");
  label.textContent = live.textContent = "Copied";
  clearTimeout(state.copied);
  state.copied = setTimeout(() => (label.textContent = "Copy caption"), 2000);
});

part('[data-do="picture"]').addEventListener("click", () => {
  const caption = state.answer.captions[state.chosen];
  const isMap = map.dataset.shown === "true", name = nameOf(state.photo.name, "png");
  const as = { selected: words.selected, language: state.answer.language, stops: isMap ? settings.map.stops : null };
  makePicture(isMap ? map : image, caption.words, as).toBlob((blob) => save(blob, name), "image/png");
});
part('[data-do="json"]').addEventListener("click", () => {
  const text = JSON.stringify(recordOf(state.photo.name, state.answer, state.answer)) + "\n";
  save(new Blob([text], { type: "application/json" }), nameOf(state.photo.name, "json"));
});

// ---- after a reload ----

const kept = keptQuestion();
if (kept) {
  beam.value = kept.beam;
  num.value = kept.num;
  label();
  for (const radio of form.elements["st-language"].length ? form.elements["st-language"] : []) radio.checked = radio.value === kept.language;
  const example = settings.examples.find(({ name }) => name === kept.example);
  if (example) take({ example });
  else if (kept.encoded) take({ file: decoded(kept.encoded, kept.name) });
  else fail("The server is back. Choose your photo again.");
}
