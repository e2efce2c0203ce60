// The caption as words that can be selected: one stop for Tab, arrow keys between words.

const RIGHT_TO_LEFT = ["ar", "fa", "he", "ur"];
const NAMES = { en: "English", ar: "العربية" };
const directionOf = (language) => (RIGHT_TO_LEFT.includes(language) ? "rtl" : "ltr");
const percent = (probability) => `${Math.round(100 * probability)} %`;
const surely = (caption, calibrated) =>
  calibrated ? `${percent(caption.confidence)} likely to be right` : `${percent(caption.confidence)} mean probability of a word`;

// `show(index | null)` draws the attention of a word, or the plain photo; `where(word)` says it, `say` out loud.
function makeWords(box, note, { show, where, say }) {
  let selected = null, words = [], looks = false, language = "en";

  // English, but on the side of the words.
  const write = (...lines) => {
    note.dir = directionOf(language);
    note.replaceChildren(
      ...lines.map((parts) => {
        const line = document.createElement("bdi");
        line.dir = "ltr";
        line.append(...parts);
        return line;
      }),
    );
  };
  const tell = (index) => {
    if (index === null) {
      const text = looks ? "Select a word to see where the model looked." : "This model does not say where it looks.";
      return write([text]);
    }
    const name = document.createElement("bdi"), bold = document.createElement("b");
    name.lang = language;
    name.textContent = words[index].text;
    bold.append(name);
    const likely = `: ${percent(Math.exp(words[index].log_probability))} likely as the next word`;
    write([bold, likely], ...(looks ? [[where(words[index])]] : []));
  };
  const preview = (index) => {
    tell(index);
    show(looks ? index : null);
  };
  const select = (index) => {
    selected = index;
    [...box.children].forEach((button, place) => button.setAttribute("aria-pressed", String(place === index)));
    preview(index);
    say(looks && index !== null ? where(words[index]) : "");
  };
  const focus = (index) => {
    const place = Math.min(Math.max(index, 0), words.length - 1);
    [...box.children].forEach((button, each) => (button.tabIndex = each === place ? 0 : -1));
    box.children[place].focus();
  };

  box.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const index = [...box.children].indexOf(button);
    focus(index);
    select(index === selected ? null : index);
  });
  box.addEventListener("keydown", (event) => {
    const index = [...box.children].indexOf(document.activeElement);
    const forward = box.dir === "rtl" ? "ArrowLeft" : "ArrowRight", back = box.dir === "rtl" ? "ArrowRight" : "ArrowLeft";
    const targets = { [forward]: index + 1, [back]: index - 1, ArrowDown: index + 1, ArrowUp: index - 1, Home: 0, End: words.length - 1 };
    if (!(event.key in targets)) return;
    event.preventDefault();
    focus(targets[event.key]);
  });
  // A keyboard and a mouse look around without selecting; a finger cannot hover.
  box.addEventListener("focusin", (event) => {
    const index = [...box.children].indexOf(event.target);
    if (index >= 0 && event.target.matches(":focus-visible")) preview(index);
  });
  box.addEventListener("focusout", (event) => box.contains(event.relatedTarget) || preview(selected));
  box.addEventListener("pointerover", (event) => {
    const button = event.target.closest("button");
    if (button && event.pointerType === "mouse") preview([...box.children].indexOf(button));
  });
  box.addEventListener("pointerleave", () => preview(selected));

  return {
    clear: () => select(null),
    again: () => preview(selected),
    get selected() {
      return selected;
    },
    set(caption, spoken) {
      words = caption.words;
      language = spoken;
      looks = words.some((word) => word.attention);
      const focused = [...box.children].indexOf(document.activeElement);
      box.dataset.language = spoken;
      box.dir = directionOf(spoken);
      box.dataset.plain = String(!looks);
      box.replaceChildren(
        ...words.map((word, index) => {
          const button = document.createElement("button"), bar = document.createElement("i");
          const probability = Math.exp(word.log_probability);
          button.type = "button";
          button.lang = spoken; // not of the box, whose own name is English
          button.className = "st-word";
          button.tabIndex = index ? -1 : 0;
          button.setAttribute("aria-pressed", "false");
          button.setAttribute("aria-label", `${word.text}, ${percent(probability)}`);
          bar.style.width = `calc((100% - 14px) * ${probability})`;
          button.append(word.text, bar);
          return button;
        }),
      );
      select(null);
      if (focused >= 0) focus(focused);
    },
  };
}
