"""The page when something goes wrong: servers that are gone or refuse, late answers, cameras, odd files."""

import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

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
    listener = socket.create_server(("127.0.0.1", int(running.url.rsplit(":", 1)[1])))
    site = Site(Scripted(), Limits(wait=0), Access())
    server = Server(site)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        window.page.wait_for_selector(".st-words[lang=ar]")  # Gradio has loaded the page anew
        assert len(window.page.query_selector_all(".st-other")) == 3
        assert window.page.evaluate(CHOSEN) == "smooth ar"
        assert window.page.evaluate("sessionStorage.length") == 0
    finally:
        server.should_exit = True
        thread.join(30)
        site.close(10)


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


def test_an_example_has_its_size_before_its_answer(visit: Callable[..., Page], server: Running) -> None:
    window = visit()
    server.captioner.go.clear()
    try:
        window.page.click(".st-thumb")
        window.page.wait_for_selector(".st-busy", state="visible")
        waiting = window.page.query_selector(".st-image").bounding_box()
    finally:
        server.captioner.go.set()
    window.captioned()
    shown = window.page.query_selector(".st-image").bounding_box()
    assert waiting == pytest.approx(shown, abs=1) and shown["height"] > 200


# ---- languages, small screens, other eyes ----


def test_arabic_is_spoken_and_placed_as_such(visit: Callable[..., Page]) -> None:
    window = visit()
    window.page.get_by_role("radio", name="العربية").check()
    window.choose(a_photo())
    window.page.wait_for_selector(".st-words[lang=ar]")
    window.captioned()
    assert window.page.get_attribute(".st-image", "lang") == "ar"
    assert window.page.inner_text(".st-live [lang=ar]") == "كلب بني يجري"
    right = window.page.evaluate("document.querySelector('.st-words').getBoundingClientRect().right - 6")
    for part in (".st-note bdi", ".st-sure-text bdi", ".st-meter span"):
        box = window.page.query_selector(part).bounding_box()
        assert box["x"] + box["width"] == pytest.approx(right, abs=2), part
    assert window.page.inner_text(".st-sure-text") == "61 % likely to be right"


@pytest.mark.parametrize("place", [".st-word >> nth=1", ".st-other >> nth=1"])
def test_a_new_answer_keeps_the_focus(visit: Callable[..., Page], place: str) -> None:
    window = visit()
    window.page.get_by_label("Captions", exact=True).fill("3")
    window.choose(a_photo())
    window.page.wait_for_selector(".st-other >> nth=2")
    window.page.focus(place)
    label = window.page.evaluate("document.activeElement.textContent")
    asked = len(window.server.captioner.asked)
    window.page.evaluate("document.querySelector('.st-options').requestSubmit()")
    window.page.wait_for_selector(".st-result[aria-busy=true]")
    window.captioned()
    assert len(window.server.captioner.asked) == asked + 1
    assert window.page.evaluate("document.activeElement.textContent") == label
    window.choose(a_photo(200, 200))  # what had the focus is hidden for a while
    window.page.wait_for_selector(".st-result[aria-busy=true]")
    window.captioned()
    assert window.page.evaluate("document.activeElement.className") == "st-word"


@pytest.mark.parametrize("kind", ["one vector", "two grids"])
def test_a_model_that_does_not_look_promises_nothing(
    kind: str, visit: Callable[..., Page], serve: Callable[..., Running]
) -> None:
    captioner = Scripted(looks=False)
    if kind == "one vector":
        manifest = captioner.bundle.manifest.model_copy(update={"grid": (1, 1)})
        captioner.bundle = replace(captioner.bundle, manifest=manifest)
    else:
        captioner.has_one_grid = False  # as an ensemble says, whose models look at different parts
    window = visit(serve(captioner))
    text = window.page.inner_text("#showtell")
    assert "A sentence for your photo." in text and "looked" not in text
    assert "looked" in visit().page.inner_text("#showtell")


def test_the_view_fits_the_smallest_screen(visit: Callable[..., Page]) -> None:
    window = visit(viewport={"width": 320, "height": 640})
    window.page.click(".st-thumb")
    window.captioned()
    boxes = [each.bounding_box() for each in window.page.query_selector_all(".st-view label")]
    assert boxes[0]["y"] == boxes[1]["y"]
    assert window.page.query_selector(".st-ramp").bounding_box()["width"] >= 60


def test_the_scale_keeps_its_colours_where_the_system_chooses_them(visit: Callable[..., Page]) -> None:
    window = visit(forced_colors="active")
    window.page.click(".st-thumb")
    window.captioned()
    ramp = "getComputedStyle(document.querySelector('.st-ramp'))"
    assert window.page.evaluate(f"{ramp}.forcedColorAdjust") == "none"
    assert "gradient" in window.page.evaluate(f"{ramp}.backgroundImage")


def test_there_is_one_main_part(visit: Callable[..., Page]) -> None:
    assert visit().page.locator("main").count() == 1
