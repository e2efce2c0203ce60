"""The page when something goes wrong: servers that are gone or refuse, late answers, cameras, odd files."""

import io
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("gradio", reason="the page needs gradio (pip install 'showtell[serve]')")
from tests.serve.page_window import Page, Running, Scripted, a_photo, press

from showtell.serve.limits import Limits
from showtell.serve.page_answers import examples
from showtell.serve.server import Access, Server, Site

CHOSEN = "[...document.querySelectorAll('#showtell input:checked')].map((each) => each.value).join(' ')"


@pytest.fixture
def lone(browser: Any) -> Any:
    """A window of its own, which may complain, for its server fails."""
    opened: list[Page] = []

    def open_page(server: Running, **options: Any) -> Page:
        opened.append(Page(browser, server, **options))
        return opened[-1]

    yield open_page
    for each in opened:
        each.context.close()


# ---- the server ----


@contextmanager
def back(gone: Running) -> Iterator[None]:
    """The server again, at its old address."""
    listener = socket.create_server(("127.0.0.1", int(gone.url.rsplit(":", 1)[1])))
    site = Site(Scripted(), Limits(wait=0), Access())
    server = Server(site)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(30)
        site.close(10)


def test_a_server_that_is_gone_is_told_at_once_and_its_return_brings_all_back(lone: Callable[..., Page]) -> None:
    running = Running(Scripted(), Limits(wait=0))
    window = lone(running)
    window.choose(a_photo())
    window.captioned()
    window.page.get_by_label("Captions", exact=True).fill("3")
    window.page.wait_for_selector(".st-other >> nth=2")
    running.stop()
    window.page.get_by_role("radio", name="العربية").check()
    window.page.get_by_text("The server cannot be reached.").wait_for(timeout=6000)
    assert window.page.is_hidden(".st-busy") and window.page.is_hidden(".toast-wrap")
    with back(running):
        window.page.wait_for_selector(".st-words[data-language=ar]")  # Gradio has loaded the page anew
        assert len(window.page.query_selector_all(".st-other")) == 3
        assert window.page.evaluate(CHOSEN) == "smooth ar"
        assert window.page.evaluate("sessionStorage.length") == 0


@pytest.mark.parametrize("is_shown", [True, False])
def test_a_photo_too_large_to_be_kept_comes_back_smaller_or_is_asked_for(
    lone: Callable[..., Page], is_shown: bool
) -> None:
    noise, file = np.random.default_rng(0).integers(0, 256, (1200, 1600, 3), np.uint8), io.BytesIO()
    Image.fromarray(noise).save(file, "PNG" if is_shown else "TIFF")  # browsers do not show a TIFF
    running = Running(Scripted(), Limits(wait=0))
    window = lone(running)
    if is_shown:
        window.choose(file.getvalue())
        window.captioned()
        running.stop()
        window.page.get_by_role("radio", name="العربية").check()
    else:
        running.stop()
        window.choose(file.getvalue())
    window.page.get_by_text("The server cannot be reached.").wait_for(timeout=6000)
    with back(running):
        if is_shown:
            window.page.wait_for_selector(".st-words[data-language=ar]")
            assert window.photo().size == (1024, 768)
        else:
            window.page.get_by_text("The server is back. Choose your photo again.").wait_for()


def test_what_a_failed_question_keeps_outlives_the_answer_before_it(lone: Callable[..., Page]) -> None:
    running = Running(Scripted(), Limits(wait=0))
    window = lone(running)
    window.choose(a_photo())
    window.captioned()
    running.stop()
    window.page.get_by_role("radio", name="العربية").check()
    window.page.get_by_text("The server cannot be reached.").wait_for(timeout=4000)
    window.page.wait_for_timeout(5500)  # since the answer, more than the page waits to sweep
    assert window.page.evaluate("sessionStorage.length") == 1
    with back(running):
        window.page.wait_for_selector(".st-words[data-language=ar]")


def test_a_server_that_goes_while_it_works_is_told_soon(lone: Callable[..., Page], server: Running) -> None:
    window = lone(server)
    window.page.route("**/readyz", lambda route: route.abort())
    server.captioner.go.clear()
    try:
        window.page.click(".st-thumb")
        window.page.get_by_text("The server cannot be reached.").wait_for(timeout=6000)
    finally:
        server.captioner.go.set()


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (401, "asks for its key"),
        (403, "does not take photos from this page"),
        (413, "too large for the server"),
        (503, "too much to do"),
        (500, "The server did not answer."),
    ],
)
def test_why_a_question_was_refused(lone: Callable[..., Page], server: Running, status: int, text: str) -> None:
    window = lone(server)
    window.page.route("**/queue/join*", lambda route: route.fulfill(status=status, json={"error": {"code": "x"}}))
    window.choose(a_photo())
    window.page.get_by_text(text).wait_for(timeout=6000)
    assert window.page.is_hidden(".toast-wrap") and window.page.is_hidden(".st-busy")
    window.page.unroute("**/queue/join*")
    window.page.get_by_role("button", name="Caption the photo").click()
    assert window.captioned() == ["two", "dogs", "run"]


