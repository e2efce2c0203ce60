"""The page's options, errors and downloads, and whether everybody can use it."""

import base64
import io
import json
import re
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageColor
from tests.builtin_model import BEAM
from tests.serve.page_window import SENTENCES, Page, Running, Scripted, a_photo, isolated, named, press
from tests.serve.running import until

from showtell.view.maps import COLORMAP

# ---- options ----


def test_a_wide_beam_is_asked_for_and_as_many_captions_as_it_finds(visit: Callable[..., Page]) -> None:
    window = visit()
    window.page.get_by_label("Beam").focus()
    press(window.page, "Home")
    window.choose(a_photo())
    window.captioned()
    assert window.server.captioner.asked[-1].decode.beam_size == 1
    window.page.get_by_label("Captions", exact=True).focus()
    press(window.page, "End")
    window.page.wait_for_selector(".caption-choice >> nth=9")
    assert window.server.captioner.asked[-1].decode.beam_size == 10
    assert window.page.inner_text("[data-for=beam]") == "10"


def test_the_page_shows_that_it_works_and_asks_again_on_demand(visit: Callable[..., Page]) -> None:
    window = visit()
    assert window.page.get_by_role("button", name="Caption photo").is_disabled()
    window.choose(a_photo())
    window.captioned()
    times = len(window.server.captioner.asked)
    with window.server.held():
        window.page.get_by_role("button", name="Caption again").click()
        window.page.wait_for_selector(".busy", state="visible")
        assert window.page.get_attribute(".result", "aria-busy") == "true"
        assert window.page.inner_text("[role=status]") == "Captioning"
        assert window.page.is_visible(".word >> nth=0")  # of the same photo
    window.page.wait_for_selector(".busy", state="hidden")
    window.captioned()
    assert len(window.server.captioner.asked) == times + 1


def test_captioning_is_cancelled_and_asked_for_again(visit: Callable[..., Page]) -> None:
    window = visit()
    with window.server.held():
        window.choose(a_photo())
        cancel = window.page.get_by_role("button", name="Cancel")
        cancel.focus()
        with window.page.expect_event("requestfailed") as failed:
            press(window.page, "Enter")
        assert failed.value.url.endswith("/v1/caption") and window.page.is_hidden(".busy")
        assert window.announced() == "Cancelled" and window.page.is_hidden("[role=alert]")
        assert window.page.evaluate("document.activeElement.innerText.trim()") == "Caption photo", "not lost"
        assert window.page.is_visible(".image") and window.page.is_hidden(".answer")
    window.page.get_by_role("button", name="Caption photo").click()
    assert window.captioned() == ["two", "dogs", "run"]


def test_the_server_drops_the_work_for_a_page_that_cancelled(visit: Callable[..., Page]) -> None:
    window = visit()
    batcher = window.server.site.batcher
    with window.server.held():
        window.choose(a_photo())
        until(lambda: batcher.waiting == 1)
        window.page.get_by_role("button", name="Cancel").click()
        until(lambda: batcher.waiting == 0)


def test_an_answer_that_is_no_longer_wanted_is_not_shown(visit: Callable[..., Page]) -> None:
    window = visit()
    window.choose(a_photo())
    window.captioned()
    with window.server.held():
        window.page.get_by_role("button", name="Caption again").click()
        with window.page.expect_event("requestfailed"), window.page.expect_request("**/v1/caption"):
            window.page.get_by_role("radio", name="العربية").check()
        assert window.page.is_visible(".busy") and window.page.is_hidden("[role=alert]")
    window.page.wait_for_selector(".words[data-language=ar]")
    assert window.captioned() == list(SENTENCES["ar"])
    assert window.page.is_hidden("[role=alert]")


def test_a_long_list_fades_where_it_goes_on(visit: Callable[..., Page]) -> None:
    window = visit()
    window.set_captions(10)
    window.choose(a_photo())
    window.page.wait_for_selector(".caption-choice >> nth=9")
    assert window.page.eval_on_selector(".caption-list", "list => getComputedStyle(list).maskImage") != "none"
    window.page.eval_on_selector(".caption-list", "list => list.scrollTo(0, 9999)")
    window.page.wait_for_function(
        "() => getComputedStyle(document.querySelector('.caption-list')).maskImage === 'none'"
    )


def test_each_caption_has_a_bar_of_its_own(visit: Callable[..., Page]) -> None:
    window = visit()
    window.set_captions(2)
    window.choose(a_photo())
    window.page.wait_for_selector(".caption-choice >> nth=1")
    sizes = "bars => bars.map((bar) => getComputedStyle(bar).backgroundSize)"
    assert window.page.eval_on_selector_all(".caption-choice i", sizes) == ["61% auto", "51% auto"]


# ---- errors ----


def test_a_bad_file_says_what_is_wrong_and_the_next_photo_works(visit: Callable[..., Page]) -> None:
    window = visit()
    window.choose(a_photo())
    window.captioned()
    window.choose(b"hello, I am no photo", "photo.jpg")
    error = window.page.get_by_role("alert")
    error.wait_for()
    assert error.inner_text().split("\n")[0] == named("photo.jpg", "This file is not an image.")
    error.get_by_text("Details").click()
    assert "not_an_image: " in error.inner_text()
    assert not window.page.is_visible(".word") and not window.page.is_visible(".image")
    window.choose(a_photo())
    assert window.captioned() == ["two", "dogs", "run"]
    assert not error.is_visible()


def test_a_photo_that_is_too_large_is_not_sent(visit: Callable[..., Page], serve: Callable[..., Running]) -> None:
    window = visit(serve(Scripted(), body_bytes=100_000))
    window.choose(bytes(100_000))
    error = window.page.get_by_role("alert")
    error.wait_for()
    assert error.inner_text() == named(
        "photo.png", "This photo is too large: found 0.10 MiB, expected at most 0.09 MiB."
    )
    assert not any(method == "POST" for method, _ in window.requests)


