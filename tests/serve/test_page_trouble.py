"""The page when something goes wrong: servers that are gone or refuse, late answers, cameras, odd files.

Servers go and come back by the browser's own routes, and time passes by its clock: nothing waits in truth.
"""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.builtin_model import BEAM
from tests.serve.page_window import Page, Running, Scripted, a_photo, named, press

from showtell.serve.limits import Limits

EXAMPLE = Path(__file__).parents[2] / "examples" / "dog.jpg"
GONE = "The server cannot be reached. The photo is captioned when it is back."
PROBE_SECONDS = 3
"""As in `api.js`."""


def set_reachable(window: Page, is_reachable: bool) -> None:
    if is_reachable:
        window.page.unroute("**/*")
    else:
        window.page.route("**/*", lambda route: route.abort("connectionrefused"))


# ---- the server ----


def test_a_server_that_is_gone_is_told_at_once_and_its_return_brings_all_back(
    lone: Callable[..., Page], server: Running
) -> None:
    window = lone(server, clock=True)
    window.choose(a_photo())
    window.captioned()
    window.set_captions(2)
    window.wait(1)
    window.page.wait_for_function("() => document.querySelectorAll('.caption-choice').length === 2")
    set_reachable(window, False)
    window.page.get_by_role("radio", name="العربية").check()
    window.page.get_by_text(GONE).wait_for()
    assert window.page.is_hidden(".busy") and window.page.is_visible(".image")
    with window.page.expect_event("requestfailed"):
        window.wait(PROBE_SECONDS)  # it looks, and the server is still gone
    assert window.page.is_visible(".error")
    set_reachable(window, True)
    window.wait(PROBE_SECONDS)
    window.page.wait_for_selector(".words[data-language=ar]")
    assert len(window.page.query_selector_all(".caption-choice")) == 2
    assert window.photo().size == (280, 140) and window.page.is_hidden(".error")


def test_a_server_that_has_ended_is_told(lone: Callable[..., Page]) -> None:
    running = Running(Scripted(), Limits(batch_delay=0))
    window = lone(running)
    running.stop()
    window.choose(a_photo())
    window.page.get_by_text(GONE).wait_for()
    window.page.locator(".thumbnail").first.click()
    window.page.get_by_text(named("dog.jpg", "The server cannot be reached.")).wait_for()


def test_another_photo_ends_the_wait_for_the_server(lone: Callable[..., Page], server: Running) -> None:
    window = lone(server, clock=True)
    set_reachable(window, False)
    window.choose(a_photo(200, 200))
    window.page.get_by_text(GONE).wait_for()
    set_reachable(window, True)
    before = len(server.captioner.asked)
    window.choose(a_photo())
    window.captioned()
    window.wait(2 * PROBE_SECONDS)
    window.captioned()
    assert len(server.captioner.asked) == before + 1 and window.photo().size == (280, 140)


def test_a_server_that_goes_while_it_works_is_told_soon(lone: Callable[..., Page], server: Running) -> None:
    window = lone(server, clock=True)
    window.page.route("**/readyz", lambda route: route.abort())
    with server.held():
        with window.page.expect_request("**/v1/caption"):
            window.choose(a_photo())
        window.wait(PROBE_SECONDS)
        window.page.get_by_text(GONE).wait_for()


def test_an_answer_that_does_not_come_is_given_up(lone: Callable[..., Page], server: Running) -> None:
    window = lone(server, clock=True)
    with server.held():
        with window.page.expect_request("**/v1/caption"):
            window.choose(a_photo())
        window.wait(server.site.limits.request_timeout + 5)
        window.page.get_by_text("The server did not answer. It may be busy; try again.").wait_for()


REFUSALS = [
    (401, "unauthorized", "asks for its key"),
    (403, "cross_site", "does not take photos from this page"),
    (413, "body_too_large", "too large for the server"),
    (408, "slow_upload", "took too long"),
    (504, "deadline", "with a narrower beam"),
    (422, "invalid", "does not take these options"),
    (500, "internal", "Something went wrong on the server."),
    (500, "unheard_of", "The server did not answer."),
]


