"""The page's own words: each table has every key, every key is used, and nothing else is said."""

import json
import re
import unicodedata
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from tests.serve.page_window import Page, Scripted, a_photo

from showtell.errors import IMAGE_CODES
from showtell.languages import is_right_to_left, language_info
from showtell.serve import page

STATIC = Path(page.__file__).parent / "static"
HTML = (STATIC / "index.html").read_text(encoding="utf-8")
PREFIX = "export default "


def table(language: str) -> dict[str, Any]:
    content = (STATIC / f"texts_{language}.js").read_text(encoding="utf-8")
    return dict(json.loads(content.removeprefix(PREFIX).rstrip().removesuffix(";")))


TABLES = {
    file.stem.removeprefix("texts_"): table(file.stem.removeprefix("texts_")) for file in STATIC.glob("texts_*.js")
}
ENGLISH = TABLES["en"]
SCRIPTS = {
    file.name: file.read_text(encoding="utf-8") for file in STATIC.glob("*.js") if not file.name.startswith("texts_")
}
FORMS = {
    "en": {"one", "other"},
    "de": {"one", "other"},
    "ar": {"zero", "one", "two", "few", "many", "other"},
}
"""CLDR's plural forms of each language."""
FAMILIES = {
    "error.": {
        *set(IMAGE_CODES) - {"missing", "url_refused", "url_failed", "crashed"},  # the page sends photos itself
        *("unreachable", "no_answer", "unauthorized", "cross_site", "wrong_host", "body_too_large", "slow_upload"),
        *("queue_full", "busy", "stopping", "deadline", "invalid", "internal"),
    },
    "example.": {file.name for file in (STATIC.parent / "examples").glob("*.jpg")},
    "looked.": {
        *("upper_left", "top", "upper_right", "left", "middle", "right", "lower_left", "bottom", "lower_right"),
        "nowhere",
    },
}
"""Keys that are made of a code, a file or a place, and what it may be."""


def sentences(entry: Any) -> list[str]:
    return list(entry.values()) if isinstance(entry, dict) else [entry]


# ---- the tables ----


def test_every_language_has_every_key_and_its_own_plural_forms() -> None:
    assert set(TABLES) == set(FORMS)
    for language, texts in TABLES.items():
        assert list(texts) == list(ENGLISH), language
        for key, entry in texts.items():
            assert isinstance(entry, dict) == isinstance(ENGLISH[key], dict), (language, key)
            if isinstance(entry, dict):
                assert set(entry) == FORMS[language], (language, key)


def test_every_sentence_has_the_same_values() -> None:
    def values(sentence: str) -> set[str]:
        return set(re.findall(r"\{(\w+)\}", sentence)) - {"count"}  # a plural form may be without its number

    for language, texts in TABLES.items():
        for key, entry in texts.items():
            expected = values(sentences(ENGLISH[key])[0])
            assert all(values(sentence) == expected and sentence for sentence in sentences(entry)), (language, key)


def test_each_table_is_in_its_own_script_and_direction() -> None:
    scripts = {"Latn": "LATIN", "Arab": "ARABIC"}
    for language, texts in TABLES.items():
        own = scripts[language_info(language).scripts[0]]
        words = [sentence for entry in texts.values() for sentence in sentences(entry)]
        names = [unicodedata.name(letter) for letter in "".join(words) if letter.isalpha()]
        assert all(name.startswith((own, "LATIN", "MICRO")) for name in names), language
        assert texts["direction"] == ("rtl" if is_right_to_left(language) else "ltr")
    translated = [
        key for key in ENGLISH if any(letter.isalpha() for letter in re.sub(r"\{\w+\}", "", str(ENGLISH[key])))
    ]
    same = {"ar": {"json"}, "de": {"json", "details", "direction", "mebibytes"}}
    for language, keys in same.items():
        assert {key for key in translated if TABLES[language][key] == ENGLISH[key]} == keys, language


# ---- their use ----


def used_keys() -> set[str]:
    literals = set(re.findall(r'data-(?:text|label)="([\w.]+)"', HTML))
    for script in SCRIPTS.values():
        literals |= set(re.findall(r'"([\w.]+)"', script))
    return literals


def test_every_key_is_used_and_every_key_that_is_used_is_there() -> None:
    families = {prefix + name for prefix, names in FAMILIES.items() for name in names}
    assert {key for key in ENGLISH if key.startswith(tuple(FAMILIES))} == families
    everything = "".join(SCRIPTS.values())
    for prefix in FAMILIES:
        assert f"`{prefix}${{" in everything, prefix
    assert {key for key in ENGLISH if key not in families} - used_keys() <= {"direction", "needs_javascript"}
    assert "table.direction" in SCRIPTS["texts.js"]
    asked = set(re.findall(r'data-(?:text|label)="([^"]+)"', HTML))
    for script in SCRIPTS.values():
        asked |= set(re.findall(r'\b(?:text|textParts)\("([^"]+)"', script))
    assert asked <= set(ENGLISH)


