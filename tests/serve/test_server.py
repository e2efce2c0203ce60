"""The whole server on a real socket: what clients with bad manners get, and how it ends."""

import asyncio
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from tests.serve.running import RED, Running

from showtell.serve.limits import Limits

OTHER_ADDRESSES = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere 127.0.0.1 alone is loopback")
EXAMPLES = Path(__file__).parents[2] / "examples"
HEAD = b"POST /v1/caption HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.fixture
def run() -> Iterator[Callable[..., Running]]:
    with contextlib.ExitStack() as stack:

        def run(**limits: float) -> Running:
            running = Running(Limits(**{"wait": 0, **limits}))  # type: ignore[arg-type]
            stack.callback(running.stop)
            return running

        yield run


def rest_of(client: socket.socket) -> bytes:
    """Until the server closes; a reset is an end, too."""
    found = b""
    with client, contextlib.suppress(ConnectionError):
        while data := client.recv(65536):
            found += data
    return found


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.005)


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: "])
def test_a_head_that_does_not_end_is_cut_off(run: Callable[..., Running], sent: bytes) -> None:
    server = run(header_seconds=0.3)
    assert rest_of(server.connect(sent)).startswith(b"HTTP/1.1 408 ")


def test_the_second_head_of_a_connection_is_timed_as_well(run: Callable[..., Running]) -> None:
    server = run(header_seconds=0.3)
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    client = server.connect(request)
    assert b"200 OK" in client.recv(65536)
    client.sendall(request[:20])
    assert b"HTTP/1.1 408 " in rest_of(client)


def test_a_hundred_slow_senders_are_cut_off_and_others_served(run: Callable[..., Running]) -> None:
    server = run(header_seconds=0.5, upload_seconds=1)
    heads = [server.connect(b"POST /v1/caption HTTP/1.1\r\n") for _ in range(50)]
    bodies = [server.connect(HEAD + b'Content-Length: 1000\r\n\r\n{"images": ') for _ in range(100)]
    stop = threading.Event()

    def dribble() -> None:
        while not stop.wait(0.05):
            for client in [*heads, *bodies]:
                with contextlib.suppress(OSError):
                    client.send(b"x")

    dribbling = threading.Thread(target=dribble)
    dribbling.start()
    try:
        assert server.post().status_code == 200, "a good client is served meanwhile"
        with ThreadPoolExecutor(150) as pool:
            answers = list(pool.map(rest_of, [*heads, *bodies]))
    finally:
        stop.set()
        dribbling.join()
    assert all(each.startswith(b"HTTP/1.1 408 ") for each in answers if each)
    # Who dribbles on after the answer may lose it to the reset; being cut off is what counts, and most see why.
    assert sum(map(bool, answers)) >= 130
    until(lambda: not server.server.server_state.connections)


def test_a_reader_that_does_not_read_is_cut_off(run: Callable[..., Running]) -> None:
    server = run(deadline=1, upload_seconds=1)
    # Pipelined requests, whose answers nobody reads: more than the buffers of both sides take.
    request = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
    client = server.connect()
    client.setblocking(False)
    end = time.monotonic() + 20
    with contextlib.suppress(ConnectionError):
        while server.server.server_state.connections or time.monotonic() < end - 19:
            assert time.monotonic() < end, "it still waits"
            try:
                client.send(request * 100)
            except BlockingIOError:
                time.sleep(0.05)
    client.close()
    assert server.post().status_code == 200


def test_a_reader_that_reads_almost_nothing_is_cut_off(run: Callable[..., Running]) -> None:
    """What is left in the buffers is too little to be noticed; it is closed all the same, and not for ever."""
    server = run(deadline=1, upload_seconds=1)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", server.port))
    connections = server.server.server_state.connections
    until(lambda: len(connections) == 1)
    (connection,) = connections
    for _ in range(2000):
        client.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(0.005)
        if connection.transport.get_write_buffer_size():
            break
    assert connection.transport.get_write_buffer_size()
    until(lambda: not connections)
    client.close()


