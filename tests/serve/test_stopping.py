"""How the server ends: with what was admitted done, and in time whatever hangs."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.serve.running import HEAD, Running, rest_of, until

from showtell.fetch.fetch import Fetcher
from showtell.serve import server as server_module
from showtell.serve.server import Access

ROOT = Path(__file__).parents[2]
SESSION = {"session_hash": "abc123"}
ASKED = {"id": 1, "example": "dog.jpg", "language": "en", "beam": 1, "num": 1, "picture": False}
QUESTION = {"data": [], "event_data": ASKED, "fn_index": 0, "trigger_id": 1, **SESSION}
PHOTO = (ROOT / "examples" / "dog.jpg").read_bytes()

HANGING = """
from threading import Event
from tests.serve.doubles import QuickCaptioner
from showtell.serve import server
from showtell.serve.limits import Limits

class Hanging(QuickCaptioner):
    def caption_prepared(self, photos, ask):
        return Event().wait() if self.photos else super().caption_prepared(photos, ask)

server.Fetcher.fetch = lambda self, url: Event().wait()
server.serve(Hanging(), Limits(stop_seconds=1), server.Access(port=0, page=False, url_hosts=()))
"""
"""A server whose network hangs for ever, at the first photo that it is sent, and so does every URL."""


@contextlib.contextmanager
def ended_by(server: Running, seconds: float) -> Iterator[None]:
    """Stops it, and sees that it is gone in time."""
    begin = time.monotonic()
    server.server.should_exit = True
    yield
    server.thread.join(20)
    assert not server.thread.is_alive() and time.monotonic() - begin < seconds


def test_stopping_does_not_wait_for_a_body_that_stalls(run: Callable[..., Running]) -> None:
    server = run()
    client = server.connect(HEAD + b'Content-Length: 1000\r\n\r\n{"images": ')
    time.sleep(0.2)
    begin = time.monotonic()
    server.server.should_exit = True
    assert rest_of(client).startswith(b"HTTP/1.1 503 ")
    server.thread.join(20)
    assert not server.thread.is_alive() and time.monotonic() - begin < 8


def test_stopping_finishes_what_was_admitted_and_tells_others_to_come_again(run: Callable[..., Running]) -> None:
    server = run(batch=1)
    server.captioner.go.clear()
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(server.post) for _ in range(8)]
        until(lambda: server.site.batcher.waiting == 8)
        server.server.should_exit = True
        until(lambda: server.site.batcher.stopping)
        for answer in (httpx.get(f"{server.url}/readyz"), server.post()):
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "stopping")
            assert int(answer.headers["Retry-After"]) >= 1
        assert httpx.get(f"{server.url}/healthz").status_code == 200
        server.captioner.go.set()
        assert [each.result(20).status_code for each in waiting] == [200] * 8
    server.thread.join(20)
    assert not server.thread.is_alive()
    with pytest.raises(httpx.ConnectError):
        server.post()


def test_stopping_does_not_wait_for_connections_without_a_request(run: Callable[..., Running]) -> None:
    server = run(header_seconds=60)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(httpx.Client()) for _ in range(5)]
        assert all(each.get(f"{server.url}/healthz").status_code == 200 for each in clients)
        silent = [stack.enter_context(server.connect(sent)) for sent in (b"", b"GET / HT")]
        until(lambda: len(server.server.server_state.connections) == 7)
        with ended_by(server, 8):
            assert [rest_of(each) for each in silent] == [b"", b""]


def test_stopping_does_not_wait_for_urls(run: Callable[..., Running], monkeypatch: pytest.MonkeyPatch) -> None:
    go, asked = threading.Event(), threading.Event()

    class Slow(Fetcher):
        def fetch(self, url: str) -> bytes:
            asked.set()
            assert go.wait(60)
            return b""

    monkeypatch.setattr(server_module, "Fetcher", Slow)
    server = run(Access(page=False, url_hosts=()))
    body = {"images": [{"url": f"https://images.example.org/{n}"} for n in range(32)]}
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(httpx.post, f"{server.url}/v1/caption", json=body, timeout=60)
        assert asked.wait(20)
        with ended_by(server, 8):
            answer = waiting.result(20)
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "stopping")
    go.set()


def test_stopping_tells_open_pages_what_they_asked_for(serve: Callable[..., Running]) -> None:
    from tests.serve.page_window import Scripted

    server = serve(Scripted())
    server.captioner.go.clear()
    with httpx.Client(base_url=server.url, timeout=60) as client:
        assert client.post("/gradio_api/queue/join", json=QUESTION).status_code == 200
        with client.stream("GET", "/gradio_api/queue/data", params=SESSION) as stream, ended_by(server, 8):
            until(lambda: server.site.batcher.waiting == 1)
            server.captioner.go.set()
            assert "process_completed" in stream.read().decode()


def test_stopping_does_not_wait_for_pages_that_are_told_nothing(
    serve: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.serve.page_window import Scripted

    server = serve(Scripted())
    app: Any = server.site.gate.app
    mounted = [each.app for each in app.router.routes if hasattr(each, "app")][-1]
    monkeypatch.setattr(mounted.get_blocks()._queue, "get_events", lambda: None)  # Gradio's workers do nothing
    with httpx.Client(base_url=server.url, timeout=60) as client:
        assert client.post("/gradio_api/queue/join", json=QUESTION).status_code == 200
        with client.stream("GET", "/gradio_api/queue/data", params=SESSION) as stream, ended_by(server, 8):
            assert stream.status_code == 200


def test_a_network_that_hangs_is_not_waited_for_longer_than_allowed(run: Callable[..., Running]) -> None:
    server = run(stop_seconds=1)
    server.captioner.go.clear()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(server.post)
        until(lambda: server.site.batcher.waiting == 1)
        with ended_by(server, 8):
            assert waiting.result(20).json()["error"]["code"] == "stopping"
        assert not server.site.close(0.1)


@contextlib.contextmanager
def started(*command: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server as a process, and its URL."""
    variables = {**os.environ, **environment}
    process = subprocess.Popen([sys.executable, *command], stderr=subprocess.PIPE, text=True, cwd=ROOT, env=variables)
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        found = re.search(r"http://\S+", line)
        assert found, line
        yield process, found[0]
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def test_the_command_serves_captions_and_ends_on_sigterm() -> None:
    command = ("-m", "showtell", "serve", "--port", "0", "--no-page", "--threads", "1")
    with started(*command, SHOWTELL_API_KEY="sesame") as (process, url):
        key = {"Authorization": "Bearer sesame"}

        def ask(language: str) -> httpx.Response:
            files, data = {"images": PHOTO}, {"language": language}
            return httpx.post(f"{url}/v1/caption", files=files, data=data, headers=key, timeout=60)

        assert "dog" in ask("en").json()["results"][0]["captions"][0]["text"]
        assert httpx.post(f"{url}/v1/caption", files={"images": PHOTO}).status_code == 401
        with ThreadPoolExecutor(20) as pool:
            answers = [pool.submit(ask, "ar") for _ in range(20)]

            def admitted() -> int:
                counts = httpx.get(f"{url}/metrics", headers=key).text
                return int(float(re.search(r"^showtell_waiting_photos (\S+)", counts, re.MULTILINE)[1]))  # type: ignore[index]

            until(lambda: admitted() >= 5 or sum(each.done() for each in answers) > 10)
            begin = time.monotonic()
            process.send_signal(signal.SIGTERM)
            statuses = []
            for each in answers:
                with contextlib.suppress(httpx.TransportError):  # those that came after the end
                    statuses.append(each.result(30).status_code)
        assert process.wait(25) == 0 and time.monotonic() - begin < 20
        assert statuses.count(200) >= 5 and set(statuses) <= {200, 503}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"files": [("images", PHOTO)] * 2}, "showtell: stopped with photos left over\n"),
        ({"json": {"images": [{"url": "https://images.example.org/a"}]}}, ""),
    ],
    ids=["network", "url"],
)
def test_the_process_ends_whatever_hangs(body: dict[str, Any], said: str) -> None:
    with started("-c", HANGING) as (process, url), ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(httpx.post, f"{url}/v1/caption", timeout=60, **body)
        time.sleep(1)
        assert not waiting.done()
        begin = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(25) == 0 and time.monotonic() - begin < 12
        assert process.stderr is not None
        assert process.stderr.read() == said
        waiting.exception(20)
