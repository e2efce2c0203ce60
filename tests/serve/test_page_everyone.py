"""The page for everyone: languages, small screens, large text, other colours, those who hear it and those without a
script."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.serve.page_window import Page, Running, Scripted, a_photo, press

# ---- languages and models ----


def test_arabic_is_spoken_and_placed_as_such(visit: Callable[..., Page]) -> None:
    window = visit()
    window.page.get_by_role("radio", name="العربية").check()
    window.choose(a_photo())
    window.page.wait_for_selector(".words[data-language=ar]")
    window.captioned()
    assert window.page.get_attribute(".image", "lang") == "ar"
    assert window.page.inner_text(".live [lang=ar]") == "كلب بني يجري"
    right = window.page.evaluate("document.querySelector('.words').getBoundingClientRect().right - 6")
    for part in (".word-note bdi", ".meter span"):
        box = window.page.query_selector(part).bounding_box()
        assert box["x"] + box["width"] == pytest.approx(right, abs=2), part
    assert window.page.inner_text(".percent") == "61%"
    # English, too, among the Arabic words.
    assert window.page.eval_on_selector(".words", "box => box.closest('[lang]').lang") == "en"
    assert window.page.get_attribute(".word >> nth=0", "lang") == "ar"


@pytest.mark.parametrize("place", [".word >> nth=1", ".caption-choice >> nth=1"])
def test_a_new_answer_keeps_the_focus(visit: Callable[..., Page], place: str) -> None:
    window = visit()
    window.set_captions(3)
    window.choose(a_photo())
    window.page.wait_for_selector(".caption-choice >> nth=2")
    window.page.focus(place)
    label = window.page.evaluate("document.activeElement.textContent")
    asked = len(window.server.captioner.asked)
    with window.server.held():
        window.page.evaluate("document.querySelector('.options').requestSubmit()")
        window.page.wait_for_selector(".result[aria-busy=true]")
    window.captioned()
    assert len(window.server.captioner.asked) == asked + 1
    assert window.page.evaluate("document.activeElement.textContent") == label
    with window.server.held():
        window.choose(a_photo(200, 200))  # what had the focus is hidden for a while
        window.page.wait_for_selector(".result[aria-busy=true]")
    window.captioned()
    assert window.page.evaluate("document.activeElement.className") == "word"


@pytest.mark.parametrize("kind", ["one vector", "two grids"])
def test_a_model_that_does_not_look_promises_nothing(
    kind: str, visit: Callable[..., Page], serve: Callable[..., Running]
) -> None:
    captioner = Scripted(looks=False)
    if kind == "one vector":
        manifest = captioner.bundle.manifest.model_copy(update={"grid": (1, 1)})
        captioner.bundle = replace(captioner.bundle, manifest=manifest)
    else:
        captioner.has_common_grid = False  # as an ensemble says, whose models look at different parts
    window = visit(serve(captioner))
    text = window.page.inner_text("body")
    assert "A sentence for your photo." in text and "looked" not in text
    assert "looked" in visit().page.inner_text("body")


def test_the_view_fits_the_smallest_screen(visit: Callable[..., Page]) -> None:
    window = visit(viewport={"width": 320, "height": 640})
    window.page.click(".thumbnail")
    window.captioned()
    boxes = [element.bounding_box() for element in window.page.query_selector_all(".attention-view label")]
    assert boxes[0]["y"] == boxes[1]["y"]
    assert window.page.query_selector(".ramp").bounding_box()["width"] >= 60


def test_the_scale_keeps_its_colours_where_the_system_chooses_them(visit: Callable[..., Page]) -> None:
    window = visit(forced_colors="active")
    window.page.click(".thumbnail")
    window.captioned()
    ramp = "getComputedStyle(document.querySelector('.ramp'))"
    assert window.page.evaluate(f"{ramp}.forcedColorAdjust") == "none"
    assert "gradient" in window.page.evaluate(f"{ramp}.backgroundImage")


def test_there_is_one_main_part(visit: Callable[..., Page]) -> None:
    assert visit().page.locator("main").count() == 1


# ---- small screens ----

PHONE: dict[str, Any] = {"has_touch": True, "is_mobile": True, "viewport": {"width": 390, "height": 844}}
LANDSCAPE: dict[str, Any] = {**PHONE, "viewport": {"width": 844, "height": 390}}
ZOOMED: dict[str, Any] = {"viewport": {"width": 720, "height": 450}}
IN_VIEW = """selector => {
    const { top, bottom } = document.querySelector(selector).getBoundingClientRect();
    return top >= -1 && bottom <= innerHeight + 1;
}"""


def rested(window: Page) -> None:
    """When nothing scrolls any more."""
    window.page.evaluate("""async () => {
        for (let last = -1, same = 0; same < 5; last = scrollY) {
            await new Promise(requestAnimationFrame);
            same = scrollY === last ? same + 1 : 0;
        }
    }""")


@pytest.mark.parametrize("screen", [PHONE, LANDSCAPE, ZOOMED], ids=["phone", "landscape", "zoomed"])
def test_the_answer_comes_into_view(visit: Callable[..., Page], screen: dict[str, Any]) -> None:
    window = visit(**screen)
    window.set_captions(4)
    window.page.locator(".thumbnail").last.click()
    window.captioned()
    rested(window)
    assert window.page.evaluate(IN_VIEW, ".image") and window.page.evaluate(IN_VIEW, ".words")
    window.page.get_by_role("radio", name="العربية").scroll_into_view_if_needed()
    window.page.get_by_role("radio", name="العربية").click()
    window.page.wait_for_selector(".words[data-language=ar]")
    rested(window)
    assert window.page.evaluate(IN_VIEW, ".words")
    other = window.page.locator(".caption-choice").last
    other.evaluate("element => scrollBy(0, element.getBoundingClientRect().top - 20)")
    assert not window.page.evaluate(IN_VIEW, ".words")
    other.click()
    rested(window)
    assert window.page.evaluate(IN_VIEW, ".words")


def test_a_keyboard_stays_where_it_is(visit: Callable[..., Page]) -> None:
    window = visit(**ZOOMED)
    window.page.click(".thumbnail")
    window.captioned()
    rested(window)
    window.page.focus("#num")
    press(window.page, "Shift+Tab", "ArrowRight")
    window.page.wait_for_selector(".words[data-language=ar]")
    window.captioned()
    rested(window)
    assert window.page.evaluate("document.activeElement.value") == "ar"
    assert window.page.evaluate(IN_VIEW, "[data-name=language]")
    press(window.page, "Tab", "ArrowRight", "ArrowRight")
    window.page.wait_for_selector(".caption-choice >> nth=2")
    rested(window)
    assert window.page.evaluate(IN_VIEW, "#num")


def test_nothing_moves_where_all_is_in_view(visit: Callable[..., Page]) -> None:
    window = visit(viewport={"width": 1280, "height": 800})
    window.page.click(".thumbnail")
    window.captioned()
    rested(window)
    assert window.page.evaluate("scrollY") == 0
    assert window.page.evaluate("document.documentElement.scrollHeight") > 800  # it could


@pytest.mark.parametrize("size", [(120, 90), (8, 8), (100, 4000)])
def test_a_small_photo_is_shown_larger_with_its_attention_on_it(
    visit: Callable[..., Page], size: tuple[int, int]
) -> None:
    window = visit()
    window.choose(a_photo(*size))
    window.captioned()
    window.page.click(".word >> nth=1")
    window.map()
    image, attention = (window.page.query_selector(element).bounding_box() for element in (".image", ".attention"))
    assert attention == pytest.approx(image, abs=0.1)
    assert max(image["width"], image["height"]) >= 240
    assert image["width"] / image["height"] == pytest.approx(size[0] / size[1], rel=0.05)
    stage = window.page.query_selector(".stage").bounding_box()
    assert image["width"] <= stage["width"] and image["height"] <= 600


# ---- other eyes, and none ----


@pytest.mark.parametrize(
    ("crop", "size", "places"),
    [
        ("squash", (280, 140), ["upper left", "right", "bottom"]),
        ("center", (1000, 100), ["top", "middle", "bottom"]),  # it sees the middle tenth
        ("center", (100, 1000), ["left", "right", "middle"]),
        ("pad", (200, 1000), ["upper left", "right", "bottom"]),  # the cells of these columns are beside the photo
    ],
)
def test_where_the_model_looked_is_said(
    visit: Callable[..., Page], serve: Callable[..., Running], crop: str, size: tuple[int, int], places: list[str]
) -> None:
    window = visit(serve(Scripted(crop)))
    window.set_captions(2)
    window.choose(a_photo(*size))
    window.page.wait_for_selector(".caption-choice >> nth=1")
    for index, place in enumerate(places):
        window.page.click(f".word >> nth={index}")
        assert window.page.inner_text(".word-note").endswith(f"as the next word\nThe model looked most at the {place}.")
        assert window.announced() == f"The model looked most at the {place}."
    press(window.page, "Escape")
    assert window.announced() == ""
    window.page.click(".caption-choice >> nth=1")
    window.page.click(".word >> nth=3")  # whose map is even
    assert window.announced() == "The model looked at no part in particular."


def test_what_is_spoken_is_in_no_busy_part(visit: Callable[..., Page]) -> None:
    assert visit().page.eval_on_selector(".live", "live => live.closest('[aria-busy]')") is None


def test_systems_colours_show_how_likely_words_are_and_which_example_is_chosen(visit: Callable[..., Page]) -> None:
    window = visit(forced_colors="active")
    window.page.click(".thumbnail")
    window.captioned()
    style = "getComputedStyle(document.querySelector('.word'), '::after')"
    assert window.page.evaluate(f"{style}.borderBottomWidth") == "1px"
    colour = "element => getComputedStyle(element).backgroundColor"
    assert window.page.eval_on_selector(".word i", colour) != window.page.eval_on_selector(".card", colour)
    outline = "element => getComputedStyle(element).outlineStyle"
    assert window.page.eval_on_selector_all(".thumbnail", f"all => all.map({outline})")[:2] == ["solid", "none"]


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_the_browsers_own_parts_are_as_dark_as_the_page(visit: Callable[..., Page], scheme: str) -> None:
    window = visit(color_scheme=scheme)
    window.page.evaluate("document.querySelector('footer').style.color = 'CanvasText'")
    text = window.page.eval_on_selector("footer", "footer => getComputedStyle(footer).color")
    paper = window.page.eval_on_selector("body", "body => getComputedStyle(body).backgroundColor")
    assert (text, paper) == {
        "dark": ("rgb(255, 255, 255)", "rgb(20, 18, 23)"),
        "light": ("rgb(0, 0, 0)", "rgb(246, 245, 247)"),
    }[scheme]


def test_all_text_grows_with_the_browsers(visit: Callable[..., Page]) -> None:
    window = visit()
    sizes = """() => [...document.querySelectorAll("*")]
        .filter((element) => element.checkVisibility() && element.innerText)
        .map((element) => parseFloat(getComputedStyle(element).fontSize))"""
    before = window.page.evaluate(sizes)
    window.page.evaluate("document.documentElement.style.fontSize = '32px'")
    after = window.page.evaluate(sizes)
    assert len(before) > 30 and np.divide(after, before).min() == pytest.approx(2)


def test_without_a_script_the_page_says_that_it_needs_one(browser: Any, server: Running) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(server.url)
    text = page.locator("noscript")
    box = text.bounding_box()
    assert text.inner_text().startswith("showtell needs JavaScript") and box["y"] < 1 and box["height"] > 40
    context.close()


PAIRS = [
    ("ink", "paper", 7),
    ("ink", "card", 7),
    ("ink", "tint", 7),
    ("soft", "paper", 4.5),
    ("soft", "card", 4.5),
    ("soft", "tint", 4.5),
    ("soft", "bad-tint", 4.5),
    ("bad", "bad-tint", 4.5),
    ("brand-ink", "brand", 4.5),
    ("brand-ink", "brand-strong", 4.5),
    ("brand-strong", "card", 4.5),
    ("brand-strong", "tint", 4.5),
    ("brand", "card", 3),
    ("brand", "line", 3),
    ("focus", "paper", 3),
    ("focus", "card", 3),
]
"""Of text and its background, or a graphic and what is around it, with the least contrast (WCAG 2.2, 1.4.3 and 1.4.11).
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colors_are_told_apart(visit: Callable[..., Page], scheme: str) -> None:
    window = visit(color_scheme=scheme)

    def luminance(name: str) -> float:
        value = window.page.evaluate(
            "name => getComputedStyle(document.documentElement).getPropertyValue(name).trim()", f"--{name}"
        )
        channels = [int(value[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return float(np.dot([0.2126, 0.7152, 0.0722], linear))

    for text, background, least in PAIRS:
        low, high = sorted([luminance(text), luminance(background)])
        assert (high + 0.05) / (low + 0.05) >= least, (text, background)
