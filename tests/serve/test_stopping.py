"""How the server ends: with what was admitted done, and in time whatever hangs."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.clocks import HANG_SECONDS, until
from tests.serve.running import HEAD, HOUR, Running, rest_of

from showtell.fetch.fetch import Fetcher
from showtell.serve import server as server_module
from showtell.serve.body import LINGERING_TIMEOUT
from showtell.serve.server import ServerConfig

ROOT = Path(__file__).parents[2]
PHOTO = (ROOT / "examples" / "dog.jpg").read_bytes()

HANGING = """
import sys
from threading import Event
from tests.serve.doubles import QuickCaptioner
from showtell.serve import server
from showtell.serve.limits import Limits

def hang():
    print("hanging", file=sys.stderr, flush=True)
    Event().wait()

class Hanging(QuickCaptioner):
    def caption_preprocessed(self, photos, ask):
        return hang() if self.photos > 1 else super().caption_preprocessed(photos, ask)

server.Fetcher.fetch = lambda self, url: hang()
server.serve(Hanging(), Limits(shutdown_timeout=0.1), server.ServerConfig(port=0, page=False, allowed_url_hosts=()))
"""
"""A server whose model hangs for ever once it is warm, and so does every URL."""


@contextlib.contextmanager
def stopped(server: Any) -> Iterator[None]:
    """Begins a shutdown, and sees in the end that it is complete."""
    server.server.should_exit = True
    yield
    server.thread.join(HANG_SECONDS)
    assert not server.thread.is_alive()


def test_stopping_does_not_wait_for_a_body_that_stalls(run: Callable[..., Running]) -> None:
    server = run()
    client = server.connect(HEAD + b'Content-Length: 1000\r\n\r\n{"images": ')
    server.accepted(client)
    server.loop.skip()
    with stopped(server):
        response = client.recv(65536)
        server.loop.skip(LINGERING_TIMEOUT)
        assert (response + rest_of(client)).startswith(b"HTTP/1.1 503 ")


def test_stopping_finishes_what_was_admitted_and_tells_others_to_come_again(run: Callable[..., Running]) -> None:
    server = run(batch_size=1)
    server.captioner.go.clear()
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(server.post) for _ in range(8)]
        until(lambda: server.application.batcher.waiting == 8)
        server.server.should_exit = True
        until(lambda: server.application.batcher.is_stopping)
        for answer in (server.get("/readyz"), server.post()):
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "stopping")
            assert int(answer.headers["Retry-After"]) >= 1
        assert server.get("/healthz").status_code == 200
        server.captioner.go.set()
        assert [each.result(HANG_SECONDS).status_code for each in waiting] == [200] * 8
    server.thread.join(HANG_SECONDS)
    assert not server.thread.is_alive()
    with pytest.raises(httpx.ConnectError):
        server.post()


def test_stopping_does_not_wait_for_connections_without_a_request(run: Callable[..., Running]) -> None:
    server = run()
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(httpx.Client(timeout=HANG_SECONDS)) for _ in range(5)]
        assert all(client.get(f"{server.url}/healthz").status_code == 200 for client in clients)
        silent = [stack.enter_context(server.connect(sent)) for sent in (b"", b"GET / HT")]
        until(lambda: len(server.connections) == 7)
        with stopped(server):
            assert [rest_of(client) for client in silent] == [b"", b""]


def test_stopping_does_not_wait_for_urls(run: Callable[..., Running], monkeypatch: pytest.MonkeyPatch) -> None:
    go, asked = threading.Event(), threading.Event()

    class Slow(Fetcher):
        def fetch(self, url: str) -> bytes:
            asked.set()
            assert go.wait(HANG_SECONDS)
            return b""

    monkeypatch.setattr(server_module, "Fetcher", Slow)
    server = run(ServerConfig(page=False, allowed_url_hosts=()))
    body = {"images": [{"url": f"https://images.example.org/{n}"} for n in range(32)]}
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(httpx.post, f"{server.url}/v1/caption", json=body, timeout=HANG_SECONDS)
        assert asked.wait(HANG_SECONDS)
        with stopped(server):
            answer = waiting.result(HANG_SECONDS)
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "stopping")
    go.set()


def test_a_model_that_hangs_is_not_waited_for_longer_than_allowed(run: Callable[..., Running]) -> None:
    server = run()
    server.captioner.go.clear()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(server.post)
        until(lambda: server.application.batcher.waiting == 1)
        with stopped(server):
            until(lambda: server.application.batcher.is_stopping)
            server.loop.skip(HOUR - 60)
            assert not waiting.done() and server.get("/healthz").status_code == 200
            server.loop.skip(60)
            assert waiting.result(HANG_SECONDS).json()["error"]["code"] == "stopping"
        assert not server.application.close(0.1)


@contextlib.contextmanager
def started(*command: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server as a process, and its URL."""
    variables = {**os.environ, **environment}
    process = subprocess.Popen([sys.executable, *command], stderr=subprocess.PIPE, text=True, cwd=ROOT, env=variables)
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        match = re.search(r"http://\S+", line)
        assert match, line
        yield process, match[0]
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def test_the_command_serves_captions_and_ends_on_sigterm() -> None:
    command = ("-m", "showtell", "serve", "--port", "0", "--no-page", "--threads", "1")
    with started(*command, SHOWTELL_API_KEY="sesame") as (process, url):
        key = {"Authorization": "Bearer sesame"}

        def ask(language: str) -> httpx.Response:
            files, data = {"images": PHOTO}, {"language": language, "beam": "1"}
            return httpx.post(f"{url}/v1/caption", files=files, data=data, headers=key, timeout=HANG_SECONDS)

        assert "shepherd" in ask("en").json()["results"][0]["captions"][0]["text"]
        assert httpx.post(f"{url}/v1/caption", files={"images": PHOTO}, timeout=HANG_SECONDS).status_code == 401
        with ThreadPoolExecutor(20) as pool:
            answers = [pool.submit(ask, "ar") for _ in range(20)]

            def admitted() -> int:
                counts = httpx.get(f"{url}/metrics", headers=key, timeout=HANG_SECONDS).text
                return int(float(re.search(r"^showtell_queued_images (\S+)", counts, re.MULTILINE)[1]))  # type: ignore[index]

            until(lambda: admitted() >= 5 or sum(each.done() for each in answers) > 10)
            process.send_signal(signal.SIGTERM)
            statuses = []
            for each in answers:
                with contextlib.suppress(httpx.TransportError):  # those that came after the end
                    statuses.append(each.result(HANG_SECONDS).status_code)
        assert process.wait(HANG_SECONDS) == 0
        assert statuses.count(200) >= 5 and set(statuses) <= {200, 503}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"files": [("images", PHOTO)] * 2}, "showtell: stopped with photos left over\n"),
        ({"json": {"images": [{"url": "https://images.example.org/a"}]}}, ""),
    ],
    ids=["model", "url"],
)
def test_the_process_ends_whatever_hangs(body: dict[str, Any], message: str) -> None:
    with started("-c", HANGING) as (process, url), ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(httpx.post, f"{url}/v1/caption", timeout=HANG_SECONDS, **body)
        assert process.stderr is not None and process.stderr.readline() == "hanging\n"
        assert not waiting.done()
        process.send_signal(signal.SIGTERM)
        assert process.wait(HANG_SECONDS) == 0
        assert process.stderr.read() == message
        waiting.exception(HANG_SECONDS)
