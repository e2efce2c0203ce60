// The page: a photo and options become a question, its answer becomes words.

const settings = JSON.parse(JSON.stringify(props.settings));
const root = element.querySelector("#showtell");
const part = (selector) => root.querySelector(selector);
const [stage, frame, image, map] = [".st-stage", ".st-frame", ".st-image", ".st-map"].map(part);
const [result, live, form] = [".st-result", ".st-live", ".st-options"].map(part);
const look = { ...settings.map, crop: settings.crop, palette: paletteOf(settings.map.stops), grid: false };
const num = part("#st-num"), beam = part("#st-beam");

const state = {
  photo: null, // {name, encoded | example, own: a blob's address}
  pictured: false, // whether the server's picture of it is shown
  asked: null, // the question that is open
  number: 0, // of the last question; whatever comes for an earlier one is not shown
  answer: null,
  chosen: 0, // which of its captions
};

// ---- attention ----

const words = makeWords(part(".st-words"), part(".st-note"), (index) => {
  const weights = index === null ? null : state.answer?.captions[state.chosen].words[index].attention;
  map.dataset.shown = String(Boolean(weights && image.naturalWidth));
  if (weights && image.naturalWidth) drawAttention(map, image, weights, look);
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

function fail(text, detail = "") {
  const error = part(".st-error");
  error.querySelector("strong").textContent = text;
  error.querySelector("code").textContent = detail;
  error.hidden = !text;
}

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

function dropPhoto() {
  state.photo = null;
  frame.hidden = form.querySelector('[type="submit"]').disabled = true;
  part(".st-empty").hidden = false;
  stage.dataset.state = "empty";
}

function forget() {
  if (part(".st-answer").contains(document.activeElement)) result.focus(); // what is hidden loses the focus to nobody
  state.answer = null;
  map.dataset.shown = "false";
  part(".st-answer").hidden = part(".st-view").hidden = true;
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
  meter.setAttribute("aria-valuenow", String(Math.round(100 * caption.confidence)));
  meter.setAttribute("aria-valuetext", text);
  meter.firstElementChild.style.width = percent(caption.confidence).replace(" ", "");
  part(".st-sure-text bdi").textContent = calibrated ? text : `${text}. This model is not calibrated: it ranks captions, no more.`;
  image.alt = caption.text;
  image.lang = state.answer.language;
  part(".st-view").hidden = !caption.words.some((word) => word.attention);
  [...part(".st-list").querySelectorAll("button")].forEach((button, place) => button.setAttribute("aria-pressed", String(place === index)));
  const spoken = Object.assign(document.createElement("bdi"), { lang: state.answer.language, textContent: caption.text });
  live.replaceChildren("Caption: ", spoken, `. ${text}.`);
}

function showAnswer(answer) {
  state.answer = answer;
  const { captions, language } = answer;
  const focused = [...part(".st-list").querySelectorAll("button")].indexOf(document.activeElement);
  part(".st-list").replaceChildren(
    ...captions.map((caption, index) => {
      const item = document.createElement("li"), button = document.createElement("button");
      const text = document.createElement("span"), sure = document.createElement("small");
      button.type = "button";
      button.className = "st-other";
      text.lang = language;
      text.dir = button.dir = directionOf(language);
      text.textContent = caption.text;
      sure.dir = "ltr";
      sure.textContent = percent(caption.confidence);
      button.append(text, sure);
      button.addEventListener("click", () => showCaption(index));
      item.append(button);
      return item;
    }),
  );
  part(".st-others").hidden = captions.length < 2;
  part(".st-answer").hidden = false;
  part(".st-waiting").hidden = true;
  showCaption(0);
  if (focused >= 0) (part(".st-list").querySelectorAll("button")[focused] ?? part(".st-other")).focus();
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
  setTimeout(keptQuestion, 5000); // later, no reload comes of what failed before
  if (answer.error) {
    busy(false);
    forget();
    if (answer.error.detail) dropPhoto(); // the photo's fault: asking again is no use
    return fail(answer.error.text, answer.error.detail ? `${answer.error.code}: ${answer.error.detail}` : answer.error.code);
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
  (text, code) => {
    state.asked = null;
    busy(false);
    fail(text, code);
    const { name, source } = state.photo;
    if (code === "unreachable") keepQuestion({ ...chosen(), name, example: source.example, encoded: source.photo });
  },
);

let taken = 0; // photos that came; one that takes long to read must not replace a later one
async function take({ file, example }) {
  const turn = ++taken;
  if (file && file.size > settings.largest) {
    return fail("This photo is too large.", `too_large: found ${(file.size / 2 ** 20).toFixed(1)} MiB; expected at most ${Math.floor(settings.largest / 2 ** 20)}`);
  }
  let source;
  try {
    source = example ? { example: example.name } : { photo: await encode(file) };
  } catch {
    return fail("The browser could not read this. If it is a folder, choose one photo in it.", "unreadable");
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
  ask();
}
const inputs = makeInputs(root, settings, take, (text) => fail(text));
if (!settings.looks) for (const each of root.querySelectorAll(".st-looks")) each.hidden = true;

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
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  ask();
});

// ---- downloads ----

part('[data-do="picture"]').addEventListener("click", () => {
  const caption = state.answer.captions[state.chosen];
  const shown = map.dataset.shown === "true" ? map : image;
  makePicture(shown, caption.words, words.selected, state.answer.language).toBlob((blob) => save(blob, "caption.png"), "image/png");
});
part('[data-do="json"]').addEventListener("click", () => {
  const text = JSON.stringify(recordOf(state.photo.name, state.answer, state.answer)) + "\n";
  save(new Blob([text], { type: "application/json" }), "caption.json");
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
}