@pytest.mark.parametrize("is_proxy", [False, True], ids=["server", "proxy"])
def test_why_a_request_was_refused(lone: Callable[..., Page], server: Running, is_proxy: bool) -> None:
    window = lone(server)
    for status, code, text in REFUSALS:
        body = "<html>no</html>" if is_proxy else json.dumps({"error": {"code": code, "message": "why"}})
        expected = "The server did not answer." if is_proxy and status in (422, 500) else text
        answer = {"status": status, "body": body}
        window.page.route("**/v1/caption", lambda route, _, answer=answer: route.fulfill(**answer))
        with window.page.expect_response("**/v1/caption"):  # by then the error before is gone
            window.choose(a_photo())
        window.page.get_by_text(expected).wait_for()
        assert window.page.is_hidden(".busy") and window.page.is_visible(".image"), code
        window.page.unroute("**/v1/caption")
    window.page.get_by_role("button", name="Caption photo").click()
    assert window.captioned() == ["two", "dogs", "run"]


def refuse_busy(window: Page, times: int) -> list[int]:
    """As many requests get 503; the list grows with each request."""
    asked: list[int] = []

    def refuse(route: Any) -> None:
        asked.append(len(asked))
        if len(asked) > times:
            return route.continue_()
        error = {"error": {"code": "queue_full", "message": "64 photos are waiting"}}
        return route.fulfill(status=503, headers={"Retry-After": "7"}, json=error)

    window.page.route("**/v1/caption", refuse)
    return asked


def test_a_full_server_is_asked_again_when_it_says_so(lone: Callable[..., Page], server: Running) -> None:
    window = lone(server, clock=True)
    asked = refuse_busy(window, 2)
    window.choose(a_photo())
    for _ in range(2):
        window.page.get_by_text("Many photos are waiting. Trying again in 7 seconds").first.wait_for()
        with window.page.expect_response("**/v1/caption"):
            window.wait(7)
    assert window.captioned() == ["two", "dogs", "run"] and window.page.is_hidden(".error")
    assert len(asked) == 3


def test_a_server_that_stays_full_is_not_asked_for_ever(lone: Callable[..., Page], server: Running) -> None:
    window = lone(server, clock=True)
    asked = refuse_busy(window, 99)
    window.choose(a_photo())
    for count in range(1, 5):
        window.page.get_by_text("Trying again in 7 seconds").first.wait_for()
        assert len(asked) == count
        with window.page.expect_response("**/v1/caption"):
            window.wait(7)
    window.page.get_by_text("The server has too much to do. Try again in a moment.").wait_for()
    assert len(asked) == 5 and window.page.is_hidden(".busy")


def test_waiting_for_a_full_server_can_be_cancelled(lone: Callable[..., Page], server: Running) -> None:
    window = lone(server, clock=True)
    asked = refuse_busy(window, 99)
    window.choose(a_photo())
    window.page.get_by_text("Trying again in 7 seconds").first.wait_for()
    window.page.get_by_role("button", name="Cancel").click()
    window.wait(30)
    assert window.page.is_hidden(".busy") and window.page.is_hidden(".error") and len(asked) == 1


def test_an_old_answer_is_not_shown_with_a_new_photo(visit: Callable[..., Page], server: Running) -> None:
    window = visit()
    with server.held():
        window.choose(a_photo())
        window.page.wait_for_selector(".busy", state="visible")
        with window.page.expect_event("requestfailed"):  # the first is broken off
            window.choose(a_photo(200, 200))
        window.page.wait_for_function("() => document.querySelector('.image').naturalWidth === 200")
        assert window.page.is_hidden(".answer") and window.page.is_visible(".busy")
    assert window.captioned() == ["two", "dogs", "run"] and window.photo().size == (200, 200)


def test_sliders_ask_when_they_rest(visit: Callable[..., Page]) -> None:
    window = visit(clock=True)
    window.choose(a_photo())
    window.captioned()
    window.page.clock.pause_at(window.page.evaluate("Date.now() + 1000"))
    requests = len(window.requests)
    window.page.get_by_label("Beam").focus()
    for _ in range(3):
        press(window.page, "ArrowLeft")
        window.page.clock.run_for(250)
    assert len(window.requests) == requests
    with window.page.expect_response("**/v1/caption"):
        window.page.clock.run_for(150)
    assert [method for method, _ in window.requests[requests:]] == ["POST"]
    assert window.server.captioner.asked[-1].decode.beam_size == BEAM - 3


# ---- photos ----