def test_an_old_answer_is_not_shown_with_a_new_photo(visit: Callable[..., Page], server: Running) -> None:
    window = visit()
    # As the first answer's picture begins to load, another photo is chosen, whose answer takes long.
    window.page.evaluate("""() => {
        const image = document.querySelector(".st-image");
        new MutationObserver((_, observer) => {
            if (!image.src.startsWith("data:image/jpeg") || window.second) return;
            window.second = true;
            document.querySelectorAll(".st-thumb")[1].click();
        }).observe(image, { attributes: true, attributeFilter: ["src"] });
    }""")
    answered: list[int] = []

    def hold(route: Any) -> None:
        answered.append(1)
        if len(answered) == 1:
            route.continue_()  # the second question stays on its way

    window.page.route("**/queue/join*", hold)
    window.choose(a_photo())
    window.page.wait_for_function("window.second")
    window.page.wait_for_timeout(500)
    assert window.page.is_hidden(".st-answer") and window.page.is_visible(".st-busy")
    assert len(answered) == 2


def test_sliders_ask_when_they_rest(visit: Callable[..., Page]) -> None:
    window = visit()
    window.choose(a_photo())
    window.captioned()
    before = len(window.server.captioner.asked)
    window.page.get_by_label("Beam").focus()
    for _ in range(4):
        press(window.page, "ArrowLeft")
        window.page.wait_for_timeout(250)
    window.page.wait_for_timeout(600)
    window.captioned()
    assert len(window.server.captioner.asked) == before + 1


# ---- photos ----


def test_a_second_click_on_camera_leaves_no_camera_on(visit: Callable[..., Page]) -> None:
    window = visit(permissions=["camera"])
    window.page.evaluate("""() => {
        window.streams = [];
        const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
        navigator.mediaDevices.getUserMedia = async (wanted) => {
            const stream = await ask(wanted);
            window.streams.push(stream);
            return stream;
        };
        const button = document.querySelector('[data-do="camera"]');
        button.click();
        button.click();
    }""")
    window.page.wait_for_function("document.querySelector('video').videoWidth > 0")
    window.page.wait_for_timeout(300)
    window.page.get_by_role("button", name="Cancel").click()
    states = "streams.flatMap((each) => each.getTracks().map((track) => track.readyState)).join()"
    window.page.wait_for_function(f"!{states}.includes('live')")
    assert window.page.evaluate("streams.length") == 1
    window.page.get_by_role("button", name="Camera").click()  # and it opens again
    window.page.wait_for_function("document.querySelector('video').srcObject?.active")
    press(window.page, "Escape")


def dropped(window: Page, path: Path, x: int, y: int) -> None:
    session = window.context.new_cdp_session(window.page)
    data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": x, "y": y, "data": data})


def test_a_photo_may_be_dropped_anywhere(visit: Callable[..., Page]) -> None:
    window = visit(viewport={"width": 1600, "height": 900})
    dropped(window, examples()[0], 30, 400)  # beside the column
    assert window.captioned() == ["two", "dogs", "run"]
    assert len(window.context.pages) == 1


def test_a_folder_is_refused_and_what_was_there_stays(visit: Callable[..., Page], tmp_path: Path) -> None:
    window = visit()
    window.choose(a_photo())
    window.captioned()
    dropped(window, tmp_path, 500, 300)
    error = window.page.get_by_role("alert")
    error.wait_for()
    assert "folder" in error.inner_text()
    assert window.captioned() == ["two", "dogs", "run"] and window.page.is_visible(".st-word >> nth=0")


def test_a_pasted_text_is_no_picture(visit: Callable[..., Page]) -> None:
    window = visit()
    window.page.evaluate("""() => {
        const data = new DataTransfer();
        data.setData("text/html", "<img src='https://example.org/a.png'>");
        document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true }));
    }""")
    assert "no picture in the clipboard" in window.page.get_by_role("alert").inner_text()


def test_an_example_has_its_size_and_place_before_its_answer(visit: Callable[..., Page], server: Running) -> None:
    window = visit()
    server.captioner.go.clear()
    try:
        window.page.click(".st-thumb")
        window.page.wait_for_selector(".st-busy", state="visible")
        waiting = [window.page.query_selector(each).bounding_box() for each in (".st-image", ".st-photo")]
    finally:
        server.captioner.go.set()
    window.captioned()
    image, photo = (window.page.query_selector(each).bounding_box() for each in (".st-image", ".st-photo"))
    assert waiting[0] == pytest.approx(image, abs=1) and image["height"] > 200
    assert waiting[1] == pytest.approx(photo, abs=1)
