// All captions below the one that is shown, each with its own confidence; together they need not make 100 %.

// `choose(index, event)` shows another one, after that click.
function makeOthers(list, choose) {
  const buttons = () => [...list.querySelectorAll("button")];

  const buttonOf = ({ text, confidence }, language, index) => {
    const button = document.createElement("button"), words = document.createElement("span");
    const sure = document.createElement("small"), bar = document.createElement("i");
    button.type = "button";
    button.className = "st-other";
    words.lang = language;
    words.dir = button.dir = directionOf(language);
    words.textContent = text;
    bar.style.setProperty("--full", confidence);
    sure.dir = "ltr";
    sure.append(percent(confidence), bar);
    button.append(words, sure);
    button.addEventListener("click", (event) => choose(index, event));
    return button;
  };

  // It fades at its end while there is more.
  const fade = () => (list.dataset.more = String(list.scrollTop + list.clientHeight < list.scrollHeight - 4));
  list.addEventListener("scroll", fade);
  new ResizeObserver(fade).observe(list);

  return {
    mark: (index) => buttons().forEach((button, place) => button.setAttribute("aria-pressed", String(place === index))),
    set(captions, language) {
      const focused = buttons().indexOf(document.activeElement);
      const items = captions.map((caption, index) => {
        const item = document.createElement("li");
        item.append(buttonOf(caption, language, index));
        return item;
      });
      list.replaceChildren(...items);
      list.scrollTop = 0;
      fade();
      if (focused >= 0) (buttons()[focused] ?? buttons()[0]).focus();
    },
  };
}