def test_more_connections_than_are_allowed_are_closed(run: Callable[..., Running]) -> None:
    server = run(connections=3)
    three = [server.connect() for _ in range(3)]
    until(lambda: len(server.server.server_state.connections) == 3)
    assert rest_of(server.connect(b"GET /healthz HTTP/1.1\r\n")) == b""
    for client in three:
        client.close()
    until(lambda: not server.server.server_state.connections)
    assert server.post().status_code == 200


@OTHER_ADDRESSES
def test_one_address_leaves_room_for_others(run: Callable[..., Running]) -> None:
    server = run(address_connections=2)
    held = [server.connect() for _ in range(2)]
    until(lambda: len(server.server.server_state.connections) == 2)
    assert rest_of(server.connect(b"GET /healthz HTTP/1.1\r\n")) == b""
    with socket.socket() as other:
        other.bind(("127.0.0.2", 0))
        other.connect(("127.0.0.1", server.port))
        other.settimeout(20)
        other.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert rest_of(other).startswith(b"HTTP/1.1 200 ")
    for client in held:
        client.close()


@OTHER_ADDRESSES
def test_a_client_with_many_requests_leaves_room_for_another(run: Callable[..., Running]) -> None:
    server = run(queue=8, batch=1)
    server.captioner.go.clear()

    def post(address: str, **headers: str) -> httpx.Response:
        with httpx.Client(transport=httpx.HTTPTransport(local_address=address), timeout=60) as client:
            return client.post(f"{server.url}/v1/caption", files={"images": RED}, headers=headers)

    with ThreadPoolExecutor(20) as pool:
        greedy = [pool.submit(post, "127.0.0.2") for _ in range(12)]
        until(lambda: sum(each.done() for each in greedy) == 6)
        assert server.site.batcher.waiting == 6
        # One of another address, and one that a proxy on this machine speaks for.
        others = [pool.submit(post, "127.0.0.3"), pool.submit(post, "127.0.0.1", **{"X-Forwarded-For": "192.0.2.1"})]
        until(lambda: server.site.batcher.waiting == 8)
        assert post("127.0.0.4").status_code == 503, "full is full"
        server.captioner.go.set()
        assert [each.result(20).status_code for each in others] == [200, 200]
        assert sorted(each.result(20).status_code for each in greedy) == [200] * 6 + [503] * 6


def test_the_answer_to_a_large_body_arrives(run: Callable[..., Running]) -> None:
    server = run(body_bytes=1000)
    answer = httpx.post(f"{server.url}/v1/caption", files={"images": bytes(5_000_000)})
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")


def test_the_answer_of_a_full_queue_arrives_before_a_large_body_is_sent(run: Callable[..., Running]) -> None:
    """urllib, unlike httpx, sends all before it looks for an answer."""
    server = run(queue=1)
    server.captioner.go.clear()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(server.post)
        until(lambda: server.site.batcher.waiting == 1)
        kind = {"Content-Type": "multipart/form-data; boundary=x"}
        for _ in range(5):
            request = urllib.request.Request(f"{server.url}/v1/caption", bytes(5_000_000), kind)
            with pytest.raises(urllib.error.HTTPError, match="503"):
                urllib.request.urlopen(request, timeout=20)
        server.captioner.go.set()
        assert waiting.result(20).status_code == 200


def test_stopping_does_not_wait_for_a_body_that_stalls(run: Callable[..., Running]) -> None:
    server = run()
    client = server.connect(HEAD + b'Content-Length: 1000\r\n\r\n{"images": ')
    time.sleep(0.2)
    begin = time.monotonic()
    server.server.should_exit = True
    assert rest_of(client).startswith(b"HTTP/1.1 503 ")
    server.thread.join(20)
    assert not server.thread.is_alive() and time.monotonic() - begin < 8


