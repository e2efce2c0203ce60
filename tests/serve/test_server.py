"""The whole server on a real socket: what its clients get when they are many, large, or leave."""

import asyncio
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from tests.clocks import HANG_SECONDS, until
from tests.serve.running import OTHER_ADDRESSES, RED, Running

import showtell.serve.server as server_module
from showtell.fetch.fetch import Fetcher
from showtell.serve.server import ServerConfig
from showtell.serve.url_fetcher import MAX_FETCHES_PER_CLIENT


@OTHER_ADDRESSES
def test_a_client_with_many_requests_leaves_room_for_another(run: Callable[..., Running]) -> None:
    server = run(queue_size=8, batch_size=1)
    server.captioner.go.clear()

    def post(address: str, **headers: str) -> httpx.Response:
        with httpx.Client(transport=httpx.HTTPTransport(local_address=address), timeout=HANG_SECONDS) as client:
            return client.post(f"{server.url}/v1/caption", files={"images": RED}, headers=headers)

    with ThreadPoolExecutor(20) as pool:
        greedy = [pool.submit(post, "127.0.0.2") for _ in range(12)]
        until(lambda: sum(each.done() for each in greedy) == 6)
        assert server.application.batcher.waiting == 6
        # One of another address, and one that a proxy on this machine speaks for.
        others = [pool.submit(post, "127.0.0.3"), pool.submit(post, "127.0.0.1", **{"X-Forwarded-For": "192.0.2.1"})]
        until(lambda: server.application.batcher.waiting == 8)
        assert post("127.0.0.4").status_code == 503, "full is full"
        server.captioner.go.set()
        assert [each.result(HANG_SECONDS).status_code for each in others] == [200, 200]
        assert sorted(each.result(HANG_SECONDS).status_code for each in greedy) == [200] * 6 + [503] * 6


@OTHER_ADDRESSES
def test_a_client_with_many_urls_leaves_threads_for_another(
    run: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()

    class Web(Fetcher):
        def fetch(self, url: str) -> bytes:
            assert "slow" not in url or go.wait(HANG_SECONDS)
            return RED

    monkeypatch.setattr(server_module, "Fetcher", Web)
    server = run(ServerConfig(page=False, allowed_url_hosts=()))

    def post(address: str, url: str) -> int:
        body = {"images": [{"url": f"{url}/{n}"} for n in range(8)]}
        with httpx.Client(transport=httpx.HTTPTransport(local_address=address), timeout=HANG_SECONDS) as client:
            return client.post(f"{server.url}/v1/caption", json=body).status_code

    with ThreadPoolExecutor(4) as pool:
        greedy = [pool.submit(post, "127.0.0.2", "https://slow.example.org") for _ in range(4)]
        until(lambda: sum(each.name == "showtell-fetch" for each in threading.enumerate()) == MAX_FETCHES_PER_CLIENT)
        assert post("127.0.0.3", "https://quick.example.org") == 200 and not any(each.done() for each in greedy)
        go.set()
        assert [each.result(HANG_SECONDS) for each in greedy] == [200] * 4


def test_the_answer_to_a_large_body_arrives(run: Callable[..., Running]) -> None:
    server = run(body_bytes=1000)
    answer = httpx.post(f"{server.url}/v1/caption", files={"images": bytes(5_000_000)}, timeout=HANG_SECONDS)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")


def test_the_answer_of_a_full_queue_arrives_before_a_large_body_is_sent(run: Callable[..., Running]) -> None:
    """urllib, unlike httpx, sends all before it looks for an answer."""
    server = run(queue_size=1)
    server.captioner.go.clear()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(server.post)
        until(lambda: server.application.batcher.waiting == 1)
        kind = {"Content-Type": "multipart/form-data; boundary=x"}
        for _ in range(5):
            request = urllib.request.Request(f"{server.url}/v1/caption", bytes(5_000_000), kind)
            with pytest.raises(urllib.error.HTTPError, match="503"):
                urllib.request.urlopen(request, timeout=HANG_SECONDS)
        server.captioner.go.set()
        assert waiting.result(HANG_SECONDS).status_code == 200


def test_the_work_of_a_client_that_hangs_up_is_dropped(run: Callable[..., Running]) -> None:
    server = run()
    server.captioner.go.clear()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(server.post)
        assert server.captioner.running.wait(HANG_SECONDS)
        body = httpx.Request("POST", server.url, files=[("images", RED)] * 5)
        head = f"Content-Type: {body.headers['content-type']}\r\nContent-Length: {len(body.read())}\r\n\r\n"
        client = server.connect(b"POST /v1/caption HTTP/1.1\r\nHost: localhost\r\n" + head.encode() + body.content)
        until(lambda: server.application.batcher.waiting == 6)
        client.close()
        until(lambda: server.application.batcher.waiting == 1)
        server.captioner.go.set()
        assert first.result(HANG_SECONDS).status_code == 200
    assert server.captioner.photos == 1


def test_a_full_server_says_so_at_once_and_stays_healthy(run: Callable[..., Running]) -> None:
    server = run(queue_size=2)
    server.captioner.go.clear()
    with ThreadPoolExecutor(10) as pool:
        waiting = [pool.submit(server.post) for _ in range(2)]
        until(lambda: server.application.batcher.waiting == 2)
        refused = list(pool.map(lambda _: server.post(), range(5)))
        assert {each.status_code for each in refused} == {503}
        assert all(int(each.headers["retry-after"]) >= 1 for each in refused)
        assert all(server.get(path).status_code == 200 for path in ("/healthz", "/readyz"))
        server.captioner.go.set()
        assert [each.result(HANG_SECONDS).status_code for each in waiting] == [200, 200]


def test_a_port_in_use_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "showtell", "serve", "--port", str(port), "--no-page"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=HANG_SECONDS)
    assert done.returncode == 2
    assert done.stderr == (
        f"showtell: 127.0.0.1:{port} cannot be listened at (Address already in use); give another --port\n"
    )


def test_event_loops_do_not_leak_tasks(run: Callable[..., Running]) -> None:
    server = run()
    for _ in range(20):
        assert server.post().status_code == 200
    until(lambda: not server.connections)
    counts: list[int] = []
    server.loop.call_soon_threadsafe(lambda: counts.append(len(asyncio.all_tasks(server.loop))))
    until(lambda: bool(counts))
    assert counts[0] <= 3


def test_the_server_knows_how_slow_its_model_is_before_the_first_request(run: Callable[..., Running]) -> None:
    server = run(shutdown_timeout=0.3)
    quick = server.captioner.caption_preprocessed

    def slow(*photos: Any) -> Any:
        time.sleep(0.2)
        return quick(*photos)

    server.captioner.caption_preprocessed = slow  # type: ignore[method-assign]
    server.application.warm_up()
    server.captioner.go.clear()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(server.post)
        until(lambda: server.application.batcher.waiting == 1)
        assert server.post().json()["error"]["code"] == "queue_full"
        server.captioner.go.set()
        assert waiting.result(HANG_SECONDS).status_code == 200