def test_what_was_not_taken_is_named_and_its_message_is_over_with_the_next_click(
    visit: Callable[..., Page], serve: Callable[..., Running]
) -> None:
    window = visit(serve(Scripted(), body_bytes=100_000))
    window.choose(a_photo())
    window.captioned()
    error = window.page.get_by_role("alert")
    window.page.evaluate("""() => {
        const data = new DataTransfer();
        data.setData("text/plain", "hello");
        document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true }));
    }""")
    assert error.inner_text() == "There is no picture in the clipboard."
    window.page.click(".word >> nth=1")
    assert error.is_hidden()
    window.choose(bytes(200_000), "large.jpg")
    error.wait_for()
    assert error.inner_text() == named(
        "large.jpg", "This photo is too large: found 0.19 MiB, expected at most 0.09 MiB."
    )
    window.page.get_by_role("radio", name="Grid").check()
    assert error.is_hidden() and window.page.is_visible(".word >> nth=0")


def test_of_several_files_it_is_said_which_was_taken(visit: Callable[..., Page], server: Running) -> None:
    window = visit()
    with server.held():
        window.page.evaluate(
            """(base64) => {
                const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
                const data = new DataTransfer();
                data.items.add(new File(["a"], "notes.txt", { type: "text/plain" }));
                const type = "image/png";
                for (const name of ["one.png", "two.png"]) data.items.add(new File([bytes], name, { type }));
                const event = new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
                document.querySelector(".stage").dispatchEvent(event);
            }""",
            base64.b64encode(a_photo()).decode(),
        )
        note = f"One of 3 files was taken: {isolated('one.png')}."
        window.page.get_by_text(note, exact=True).wait_for()
        assert window.announced() == f"{note} Captioning"
    window.captioned()
    assert window.page.is_visible(".file-note")
    window.choose(a_photo())
    window.page.wait_for_selector(".file-note", state="hidden")


# ---- what can be taken away ----


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content)).convert("RGB")


@pytest.mark.parametrize("has_clipboard", [True, False])
def test_the_caption_is_copied(visit: Callable[..., Page], has_clipboard: bool) -> None:
    window = visit(clock=True, permissions=["clipboard-read", "clipboard-write"])
    window.choose(a_photo())
    window.captioned()
    if not has_clipboard:  # as on http, but on the same computer
        window.page.evaluate("window.clipboard = navigator.clipboard")
        window.page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    button = window.page.get_by_role("button", name="Copy caption")
    button.focus()
    press(window.page, "Enter")
    window.page.get_by_role("button", name="Copied").wait_for()
    assert window.announced() == "Copied"
    assert window.page.evaluate("(window.clipboard ?? navigator.clipboard).readText()") == "two dogs run"
    assert window.page.evaluate("document.activeElement.dataset.action") == "copy"
    assert window.page.query_selector("textarea") is None
    window.wait(2)
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
    assert window.downloaded("Download JSON")[0] == expected


@pytest.mark.parametrize(("size", "shown"), [((34, 1000), (34, 1000)), ((8, 8), (240, 240)), ((120, 60), (240, 120))])
def test_the_picture_of_a_narrow_or_small_photo_has_room_for_its_words(
    visit: Callable[..., Page], size: tuple[int, int], shown: tuple[int, int]
) -> None:
    window = visit()
    window.choose(a_photo(*size))
    window.captioned()
    picture = np.asarray(opened(window.downloaded("Download picture")[1]), np.int16)
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
    window.page.click(".word >> nth=1")
    below = np.asarray(opened(window.downloaded("Download picture")[1]), np.int16)[140:]
    for stop in COLORMAP:
        color = ImageColor.getrgb(stop)
        assert np.abs(below - color).max(-1).min() <= 12, stop


def test_downloads(visit: Callable[..., Page]) -> None:
    window = visit()
    window.choose(a_photo(), "my dogs.png")
    window.captioned()
    window.page.click(".word >> nth=1")
    name, content = window.downloaded("Download picture")
    picture = opened(content)
    assert name == "my dogs-caption.png"
    assert picture.width == 280 and picture.height > 140
    shown = np.abs(np.asarray(picture, np.int16)[:140] - np.asarray(window.map(), np.int16))
    assert shown.max() <= 1
    below = np.asarray(picture)[140:]
    assert (below == (255, 255, 255)).all(-1).any() and (below == (138, 36, 98)).all(-1).any()  # the word's background
    row = json.loads(window.downloaded("Download JSON")[1])
    assert (row["image"], row["caption"], row["language"]) == ("my dogs.png", "two dogs run", "en")
    assert [word["text"] for word in row["words"]] == ["two", "dogs", "run"]
    assert row["words"][1]["attention"][2][5] == 1 and row["beam"] == BEAM
    assert [other["caption"] for other in row["alternatives"]] == ["two dogs run again", "two dogs run again again"]


# ---- everyone ----


def test_every_control_has_a_name(visit: Callable[..., Page]) -> None:
    window = visit()
    window.choose(a_photo())
    window.captioned()
    snapshot = window.page.locator("body").aria_snapshot()
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
    window.page.tap(".thumbnail") if width < 500 else window.page.click(".thumbnail")
    window.captioned()
    assert window.page.evaluate("document.documentElement.scrollWidth") <= width
    for control in window.page.query_selector_all("button, input[type=range], .segments span"):
        if control.is_visible():
            box = control.bounding_box()
            assert box["height"] >= 40, control.inner_text()
            assert box["x"] >= 0 and box["x"] + box["width"] <= width, control.inner_text()