def test_the_work_of_a_client_that_hangs_up_is_dropped(run: Callable[..., Running]) -> None:
    server = run()
    server.captioner.go.clear()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(server.post)
        assert server.captioner.running.wait(20)
        body = httpx.Request("POST", server.url, files=[("images", RED)] * 5)
        head = f"Content-Type: {body.headers['content-type']}\r\nContent-Length: {len(body.read())}\r\n\r\n"
        client = server.connect(b"POST /v1/caption HTTP/1.1\r\nHost: localhost\r\n" + head.encode() + body.content)
        until(lambda: server.site.batcher.waiting == 6)
        client.close()
        until(lambda: server.site.batcher.waiting == 1)
        server.captioner.go.set()
        assert first.result(20).status_code == 200
    assert server.captioner.photos == 1


def test_a_full_server_says_so_at_once_and_stays_healthy(run: Callable[..., Running]) -> None:
    server = run(queue=2)
    server.captioner.go.clear()
    with ThreadPoolExecutor(10) as pool:
        waiting = [pool.submit(server.post) for _ in range(2)]
        until(lambda: server.site.batcher.waiting == 2)
        refused = list(pool.map(lambda _: server.post(), range(5)))
        assert {each.status_code for each in refused} == {503}
        assert all(int(each.headers["retry-after"]) >= 1 for each in refused)
        assert all(httpx.get(f"{server.url}/{name}").status_code == 200 for name in ("healthz", "readyz"))
        server.captioner.go.set()
        assert [each.result(20).status_code for each in waiting] == [200, 200]


def test_stopping_finishes_what_was_admitted(run: Callable[..., Running]) -> None:
    server = run(batch=1)
    server.captioner.go.clear()
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(server.post) for _ in range(8)]
        until(lambda: server.site.batcher.waiting == 8)
        server.server.should_exit = True
        until(lambda: server.site.batcher.stopping)
        server.captioner.go.set()
        assert [each.result(20).status_code for each in waiting] == [200] * 8
    server.thread.join(20)
    assert not server.thread.is_alive()
    with pytest.raises(httpx.ConnectError):
        server.post()


def started(*arguments: str, **environment: str) -> tuple[subprocess.Popen[str], str]:
    """`showtell serve` as a process, and its URL."""
    command = [sys.executable, "-m", "showtell", "serve", "--port", "0", "--no-page", *arguments]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment})
    assert process.stderr is not None
    line = process.stderr.readline()
    found = re.search(r"http://\S+", line)
    assert found, line
    return process, found[0].replace("0.0.0.0", "127.0.0.1")


def test_the_command_serves_captions_and_ends_on_sigterm() -> None:
    process, url = started("--threads", "1", SHOWTELL_API_KEY="sesame")
    try:
        photo = (EXAMPLES / "dog.jpg").read_bytes()
        key = {"Authorization": "Bearer sesame"}

        def ask(language: str) -> httpx.Response:
            files, data = {"images": photo}, {"language": language}
            return httpx.post(f"{url}/v1/caption", files=files, data=data, headers=key, timeout=60)

        assert "dog" in ask("en").json()["results"][0]["captions"][0]["text"]
        assert httpx.post(f"{url}/v1/caption", files={"images": photo}).status_code == 401
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
                with contextlib.suppress(httpx.TransportError):  # those that the listener had not taken yet
                    statuses.append(each.result(30).status_code)
        assert process.wait(25) == 0 and time.monotonic() - begin < 20
        assert statuses.count(200) >= 5 and set(statuses) <= {200, 503}
    finally:
        process.kill()
        process.communicate()


def test_a_port_in_use_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "showtell", "serve", "--port", str(port), "--no-page"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr == (
        f"showtell: 127.0.0.1:{port} cannot be listened at (Address already in use); give another --port\n"
    )


def test_event_loops_do_not_leak_tasks(run: Callable[..., Running]) -> None:
    server = run()
    for _ in range(20):
        assert server.post().status_code == 200
    counts: list[int] = []
    loop = next(iter(server.server.servers)).get_loop()
    loop.call_soon_threadsafe(lambda: counts.append(len(asyncio.all_tasks(loop))))
    until(lambda: bool(counts))
    assert counts[0] <= 3
