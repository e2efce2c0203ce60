"""The page's options, errors and downloads, and whether everybody can use it."""

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageColor

pytest.importorskip("gradio", reason="the page needs gradio (pip install 'showtell[serve]')")
from tests.serve.page_window import SENTENCES, Page, Running, Scripted, a_photo, press

from showtell.view.maps import STOPS

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
    window.page.wait_for_selector(".st-words[data-language=ar]")
    assert window.captioned() == list(SENTENCES["ar"])
    assert window.page.is_hidden("[role=alert]")


def test_a_long_list_fades_where_it_goes_on(visit: Callable[..., Page]) -> None:
    window = visit()
    window.page.get_by_label("Captions", exact=True).fill("10")
    window.choose(a_photo())
    window.page.wait_for_selector(".st-other >> nth=9")
    assert window.page.eval_on_selector(".st-list", "list => getComputedStyle(list).maskImage") != "none"
    window.page.eval_on_selector(".st-list", "list => list.scrollTo(0, 9999)")
    window.page.wait_for_function("getComputedStyle(document.querySelector('.st-list')).maskImage === 'none'")


def test_each_caption_has_a_bar_of_its_own(visit: Callable[..., Page]) -> None:
    window = visit()
    window.page.get_by_label("Captions", exact=True).fill("2")
    window.choose(a_photo())
    window.page.wait_for_selector(".st-other >> nth=1")
    sizes = "bars => bars.map((bar) => [bar.offsetWidth, getComputedStyle(bar).backgroundSize])"
    full = [
        [float(x) for x in re.findall(r"[0-9.]+", size)[-1:]]
        for _, size in window.page.eval_on_selector_all(".st-other i", sizes)
    ]
    assert full == [[61.0], [51.0]]


# ---- errors ----


def test_a_bad_file_says_what_is_wrong_and_the_next_photo_works(visit: Callable[..., Page]) -> None:
    window = visit()
    window.choose(a_photo())
    window.captioned()
    window.choose(b"hello, I am no photo", "photo.jpg")
    error = window.page.get_by_role("alert")
    error.wait_for()
    assert error.inner_text().split() == ["photo.jpg:", "This", "file", "is", "not", "an", "image.", "Details"]
    error.get_by_text("Details").click()
    assert "not_an_image: " in error.inner_text()
    assert not window.page.is_visible(".st-word") and not window.page.is_visible(".st-image")
    window.choose(a_photo())
    assert window.captioned() == ["two", "dogs", "run"]
    assert not error.is_visible()


def test_a_photo_that_is_too_large_is_not_sent(visit: Callable[..., Page], serve: Callable[..., Running]) -> None:
    window = visit(serve(Scripted(), body_bytes=100_000))
    window.choose(bytes(100_000))
    error = window.page.get_by_role("alert")
    error.wait_for()
    assert error.inner_text() == "photo.png: This photo is too large: found 0.10 MiB, expected at most 0.07 MiB."
    assert not any(method == "POST" for method, _ in window.requests)


def test_what_was_not_taken_is_named_and_its_message_is_over_with_the_next_click(visit: Callable[..., Page]) -> None:
    window = visit()
    window.choose(a_photo())
    window.captioned()
    error = window.page.get_by_role("alert")
    window.page.evaluate("""() => {
        const data = new DataTransfer();
        data.setData("text/plain", "hello");
        document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true }));
    }""")
    assert error.inner_text() == "There is no picture in the clipboard."
    window.page.click(".st-word >> nth=1")
    assert error.is_hidden()
    window.choose(bytes(16 * 2**20), "large.jpg")
    error.wait_for()
    assert error.inner_text() == "large.jpg: This photo is too large: found 16.00 MiB, expected at most 15.00 MiB."
    window.page.get_by_role("radio", name="Grid").check()
    assert error.is_hidden() and window.page.is_visible(".st-word >> nth=0")


def test_of_several_files_it_is_said_which_was_taken(visit: Callable[..., Page], server: Running) -> None:
    window = visit()
    server.captioner.go.clear()
    try:
        window.page.evaluate(
            """(base64) => {
                const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
                const data = new DataTransfer();
                data.items.add(new File(["a"], "notes.txt", { type: "text/plain" }));
                const type = "image/png";
                for (const name of ["one.png", "two.png"]) data.items.add(new File([bytes], name, { type }));
                const event = new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
                document.querySelector(".st-stage").dispatchEvent(event);
            }""",
            base64.b64encode(a_photo()).decode(),
        )
        window.page.get_by_text("One of 3 files was taken: one.png.", exact=True).wait_for()
        assert window.page.inner_text(".st-live") == "One of 3 files was taken: one.png. Captioning"
    finally:
        server.captioner.go.set()
    window.captioned()
    assert window.page.is_visible(".st-taken")
    window.choose(a_photo())
    window.page.wait_for_selector(".st-taken", state="hidden")


