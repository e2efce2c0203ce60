"""Previews of photos that a browser cannot show: what they look like, and that they have the limits of captions."""

import io
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from PIL import Image
from starlette.testclient import TestClient
from tests.serve.doubles import QuickCaptioner
from tests.serve.page_window import Running, Scripted, a_photo
from tests.serve.running import RED, until

from showtell.serve import page
from showtell.serve.app import create_app
from showtell.serve.batcher import Batcher
from showtell.serve.limits import Limits
from showtell.serve.page import PREVIEW_SIDE, preview_jpeg
from showtell.serve.server import ServerConfig
from showtell.serve.server_metrics import ServerMetrics
from showtell.serve.service import Service


def test_a_preview_is_upright_and_of_the_size_of_a_screen() -> None:
    photo = Image.new("RGB", (3000, 1500), "white")
    photo.paste("black", (0, 0, 1500, 1500))  # its left half
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6  # turn it to the right to see it upright
    photo.save(file, "TIFF", exif=exif)
    preview = Image.open(io.BytesIO(preview_jpeg(file.getvalue(), 10**8)))
    assert preview.format == "JPEG" and preview.size == (512, PREVIEW_SIDE) and not preview.getexif()
    assert preview.getpixel((256, 100)) < (30, 30, 30) and preview.getpixel((256, 900)) > (220, 220, 220)


def test_a_preview_over_the_wire(server: Running) -> None:
    answer = httpx.post(f"{server.url}/page/preview", content=a_photo(), timeout=60)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
    assert answer.headers["cache-control"] == "no-store"
    assert Image.open(io.BytesIO(answer.content)).size == (280, 140)


@pytest.mark.parametrize(
    ("photo", "code"),
    [(b"", "empty"), (b"hello", "not_an_image"), (b"%!PS-Adobe", "unsupported"), (RED[:40], "truncated")],
)
def test_a_bad_photo_gets_its_code(server: Running, photo: bytes, code: str) -> None:
    answer = httpx.post(f"{server.url}/page/preview", content=photo, timeout=60)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, code)


def test_previews_have_the_limits_of_captions(serve: Callable[..., Running]) -> None:
    running = serve(Scripted(), body_bytes=5000, image_pixels=10_000)
    large = httpx.post(f"{running.url}/page/preview", content=bytes(6000), timeout=60)
    assert (large.status_code, large.json()["error"]["code"]) == (413, "body_too_large")
    wide = httpx.post(f"{running.url}/page/preview", content=a_photo(200, 100), timeout=60)
    assert (wide.status_code, wide.json()["error"]["code"]) == (422, "too_large")
    stranger = httpx.post(f"{running.url}/page/preview", content=RED, headers={"Origin": "https://evil.example"})
    assert (stranger.status_code, stranger.json()["error"]["code"]) == (403, "cross_site")


def test_slow_uploads_keep_no_preview_waiting(run: Callable[..., Any]) -> None:
    server = run(ServerConfig(page=True))
    head = b"POST /page/preview HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nx"
    slow = [server.connect(head) for _ in range(2 * page.MAX_PREVIEWS)]
    until(lambda: len(server.connections) == len(slow))
    server.loop.skip()
    answer = server.request("POST", "/page/preview", content=RED)
    assert answer.status_code == 200
    for client in slow:
        client.close()


def test_a_client_with_many_previews_leaves_room_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    entered, go = threading.Semaphore(0), threading.Event()

    def slow(photo: bytes, max_pixels: int) -> bytes:
        entered.release()
        assert go.wait(60)
        return b"jpeg"

    monkeypatch.setattr(page, "preview_jpeg", slow)
    captioner = QuickCaptioner()
    batcher = Batcher(captioner, Limits())
    app: FastAPI = create_app(Service(captioner, batcher, Limits()), ServerMetrics())
    page.add_page(app, Service(captioner, batcher, Limits()))
    statuses: dict[str, list[int]] = {"192.0.2.1": [], "192.0.2.2": []}

    with TestClient(app, client=("192.0.2.1", 1)) as greedy:
        other = TestClient(app, client=("192.0.2.2", 1))
        other.portal = greedy.portal  # one event loop, as in the server

        def ask(client: TestClient, address: str) -> None:
            statuses[address].append(client.post("/page/preview", content=RED).status_code)

        threads = [threading.Thread(target=ask, args=(greedy, "192.0.2.1")) for _ in range(page.MAX_PREVIEWS)]
        try:
            for thread in threads:
                thread.start()
            assert entered.acquire(timeout=60)
            until(lambda: len(statuses["192.0.2.1"]) == page.MAX_PREVIEWS // 4)  # those are turned away at once
            threads.append(threading.Thread(target=ask, args=(other, "192.0.2.2")))
            threads[-1].start()
        finally:
            go.set()
            for thread in threads:
                thread.join(60)
    assert statuses["192.0.2.1"] == [503] * 2 + [200] * 6 and statuses["192.0.2.2"] == [200]
    assert batcher.close(10)
