"""The page's options, errors and downloads, and whether everybody can use it."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("gradio", reason="the page needs gradio (pip install 'showtell[serve]')")
from tests.serve.page_window import SENTENCES, Page, Running, Scripted, a_photo, press

# ---- options ----


def test_a_wide_beam_is_asked_for_and_as_many_captions_as_it_finds(visit: Callable[..., Page]) -> None:
    window = visit()
    window.page.get_by_label("Beam").focus()
    press(window.page, "Home")
    window.choose(a_photo())
    window.captioned()
    assert window.server.captioner.asked[-1].decode.beam == 1
    window.page.get_by_label("Captions", exact=True).focus()
    press(window.page, "End")
    window.page.wait_for_selector(".st-other >> nth=9")
    assert window.server.captioner.asked[-1].decode.beam == 10
    assert window.page.inner_text("[data-for=beam]") == "10"


def test_the_page_shows_that_it_works_and_asks_again_on_demand(visit: Callable[..., Page]) -> None:
    window = visit()
    button = window.page.get_by_role("button", name="Caption the photo")
    assert button.is_disabled()
    window.choose(a_photo())
    window.captioned()
    times = len(window.server.captioner.asked)
    window.server.captioner.go.clear()
    try:
        button.click()
        window.page.wait_for_selector(".st-busy", state="visible")
        assert window.page.get_attribute(".st-result", "aria-busy") == "true"
        assert window.page.inner_text("[role=status]") == "Captioning"
    finally:
        window.server.captioner.go.set()
    window.page.wait_for_selector(".st-busy", state="hidden")
    window.captioned()
    assert len(window.server.captioner.asked) == times + 1


def test_an_answer_that_is_no_longer_wanted_is_not_shown(visit: Callable[..., Page]) -> None:
    window = visit()
    window.choose(a_photo())
    window.captioned()
    window.server.captioner.go.clear()
    try:
        window.page.get_by_role("button", name="Caption the photo").click()
        with window.page.expect_request("**/queue/join*"):
            window.page.get_by_role("radio", name="العربية").check()
        # The server gives up the first question, and the page hears of it, before it answers the second.
        window.page.wait_for_function("document.querySelector('.st-busy').checkVisibility()")
        assert window.page.is_hidden("[role=alert]")
    finally:
        window.server.captioner.go.set()
    window.page.wait_for_selector(".st-words[lang=ar]")
    assert window.captioned() == list(SENTENCES["ar"])
    assert window.page.is_hidden("[role=alert]")


# ---- errors ----


def test_a_bad_file_says_what_is_wrong_and_the_next_photo_works(visit: Callable[..., Page]) -> None:
    window = visit()
    window.choose(a_photo())
    window.captioned()
    window.choose(b"hello, I am no photo", "photo.jpg")
    error = window.page.get_by_role("alert")
    error.wait_for()
    assert "This file is not an image." in error.inner_text() and "not_an_image: " in error.inner_text()
    assert not window.page.is_visible(".st-word") and not window.page.is_visible(".st-image")
    window.choose(a_photo())
    assert window.captioned() == ["two", "dogs", "run"]
    assert not error.is_visible()


def test_a_photo_that_is_too_large_is_not_sent(visit: Callable[..., Page], serve: Callable[..., Running]) -> None:
    window = visit(serve(Scripted(), body_bytes=100_000))
    window.choose(bytes(100_000))
    error = window.page.get_by_role("alert")
    error.wait_for()
    assert "too_large" in error.inner_text()
    assert not any(method == "POST" for method, _ in window.requests)


# ---- what can be taken away ----


def test_downloads(visit: Callable[..., Page]) -> None:
    window = visit()
    window.choose(a_photo(), "my dogs.png")
    window.captioned()
    window.page.click(".st-word >> nth=1")
    with window.page.expect_download() as download:
        window.page.get_by_role("button", name="Download picture").click()
    picture = Image.open(download.value.path()).convert("RGB")
    assert download.value.suggested_filename == "caption.png"
    assert picture.width == 280 and picture.height > 140
    shown = np.abs(np.asarray(picture, np.int16)[:140] - np.asarray(window.map(), np.int16))
    assert shown.max() <= 1
    below = np.asarray(picture)[140:]
    assert (below == (255, 255, 255)).all(-1).any() and (below == (138, 36, 98)).all(-1).any()  # the word's background
    with window.page.expect_download() as download:
        window.page.get_by_role("button", name="Download JSON").click()
    row = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))
    assert (row["image"], row["caption"], row["language"]) == ("my dogs.png", "two dogs run", "en")
    assert [word["text"] for word in row["words"]] == ["two", "dogs", "run"]
    assert row["words"][1]["attention"][2][5] == 1


# ---- everyone ----


def test_every_control_has_a_name(visit: Callable[..., Page]) -> None:
    window = visit()
    window.choose(a_photo())
    window.captioned()
    snapshot = window.page.locator("#showtell").aria_snapshot()
    kinds = "button|radio|slider|meter|toolbar|group|region|form|img|textbox"
    controls = [line.strip() for line in snapshot.splitlines() if re.match(rf"\s*- ({kinds})\b", line)]
    assert len(controls) > 20
    unnamed = [line for line in controls if not re.match(r'- \w+ ".+"', line) and "/url" not in line]
    assert not unnamed, unnamed
    assert window.page.get_attribute("html", "lang") == "en"
    assert window.page.title() == "showtell"


@pytest.mark.parametrize(("width", "height"), [(320, 568), (390, 844), (768, 1024), (1440, 900)])
def test_it_fits_every_screen(visit: Callable[..., Page], width: int, height: int) -> None:
    window = visit(viewport={"width": width, "height": height}, has_touch=width < 500, is_mobile=width < 500)
    window.page.tap(".st-thumb") if width < 500 else window.page.click(".st-thumb")
    window.captioned()
    assert window.page.evaluate("document.documentElement.scrollWidth") <= width
    for each in window.page.query_selector_all("#showtell button, #showtell input[type=range], .st-segments span"):
        if each.is_visible():
            box = each.bounding_box()
            assert box["height"] >= 40, each.inner_text()
            assert box["x"] >= 0 and box["x"] + box["width"] <= width, each.inner_text()