# ---- what can be taken away ----


@pytest.mark.parametrize("has_clipboard", [True, False])
def test_the_caption_is_copied(visit: Callable[..., Page], has_clipboard: bool) -> None:
    window = visit(permissions=["clipboard-read", "clipboard-write"])
    window.choose(a_photo())
    window.captioned()
    if not has_clipboard:  # as on http, but on the same computer
        window.page.evaluate("window.clipboard = navigator.clipboard")
        window.page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    button = window.page.get_by_role("button", name="Copy caption")
    button.focus()
    press(window.page, "Enter")
    window.page.get_by_role("button", name="Copied").wait_for()
    assert window.page.inner_text(".st-live") == "Copied"
    assert window.page.evaluate("(window.clipboard ?? navigator.clipboard).readText()") == "two dogs run"
    assert window.page.evaluate("document.activeElement.dataset.do") == "copy"
    assert window.page.query_selector("textarea") is None
    button.wait_for()  # it says again what it does


def test_a_browser_that_does_not_copy_is_told(visit: Callable[..., Page]) -> None:
    window = visit()
    window.choose(a_photo())
    window.captioned()
    window.page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    window.page.evaluate("document.execCommand = () => false")
    window.page.get_by_role("button", name="Copy caption").click()
    assert window.page.get_by_role("alert").inner_text() == "The browser did not let the caption be copied."


@pytest.mark.parametrize(("name", "expected"), [("dog.jpg", "dog-caption.json"), ("image.png", "caption.json")])
def test_a_download_is_named_after_its_photo(visit: Callable[..., Page], name: str, expected: str) -> None:
    window = visit()
    window.choose(a_photo(), name)
    window.captioned()
    with window.page.expect_download() as download:
        window.page.get_by_role("button", name="Download JSON").click()
    assert download.value.suggested_filename == expected


@pytest.mark.parametrize(("size", "shown"), [((34, 1000), (34, 1000)), ((8, 8), (240, 240)), ((120, 60), (240, 120))])
def test_the_picture_of_a_narrow_or_small_photo_has_room_for_its_words(
    visit: Callable[..., Page], size: tuple[int, int], shown: tuple[int, int]
) -> None:
    window = visit()
    window.choose(a_photo(*size))
    window.captioned()
    with window.page.expect_download() as download:
        window.page.get_by_role("button", name="Download picture").click()
    picture = np.asarray(Image.open(download.value.path()).convert("RGB"), np.int16)
    assert picture.shape[1] == 240
    left = (240 - shown[0]) // 2
    photo = np.asarray(window.photo().resize(shown, Image.Resampling.BILINEAR), np.int16)
    assert np.abs(picture[: shown[1], left : left + shown[0]] - photo).mean() < 6
    assert (picture[: shown[1], :left] == 255).all()
    below = picture[shown[1] :].min(axis=(0, 2)) < 128  # columns with ink
    assert below.any() and not below[:8].any() and not below[-8:].any()  # no word is cut


def test_the_picture_of_attention_has_its_colours_below(visit: Callable[..., Page]) -> None:
    window = visit()
    window.choose(a_photo())
    window.captioned()
    window.page.click(".st-word >> nth=1")
    with window.page.expect_download() as download:
        window.page.get_by_role("button", name="Download picture").click()
    below = np.asarray(Image.open(download.value.path()).convert("RGB"), np.int16)[140:]
    for stop in STOPS:
        colour = ImageColor.getrgb(stop)
        assert np.abs(below - colour).max(-1).min() <= 12, stop


def test_downloads(visit: Callable[..., Page]) -> None:
    window = visit()
    window.choose(a_photo(), "my dogs.png")
    window.captioned()
    window.page.click(".st-word >> nth=1")
    with window.page.expect_download() as download:
        window.page.get_by_role("button", name="Download picture").click()
    picture = Image.open(download.value.path()).convert("RGB")
    assert download.value.suggested_filename == "my dogs-caption.png"
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
