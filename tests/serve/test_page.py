"""The page as people use it: a browser drives it. The network behind it has a known attention, so that where the color
has to be is known, too."""

import base64
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.serve.page_window import CELLS, SENTENCES, Page, Running, Scripted, a_photo, isolated, press, weights

from showtell.core.captioner import Captioner
from showtell.view.maps import overlay

EXAMPLES = Path(__file__).parents[2] / "examples"


# ---- ways to give a photo ----


def test_a_chosen_photo_is_captioned_at_once(visit: Callable[..., Page]) -> None:
    window = visit()
    window.choose(a_photo())
    assert window.captioned() == ["two", "dogs", "run"]
    assert window.photo().size == (280, 140)
    assert window.page.get_attribute(".image", "alt") == "two dogs run"
    assert window.page.inner_text(".confidence").split("\n") == ["Confidence", "61%"]
    meter = window.page.get_by_role("meter", name="Confidence")
    assert meter.get_attribute("aria-valuenow") == "61"
    assert meter.get_attribute("aria-valuetext") == "61% likely to be right"
    assert "Caption: two dogs run" in window.page.inner_text("[role=status]")


def test_a_second_visit_finds_the_page_in_the_browsers_cache(visit: Callable[..., Page]) -> None:
    window = visit()
    with window.page.expect_response("**/page/main.js") as loaded:
        window.page.reload()
    assert loaded.value.ok or loaded.value.status == 304
    window.page.wait_for_selector(".thumbnail")
    window.choose(a_photo())
    assert window.captioned() == ["two", "dogs", "run"]


@pytest.mark.parametrize("kind", ["paste", "drop"])
def test_a_photo_is_pasted_or_dropped(visit: Callable[..., Page], kind: str) -> None:
    window = visit()
    window.page.evaluate(
        """([kind, base64]) => {
            const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
            const data = new DataTransfer();
            data.items.add(new File([bytes], "image.png", { type: "image/png" }));
            const event = kind === "paste"
                ? new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true })
                : new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
            (kind === "paste" ? document.body : document.querySelector(".stage")).dispatchEvent(event);
        }""",
        [kind, base64.b64encode(a_photo()).decode()],
    )
    assert window.captioned() == ["two", "dogs", "run"]


def test_the_paste_button_takes_a_picture_from_the_clipboard(visit: Callable[..., Page]) -> None:
    window = visit(permissions=["clipboard-read", "clipboard-write"])
    window.page.evaluate(
        """async (base64) => {
            const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
            const blob = new Blob([bytes], { type: "image/png" });
            await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]);
        }""",
        base64.b64encode(a_photo()).decode(),
    )
    window.page.get_by_role("button", name="Paste").click()
    assert window.captioned() == ["two", "dogs", "run"]


def test_the_camera_takes_a_photo(visit: Callable[..., Page]) -> None:
    window = visit(permissions=["camera"])
    window.page.get_by_role("button", name="Camera").click()
    window.page.wait_for_function("() => document.querySelector('video').videoWidth > 0")
    window.page.evaluate("window.track = document.querySelector('video').srcObject.getTracks()[0]")
    window.page.get_by_role("button", name="Take photo").click()
    assert window.captioned() == ["two", "dogs", "run"]
    assert window.page.evaluate("window.track.readyState") == "ended"  # its light is off


def test_an_example_says_whose_it_is(visit: Callable[..., Page]) -> None:
    window = visit()
    window.page.get_by_role("button", name="Two dogs at a window").click()
    assert window.captioned() == ["two", "dogs", "run"]
    credit = f"Photo: {isolated('Aitzol Berasategi, 2018')}, {isolated('CC BY 4.0')}, resized"
    assert window.page.inner_text(".credit") == credit
    assert window.photo().size == (384, 576)


# ---- words and their attention ----


def colored_cells(window: Page) -> list[bool]:
    """Whether the middle of the cell that the network looks at for each word has colour, in a photo of 280 x 140."""
    pixels = np.asarray(window.map(), np.int16)
    return [bool(np.ptp(pixels[20 * row + 10, 40 * column + 20]) > 60) for row, column in CELLS]


@pytest.mark.parametrize("crop", ["squash", "center", "pad"])
def test_a_selected_word_colours_what_the_network_looked_at(
    visit: Callable[..., Page], serve: Callable[..., Running], server: Running, crop: str
) -> None:
    window = visit(server if crop == "squash" else serve(Scripted(crop)))
    window.choose(a_photo())
    window.captioned()
    window.page.get_by_role("button", name="dogs, 70%").click()
    window.page.mouse.move(1, 1)
    for grid in (False, True):
        window.page.get_by_role("radio", name="Grid" if grid else "Smooth").check()
        shown = np.asarray(window.map(), np.int16)
        expected = np.asarray(overlay(window.photo(), weights(1), grid, crop), np.int16)  # type: ignore[arg-type]
        difference = np.abs(shown - expected)
        assert difference.mean() < 2  # rounding
        assert np.quantile(difference, 0.9) <= 4  # all but the lines of the grid
    assert window.page.get_by_role("button", name="dogs, 70%").get_attribute("aria-pressed") == "true"
    assert window.page.inner_text(".word-note").split("\n")[0] == "dogs: 70% likely as the next word"


