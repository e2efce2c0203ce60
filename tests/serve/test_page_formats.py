"""Photos of formats that browsers do not know: chosen, dropped, shown, and refused with what to do."""

import base64
import io
import sys
from collections.abc import Callable

import httpx
import pytest
from PIL import Image
from tests.serve.page_window import Page, Running, a_photo, isolated, named

from showtell.serve.page import accepted_files

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"><rect width="64" height="64"/></svg>'


def encoded(file_format: str, width: int = 280, height: int = 140) -> bytes:
    if file_format == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    file = io.BytesIO()
    Image.open(io.BytesIO(a_photo(width, height))).save(file, file_format, quality=95)
    return file.getvalue()


def drop(window: Page, *files: tuple[str, bytes, str]) -> None:
    """Name, content and type of each, which is empty where the browser knows none."""
    window.page.evaluate(
        """(files) => {
            const data = new DataTransfer();
            for (const [name, base64, type] of files) {
                const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
                data.items.add(new File([bytes], name, { type }));
            }
            const event = new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
            document.querySelector(".stage").dispatchEvent(event);
        }""",
        [[name, base64.b64encode(content).decode(), kind] for name, content, kind in files],
    )


def previews(window: Page) -> int:
    return sum(url.endswith("/page/preview") for _, url in window.requests)


def test_a_photo_can_be_chosen_by_any_suffix_that_is_read(visit: Callable[..., Page]) -> None:
    assert visit().page.get_attribute("[data-input=file]", "accept") == accepted_files()


def test_the_photo_among_dropped_files_is_known_by_its_suffix(visit: Callable[..., Page]) -> None:
    window = visit()
    drop(window, ("notes.txt", b"hello", "text/plain"), ("SCAN.TIF", encoded("TIFF"), ""))
    assert window.captioned() == ["two", "dogs", "run"]
    assert window.page.inner_text(".file-note") == f"One of 2 files was taken: {isolated('SCAN.TIF')}."


@pytest.mark.parametrize(
    ("file_format", "name", "count"), [("AVIF", "a.avif", 0), ("TIFF", "a.tif", 1), ("HEIF", "IMG_1.HEIC", 1)]
)
def test_what_the_browser_cannot_show_is_shown_by_the_server(
    visit: Callable[..., Page], file_format: str, name: str, count: int
) -> None:
    window = visit()
    window.choose(encoded(file_format), name)
    assert window.captioned() == ["two", "dogs", "run"]
    shown, original = window.photo(), Image.open(io.BytesIO(a_photo())).convert("RGB")
    assert shown.size == original.size and previews(window) == count
    for place in ((10, 10), (270, 130), (140, 70)):
        assert shown.getpixel(place) == pytest.approx(original.getpixel(place), abs=12)


def test_a_format_that_is_refused_says_what_to_do_and_shows_no_broken_image(visit: Callable[..., Page]) -> None:
    window = visit()
    window.choose(b"8BPS\0\1" + bytes(100), "layers.psd")
    alert = window.page.get_by_role("alert")
    alert.wait_for()
    expected = named("layers.psd", "Images of this kind are not read here. Save it as JPEG or PNG, and try that.")
    assert alert.locator("p").inner_text() == expected
    assert window.page.is_hidden(".image") and window.page.is_visible(".drop-zone")
    window.choose(SVG, "drawing.svg")  # the browser can show it, the model cannot read it
    alert.get_by_text("drawing.svg").wait_for()
    assert window.page.is_hidden(".image") and window.page.is_visible(".drop-zone")


def test_a_client_is_not_told_how_to_install_what_the_server_lacks(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command names folders of the server."""
    photo = encoded("HEIF")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # as where the extra is not installed
    preview = httpx.post(f"{server.url}/page/preview", content=photo, timeout=60)
    captions = httpx.post(f"{server.url}/v1/caption", files={"images": ("a.heic", photo)}, timeout=60)
    errors = preview.json()["error"], captions.json()["results"][0]["error"]
    for error in errors:
        assert error["code"] == "unsupported"
        assert error["message"].startswith(
            "HEIC needs pillow-heif, which is not installed on this server; expected JPEG"
        )
        assert "pip" not in error["message"].replace("pillow-heif", "") and "run:" not in error["message"]