class Visible(HTMLParser):
    """What a reader of the file as it is would see or hear, outside <noscript>; and inside it, by language."""

    def __init__(self) -> None:
        super().__init__()
        self.path: list[str] = []
        self.said: list[str] = []
        self.without_script: dict[str, str] = {}
        self.language = ""
        self.feed(HTML)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "link", "img", "input", "path", "rect", "circle"):
            self.path.append(tag)
        given = dict(attrs)
        self.said += [str(given[name]) for name in ("aria-label", "alt", "title", "placeholder") if given.get(name)]
        if "noscript" in self.path and tag == "p":
            self.language = f"{given['lang']} {given['dir']}"

    def handle_endtag(self, tag: str) -> None:
        if tag in self.path:
            while self.path.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if data.strip() and "noscript" in self.path:
            self.without_script[self.language] = data
        elif data.strip() and self.path[-1] not in ("title", "h1"):  # the product's name
            self.said.append(data)


def test_the_file_itself_says_nothing_but_that_it_needs_a_script() -> None:
    visible = Visible()
    assert visible.said == []
    expected = {f"{name} {texts['direction']}": texts["needs_javascript"] for name, texts in TABLES.items()}
    assert visible.without_script == expected


# ---- the page, with a table in which every sentence is in brackets ----


def bracketed(entry: Any) -> Any:
    if isinstance(entry, dict):
        return {form: bracketed(sentence) for form, sentence in entry.items()}
    return entry if entry in ("ltr", ", ") else f"⟦{entry}⟧"


SAID = """() => {
    const said = [], shown = (element) => element.checkVisibility({ visibilityProperty: true });
    for (const element of document.body.querySelectorAll("*")) {
        for (const name of ["aria-label", "alt", "title", "placeholder", "aria-valuetext"]) {
            if (element.getAttribute(name)) said.push(element.getAttribute(name));
        }
        const own = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
        if (own && shown(element) && !element.closest("noscript")) said.push(element.textContent);
    }
    return said;
}"""


def test_all_that_is_seen_or_heard_is_from_the_table(lone: Callable[..., Page], serve: Callable[..., Any]) -> None:
    """Also after an answer, an error, a note and a cancelled request; the data is that of the test."""
    running = serve(Scripted(calibrated=False))
    content = PREFIX + json.dumps({key: bracketed(entry) for key, entry in ENGLISH.items()}) + ";"
    type_ = "text/javascript"
    data = {
        "showtell",
        "English",
        "العربية",
        "Deutsch",
        "two",
        "dogs",
        "run",
        "again",
        running.site.service.model,
        "photo.png",
    }
    data |= {"not_an_image", "detail"}
    context_options: dict[str, Any] = {"locale": "fr"}  # which has no table: English

    def check(window: Page) -> None:
        for said in window.page.evaluate(SAID):
            outside = said
            while (inner := re.sub(r"⟦[^⟦⟧]*⟧", "", outside)) != outside:
                outside = inner
            words = [word for word in re.split(r"[\s:,.\u2068\u2069]+", outside) if re.search(r"[^\W\d_]", word)]
            assert set(words) <= data, said

    window = lone(
        running,
        before=lambda page: page.route("**/texts_en.js", lambda route: route.fulfill(body=content, content_type=type_)),
        **context_options,
    )
    check(window)
    window.choose(a_photo())
    window.captioned()
    window.page.click(".word >> nth=1")
    check(window)
    assert "⟦⟦" not in window.page.inner_text("body")
    with running.held():
        window.page.get_by_role("button", name="⟦Caption again⟧").click()
        check(window)
        window.page.get_by_role("button", name="⟦Cancel⟧").first.click()
    check(window)
    window.choose(b"no photo")
    window.page.get_by_role("alert").wait_for()
    check(window)
    assert "⟦This file is not an image.⟧" in window.page.inner_text("[role=alert]")


# ---- the choice of the language ----


@pytest.mark.parametrize(
    ("browser_languages", "language"),
    [
        (["de-AT", "en"], "de"),
        (["fr-FR", "fr", "ar-EG"], "ar"),
        (["sw"], "en"),
        (["en-GB", "de"], "en"),
        (["AR"], "ar"),
        ([], "en"),
    ],
)
def test_the_page_speaks_the_first_language_of_the_browser_that_it_knows(
    lone: Callable[..., Page], server: Any, browser_languages: list[str], language: str
) -> None:
    script = f"Object.defineProperty(navigator, 'languages', {{ get: () => {json.dumps(browser_languages)} }})"
    window = lone(server, before=lambda page: page.add_init_script(script))
    assert window.page.get_attribute("html", "lang") == language
    assert window.page.get_attribute("html", "dir") == TABLES[language]["direction"]
    assert window.page.inner_text(".tagline") == TABLES[language]["tagline_attention"]
    assert window.page.get_by_role("button", name=TABLES[language]["example.dog.jpg"]).is_visible()
    assert not window.complaints


def test_no_words_are_seen_before_they_are_in_the_right_language(browser: Any, server: Any) -> None:
    """The script that writes them does not come here: as a slow network shows the page."""
    context = browser.new_context(locale="ar")
    view = context.new_page()
    view.route("**/main.js", lambda route: route.abort())
    view.goto(server.url)
    assert view.evaluate("getComputedStyle(document.body).visibility") == "hidden"
    assert view.evaluate("[...document.querySelectorAll('[data-text]')].every((element) => !element.textContent)")
    context.close()