def test_the_mouse_looks_without_selecting(visit: Callable[..., Page]) -> None:
    window = visit()
    window.choose(a_photo())
    window.captioned()
    window.page.hover(".word >> nth=0")
    colours = np.asarray(window.map(), np.int16)
    assert np.ptp(colours[5, 5]) > 60 and np.ptp(colours[130, 270]) < 10  # the corner is coloured, its opposite grey
    window.page.mouse.move(1, 1)
    window.page.wait_for_selector(".attention[data-shown=false]")
    assert window.page.query_selector(".word[aria-pressed=true]") is None


def test_words_are_selected_with_the_keyboard_alone(visit: Callable[..., Page]) -> None:
    window = visit()
    window.choose(a_photo())
    window.captioned()
    focused = "document.activeElement.textContent"
    window.page.focus("[value=smooth]")
    press(window.page, "Tab")
    assert window.page.evaluate(focused) == "two"
    press(window.page, "ArrowRight", "ArrowRight", "ArrowRight")  # stays at the last
    assert window.page.evaluate(focused) == "run"
    assert colored_cells(window) == [False, False, True]  # an arrow shows
    press(window.page, "ArrowLeft", "Enter")
    assert window.page.evaluate(focused) == "dogs"
    assert colored_cells(window) == [False, True, False]
    press(window.page, "ArrowLeft")
    assert colored_cells(window) == [True, False, False]
    assert window.page.inner_text(".word-note").startswith("two: ")
    press(window.page, "Shift+Tab")
    assert colored_cells(window) == [False, True, False]  # Enter has kept it
    press(window.page, "Tab", "ArrowRight", "Escape")
    window.page.wait_for_selector(".attention[data-shown=false]")
    assert window.page.evaluate(focused) == "dogs"
    press(window.page, "End", "Space")
    assert window.page.get_attribute(".word >> nth=2", "aria-pressed") == "true"
    press(window.page, "Tab")
    assert window.page.evaluate("document.activeElement.className") == "caption-choice"  # one stop for all words


def test_arabic_runs_from_right_to_left(visit: Callable[..., Page]) -> None:
    window = visit()
    window.choose(a_photo())
    window.captioned()
    window.page.get_by_role("radio", name="العربية").focus()
    press(window.page, "Space")
    window.page.wait_for_selector(".words[dir=rtl][data-language=ar]")
    assert window.captioned() == list(SENTENCES["ar"])
    lefts = [word.bounding_box()["x"] for word in window.page.query_selector_all(".word")]
    assert lefts == sorted(lefts, reverse=True)
    window.page.focus(".word >> nth=0")
    press(window.page, "ArrowLeft")
    assert window.page.evaluate("document.activeElement.textContent") == "بني"
    press(window.page, "ArrowRight")
    assert window.page.evaluate("document.activeElement.textContent") == "كلب"


def test_alternatives_can_be_chosen(visit: Callable[..., Page]) -> None:
    window = visit()
    window.choose(a_photo())
    window.captioned()
    assert window.captioned() == ["two", "dogs", "run"]
    window.page.get_by_role("button", name="two dogs run again 51%").click()
    assert window.captioned() == ["two", "dogs", "run", "again"]
    assert window.page.inner_text(".percent") == "51%"
    window.page.click(".word >> nth=3")
    window.map()
    assert window.server.captioner.asked[-1].num == 3


def test_a_model_that_neither_looks_nor_is_calibrated(
    visit: Callable[..., Page], serve: Callable[..., Running]
) -> None:
    window = visit(serve(Scripted(looks=False, calibrated=False)))
    window.choose(a_photo())
    window.captioned()
    assert window.page.inner_text(".word-note") == "This model does not say where it looks."
    assert "mean probability of a word" in window.page.inner_text(".confidence")
    assert "not calibrated" in window.page.inner_text(".confidence")
    window.page.click(".word >> nth=1")
    assert window.page.inner_text(".word-note") == "dogs: 70% likely as the next word"
    assert window.page.get_attribute(".attention", "data-shown") == "false"
    assert not window.page.is_visible(".attention-view")


# ---- the true model ----


def test_the_built_in_model_on_a_true_photo(visit: Callable[..., Page], serve: Callable[..., Running]) -> None:
    captioner = Captioner.load()
    expected = captioner.caption(EXAMPLES / "two_dogs.jpg")
    window = visit(serve(captioner))
    window.choose((EXAMPLES / "two_dogs.jpg").read_bytes(), "two_dogs.jpg")
    assert window.captioned() == [word.text for word in expected.words]
    assert f"{round(100 * expected.confidence)}%" in window.page.inner_text(".percent")
