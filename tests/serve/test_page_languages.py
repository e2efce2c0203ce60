"""The page with a model of many languages, and in German and Arabic: names, directions, numbers, and room for all."""

import dataclasses
import io
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.serve.page_window import Page, Running, Scripted, a_photo, press

from showtell.core.captioner import GenerationOptions
from showtell.records import Caption, Word

NAMES = {
    "en": "English",
    "ar": "العربية",
    "de": "Deutsch",
    "hi": "हिन्दी",
    "zh-Hans": "简体中文",  # from the browser, which knows more of a script or a region than the registry does
    "he": "עברית",
    "sw": "Kiswahili",
    "x-own": "x-own",  # of which nobody knows
}
WORDS = {
    "en": ("two", "dogs", "run"),
    "ar": ("كلبان", "يركضان", "معا"),
    "de": ("zwei", "hunde", "rennen"),
    "hi": ("दो", "कुत्ते", "हैं"),
    "zh-Hans": ("狗", "在", "跑"),
    "he": ("שני", "כלבים", "רצים"),
    "sw": ("mbwa", "wawili", "wanakimbia"),
    "x-own": ("a", "b", "c"),
}


class StartTokens:
    """In place of the built-in model's tokenizer, which knows three languages."""

    def prompt_ids(self, language: str, prompt: str | None = None) -> list[int]:
        return [list(NAMES).index(language)]


class Polyglot(Scripted):
    """Says three words in each of its languages; Chinese ones without spaces."""

    def __init__(self, *languages: str) -> None:
        super().__init__()
        manifest = self.bundle.manifest.model_copy(update={"languages": languages})
        self.bundle = dataclasses.replace(self.bundle, manifest=manifest, tokenizer=StartTokens())

    def caption_preprocessed(self, photos: Sequence[Any], ask: GenerationOptions) -> list[tuple[Caption, ...]]:
        self.asked.append(ask)
        words = tuple(Word(text, -0.1) for text in WORDS[ask.language])
        text = ("" if ask.language.startswith("zh") else " ").join(word.text for word in words)
        maps = np.full((3, 7, 7), 1 / 49, np.float32)
        return [tuple(Caption(text, -0.5, 0.5, words, ask.language, maps) for _ in range(ask.num)) for _ in photos]


@pytest.fixture(scope="module")
def polyglot(serve: Callable[..., Running]) -> Running:
    return serve(Polyglot(*NAMES))


def say(window: Page, language: str) -> None:
    window.page.select_option("select[name=language]", language)
    window.page.wait_for_selector(f".words[data-language={language}]")
    window.captioned()


# ---- languages of captions ----


def test_each_language_is_chosen_by_its_own_name(visit: Callable[..., Page], polyglot: Running) -> None:
    window = visit(polyglot)
    shown = window.page.eval_on_selector_all(
        "select[name=language] option", "all => all.map(({ lang, dir, text }) => [lang, dir, text])"
    )
    assert [(code, name) for code, _, name in shown] == list(NAMES.items())
    assert {code for code, direction, _ in shown if direction == "rtl"} == {"ar", "he"}
    assert window.page.get_by_role("combobox", name="Language").count() == 1
    window.choose(a_photo())
    window.captioned()
    for language, words in WORDS.items():
        say(window, language) if language != "en" else None
        assert window.captioned() == list(words)
        assert window.server.captioner.asked[-1].language == language


def test_captions_have_their_language_and_direction_wherever_they_stand(
    visit: Callable[..., Page], polyglot: Running
) -> None:
    window = visit(polyglot)
    window.choose(a_photo())
    window.captioned()
    for language in ("hi", "he", "zh-Hans"):
        say(window, language)
        direction = "rtl" if language == "he" else "ltr"
        for place in (".image", ".live bdi", ".caption-choice span"):
            found = window.page.eval_on_selector(place, "element => [element.lang, element.dir]")
            assert found == [language, direction], place
        assert window.page.get_attribute(".words", "dir") == direction
        assert window.page.get_attribute(".word", "lang") == language
        window.page.click(".word >> nth=1")
        found = window.page.eval_on_selector(".word-note b bdi", "element => [element.lang, element.dir]")
        assert found == [language, direction]
    assert window.page.inner_text(".live") != "" and window.page.inner_text(".word-note b") == "在"