def a_tiff(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.open(io.BytesIO(a_photo(width, height))).save(file, "TIFF")
    return file.getvalue()


def test_a_photo_that_the_browser_cannot_show_is_shown_by_the_server(visit: Callable[..., Page]) -> None:
    window = visit()
    window.choose(a_tiff(1100, 550), "scan.tif")
    assert window.captioned() == ["two", "dogs", "run"]
    assert window.photo().size == (1024, 512)
    window.page.click(".word >> nth=0")
    assert window.map().size == (1024, 512)
    assert window.downloaded("Download picture")[0] == "scan-caption.png"


def test_a_photo_that_cannot_be_shown_at_all_is_captioned(lone: Callable[..., Page], server: Running) -> None:
    window = lone(server)
    window.page.route("**/page/preview", lambda route: route.abort())
    window.choose(a_tiff(200, 100), "scan.tif")
    assert window.captioned() == ["two", "dogs", "run"]
    assert window.page.is_visible(".no-preview") and window.page.is_hidden(".image")
    window.page.click(".word >> nth=1")
    assert window.announced() == "The model looked most at the right."
    window.page.get_by_role("button", name="Download picture").click()
    assert named("scan.tif", "This photo cannot be shown here.") in window.page.get_by_role("alert").inner_text()
    window.choose(a_photo())  # the next one can
    window.page.wait_for_selector(".image", state="visible")
    window.captioned()
    assert window.page.is_hidden(".no-preview")


def test_a_photo_is_upright_as_the_model_sees_it(visit: Callable[..., Page]) -> None:
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6  # turn it to the right to see it upright
    Image.open(io.BytesIO(a_photo(300, 200))).save(file, "JPEG", exif=exif)
    window = visit()
    window.choose(file.getvalue(), "turned.jpg")
    window.captioned()
    window.page.click(".word >> nth=0")
    assert window.photo().size == window.map().size == (200, 300)


def test_a_second_click_on_camera_leaves_no_camera_on(visit: Callable[..., Page]) -> None:
    window = visit(permissions=["camera"])
    window.page.evaluate("""() => {
        window.streams = [];
        const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
        navigator.mediaDevices.getUserMedia = (wanted) => {
            const stream = ask(wanted);
            window.streams.push(stream);
            return stream;
        };
        const button = document.querySelector('[data-action="camera"]');
        button.click();
        button.click();
    }""")
    assert window.page.evaluate("streams.length") == 1
    window.page.wait_for_function("() => document.querySelector('video').videoWidth > 0")
    window.page.get_by_role("button", name="Cancel").click()
    track = "(await window.streams[0]).getTracks()[0]"
    window.page.wait_for_function(f"async () => {track}.readyState === 'ended'")
    window.page.get_by_role("button", name="Camera").click()  # and it opens again
    window.page.wait_for_function("() => document.querySelector('video').srcObject?.active")
    press(window.page, "Escape")


def drop(window: Page, path: Path, x: int, y: int) -> None:
    session = window.context.new_cdp_session(window.page)
    data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": x, "y": y, "data": data})
    session.detach()


def test_a_photo_may_be_dropped_anywhere(visit: Callable[..., Page]) -> None:
    window = visit(viewport={"width": 1600, "height": 900})
    drop(window, EXAMPLE, 30, 400)  # beside the columns
    assert window.captioned() == ["two", "dogs", "run"]
    assert len(window.context.pages) == 1


def test_a_folder_is_refused_and_what_was_there_stays(visit: Callable[..., Page], tmp_path: Path) -> None:
    window = visit()
    window.choose(a_photo())
    window.captioned()
    drop(window, tmp_path, 500, 300)
    error = window.page.get_by_role("alert")
    error.wait_for()
    assert "folder" in error.inner_text()
    assert window.captioned() == ["two", "dogs", "run"] and window.page.is_visible(".word >> nth=0")


def test_a_pasted_text_is_no_picture(visit: Callable[..., Page]) -> None:
    window = visit()
    window.page.evaluate("""() => {
        const data = new DataTransfer();
        data.setData("text/html", "<img src='https://example.org/a.png'>");
        document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true }));
    }""")
    assert "no picture in the clipboard" in window.page.get_by_role("alert").inner_text()


def test_a_photo_has_its_size_and_place_before_its_answer(visit: Callable[..., Page], server: Running) -> None:
    window = visit()

    def boxes() -> list[Any]:
        parts = [window.page.query_selector(selector) for selector in (".image", ".photo", ".options")]
        return [part.bounding_box() for part in parts if part]

    with server.held():
        window.page.click(".thumbnail")
        window.page.wait_for_function("() => document.querySelector('.image').naturalWidth > 0")
        window.page.wait_for_selector(".busy", state="visible")
        waiting = boxes()
    window.captioned()
    for before, after in zip(waiting, boxes(), strict=True):
        assert before == pytest.approx(after, abs=1)
    assert waiting[0]["height"] > 200