def test_a_few_languages_are_buttons_and_each_keeps_its_direction(
    visit: Callable[..., Page], serve: Callable[..., Running]
) -> None:
    window = visit(serve(Polyglot("he", "de")))
    buttons = window.page.locator("[data-name=language] label")
    assert buttons.all_inner_texts() == ["עברית", "Deutsch"]
    assert [bdi.get_attribute("dir") for bdi in buttons.locator("bdi").all()] == ["rtl", "ltr"]
    window.choose(a_photo())
    window.page.wait_for_selector(".words[data-language=he][dir=rtl]")


def test_words_without_spaces_stand_together(visit: Callable[..., Page], polyglot: Running) -> None:
    window = visit(polyglot)
    window.choose(a_photo())
    window.captioned()

    def gaps() -> list[float]:
        boxes = window.page.eval_on_selector_all(
            ".word",
            """words => words.map((word) => {
                const range = document.createRange();
                range.selectNodeContents(word.firstChild);
                const { left, right } = range.getBoundingClientRect();
                return [left, right];
            })""",
        )
        return [after[0] - before[1] for before, after in itertools.pairwise(boxes)]

    assert min(gaps()) > 10
    say(window, "zh-Hans")
    assert max(gaps()) <= 6
    widths = window.page.eval_on_selector_all(".word", "all => all.map((word) => word.getBoundingClientRect().width)")
    assert min(widths) >= 24, "WCAG 2.2, 2.5.8"
    assert window.page.get_attribute(".image", "alt") == "狗在跑"


def ink(content: bytes) -> np.ndarray:
    """Columns of the caption below a photo of 280 x 140 that have ink."""
    picture = Image.open(io.BytesIO(content)).convert("L")
    return np.nonzero((np.asarray(picture)[142:] < 160).any(axis=0))[0]


def test_the_picture_has_the_caption_on_its_side_and_without_spaces_where_there_are_none(
    visit: Callable[..., Page], polyglot: Running
) -> None:
    window = visit(polyglot)
    window.choose(a_photo())
    window.captioned()
    spans = {}
    for language in ("de", "he", "zh-Hans"):
        say(window, language)
        columns = ink(window.downloaded("Download picture")[1])
        spans[language] = (columns.min(), 280 - columns.max(), np.diff(columns).max())
    assert spans["de"][0] < 20 < spans["de"][1]
    assert spans["he"][1] < 20 < spans["he"][0]
    assert spans["zh-Hans"][0] < 20 and spans["zh-Hans"][2] < spans["de"][2]


# ---- the page's own language ----

SCREENS = {"wide": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}


@pytest.fixture(scope="module")
def opened(browser: Any, server: Running) -> Iterator[Callable[[str, str], Page]]:
    """A window for each language and screen, with a photo, its caption and a selected word."""
    windows: dict[tuple[str, str], Page] = {}

    def opened(language: str, screen: str) -> Page:
        if (language, screen) not in windows:
            touch = {"has_touch": True, "is_mobile": True} if screen == "phone" else {}
            window = Page(browser, server, locale=language, viewport=SCREENS[screen], **touch)
            window.page.locator(".thumbnail").first.click()
            window.captioned()
            window.page.click(".word >> nth=1")
            windows[language, screen] = window
        return windows[language, screen]

    yield opened
    for window in windows.values():
        assert not window.complaints
        window.context.close()


OVERLAPS = """() => {
    const texts = [...document.querySelectorAll("body *")].filter((element) =>
        element.checkVisibility({ visibilityProperty: true }) &&
        !element.closest(".visually-hidden, noscript, .live") &&
        [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim()));
    const boxes = texts.map((element) => {
        const range = document.createRange();
        range.selectNodeContents(element);
        return [element, range.getBoundingClientRect()];
    });
    const overlaps = [];
    boxes.forEach(([one, a], index) => boxes.slice(index + 1).forEach(([other, b]) => {
        if (one.contains(other) || other.contains(one)) return;
        const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        if (wide > 1 && high > 3) overlaps.push([one.textContent, other.textContent]);
    }));
    return overlaps;
}"""
CLIPPED = """() => [...document.querySelectorAll("button, label, p, h2, span, output, legend")]
    .filter((element) => element.checkVisibility({ visibilityProperty: true }) &&
        !element.closest(".visually-hidden, noscript, .skeleton, .meter") &&
        (element.scrollWidth > element.clientWidth + 1) && getComputedStyle(element).display !== "inline")
    .map((element) => element.textContent)"""


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("language", ["en", "de", "ar"])
def test_no_words_overlap_and_none_are_cut(opened: Callable[..., Page], language: str, screen: str) -> None:
    page = opened(language, screen).page
    assert page.evaluate(OVERLAPS) == []
    assert page.evaluate(CLIPPED) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= SCREENS[screen]["width"]
    for control in page.query_selector_all("button, select, input[type=range]"):
        if control.is_visible():
            box = control.bounding_box()
            assert box["x"] >= 0 and box["x"] + box["width"] <= SCREENS[screen]["width"]


def test_an_arabic_page_is_the_mirror_of_an_english_one(opened: Callable[..., Page]) -> None:
    def centre(language: str, selector: str) -> float:
        box = opened(language, "wide").page.locator(selector).first.bounding_box()
        assert box is not None
        return float(box["x"] + box["width"] / 2)

    for part in (".logo", ".photo", ".result", '[data-action="choose"]', ".thumbnail", "[data-text=less]", "#num"):
        english, arabic = centre("en", part), centre("ar", part)
        assert (english < 640) != (arabic < 640) or abs(english - 640) < 100, part
    ramp = "getComputedStyle(document.querySelector('.ramp')).backgroundImage"
    assert opened("ar", "wide").page.evaluate(ramp).startswith("linear-gradient(to left")


def test_numbers_and_plurals_are_those_of_the_language(visit: Callable[..., Page], server: Running) -> None:
    for locale, percent in (("de", "61\u00a0%"), ("ar-EG", "\u0666\u0661\u066a\u061c"), ("en-US", "61%")):
        window = visit(server, locale=locale)
        window.choose(a_photo())
        window.captioned()
        assert window.page.inner_text(".percent") == percent
        names = "\u2068a.png\u2069"
        give = """async (count) => {
            const { text, isolate } = await import("./page/texts.js");
            return text("one_of_files", { count, name: isolate("a.png") });
        }"""
        for count, expected in {
            "de": [(2, f"Eine von 2 Dateien wurde übernommen: {names}.")],
            "ar-EG": [
                (2, f"اختير أحد الملفين: {names}."),
                (3, f"اختير ملف واحد من ٣ ملفات: {names}."),
                (11, f"اختير ملف واحد من ١١ ملفًا: {names}."),
                (100, f"اختير ملف واحد من ١٠٠ ملف: {names}."),
            ],
            "en-US": [(2, f"One of 2 files was taken: {names}.")],
        }[locale]:
            assert window.page.evaluate(give, count) == expected


def test_arrow_keys_follow_the_caption_not_the_page(visit: Callable[..., Page], server: Running) -> None:
    window = visit(server, locale="ar")
    window.choose(a_photo())
    assert window.captioned() == ["two", "dogs", "run"]
    window.page.focus(".word >> nth=0")
    press(window.page, "ArrowRight")
    assert window.page.evaluate("document.activeElement.textContent") == "dogs"
    assert window.page.eval_on_selector(".word-note bdi", "line => line.dir") == "rtl"


def test_the_scale_of_a_narrow_picture_fits_in_every_language(visit: Callable[..., Page], server: Running) -> None:
    for locale in ("de", "ar"):
        window = visit(server, locale=locale)
        window.choose(a_photo(100, 100))
        window.captioned()
        window.page.click(".word >> nth=1")
        texts = window.page.evaluate("(async () => (await import('./page/texts.js')).text('download_picture'))()")
        content = window.downloaded(texts)[1]
        pixels = np.asarray(Image.open(io.BytesIO(content)).convert("L"))
        assert pixels.shape[1] == 240
        columns = np.nonzero((pixels[-26:] < 200).any(axis=0))[0]
        assert columns.min() >= 8 and columns.max() < 232
