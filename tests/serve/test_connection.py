"""What connections with bad manners get, on a real socket, and that those with good ones do not notice."""

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import uvicorn
from tests.serve.asking import echo
from tests.serve.running import HEAD, OTHER_ADDRESSES, Running, rest_of, until
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from showtell.serve.connection import FRAME, RECEIVED_AT_ONCE, timed_protocol
from showtell.serve.limits import Limits

CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


class Peer:
    """As asyncio's transport, and its socket, of a connection from this address."""

    def __init__(self, address: str) -> None:
        self.address, self.is_aborted = address, False

    def get_extra_info(self, name: str) -> Any:
        return self if name == "socket" else None

    def getpeername(self) -> tuple[str, int]:
        return self.address, 1

    def getsockname(self) -> tuple[str, int]:
        return "::1", 2

    def setsockopt(self, *option: int) -> None:
        pass

    def abort(self) -> None:
        self.is_aborted = True

    def is_closing(self) -> bool:
        return self.is_aborted

    def close(self) -> None:
        pass


def test_connections_are_counted_by_network_where_a_household_has_one() -> None:
    addresses = ["2001:db8:1:2::1", "2001:db8:1:2::2", "2001:db8:1:2:3::", "2001:db8:1:3::1", "192.0.2.1", "192.0.2.2"]

    async def connect() -> list[bool]:
        config, state = uvicorn.Config(echo, log_config=None), ServerState()
        made = [timed_protocol(Limits(address_connections=2))(config, state, {}) for _ in addresses]
        peers = [Peer(each) for each in addresses]
        for protocol, peer in zip(made, peers, strict=True):
            protocol.connection_made(peer)  # type: ignore[arg-type]
        for protocol in made:
            protocol.connection_lost(None)
        return [each.is_aborted for each in peers]

    assert asyncio.run(connect()) == [False, False, True, False, False, False]


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


def in_chunks(body: bytes, size: int) -> Iterator[bytes]:
    return (body[at : at + size] for at in range(0, len(body), size))


def ask_in_chunks(server: Running, body: bytes, size: int) -> httpx.Response:
    headers = {"Content-Type": "application/json"}
    return httpx.post(f"{server.url}/v1/caption", content=in_chunks(body, size), headers=headers, timeout=60)


def test_a_body_in_tiny_chunks_without_end_is_cut_off(run: Callable[..., Running]) -> None:
    server = run()
    client = server.connect(CHUNKED)
    with contextlib.suppress(ConnectionError):
        for _ in range(10 * FRAME // 600):
            client.sendall(b"1\r\n \r\n" * 100)
            time.sleep(0.0005)
    head, _, body = rest_of(client).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["error"]["code"] == "bad_request" and b"tiny chunks" in body
    until(lambda: not server.server.server_state.connections)
    assert server.post().status_code == 200


@pytest.mark.parametrize(("size", "length"), [(1, 5_000), (20, 100_000), (64, 1_000_000), (1024, 10**7), (8192, 10**7)])
def test_bodies_in_chunks_of_honest_sizes_are_taken(run: Callable[..., Running], size: int, length: int) -> None:
    body = json.dumps({"images": [{"base64": "A" * length}]}).encode()
    answer = ask_in_chunks(run(), body, size)
    assert answer.status_code == 200
    assert answer.json()["results"][0]["error"]["code"] == "not_an_image", "all of it has arrived"


def test_each_body_of_a_connection_is_weighed_alone(run: Callable[..., Running]) -> None:
    server = run()
    with httpx.Client(headers={"Content-Type": "application/json"}) as client:
        for _ in range(4):
            body = in_chunks(b" " * (FRAME // 8) + b"{}", 1)
            assert client.post(f"{server.url}/v1/caption", content=body).status_code == 422


def test_what_is_cut_off_after_its_answer_gets_no_second_one(run: Callable[..., Running]) -> None:
    client = run().connect(CHUNKED.replace(b"/v1/caption", b"/nowhere"))
    answer = b""
    while not answer.endswith(b"}}"):
        answer += client.recv(65536)
    with contextlib.suppress(ConnectionError):
        for _ in range(10 * FRAME // 600):
            client.sendall(b"1\r\n \r\n" * 100)
    answer += rest_of(client)
    assert answer.startswith(b"HTTP/1.1 404 ") and answer.count(b"HTTP/1.1") == 1


def test_no_connection_is_read_much_of_at_a_time(run: Callable[..., Running], monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two pieces others have their turn; asyncio itself reads 16 times as much."""
    pieces: list[int] = []
    received = H11Protocol.data_received

    def watched(self: H11Protocol, data: bytes) -> None:
        pieces.append(len(data))
        received(self, data)

    monkeypatch.setattr(H11Protocol, "data_received", watched)
    server = run()
    assert httpx.post(f"{server.url}/v1/caption", files={"images": bytes(10**7)}, timeout=60).status_code == 200
    assert sum(pieces) > 10**7 and max(pieces) <= RECEIVED_AT_ONCE
    pieces.clear()
    client = server.connect(CHUNKED)
    with contextlib.suppress(ConnectionError):
        for _ in range(20):
            client.sendall(b"1\r\n \r\n" * 1000)
    rest_of(client)
    assert max(pieces[-3:]) <= RECEIVED_AT_ONCE // 8, "the more frame, the less at a time"


def test_answers_do_not_wait_to_be_acknowledged(run: Callable[..., Running]) -> None:
    """Without this each answer on a connection that is kept takes 40 ms."""
    server = run()
    client = server.connect()
    until(lambda: len(server.server.server_state.connections) == 1)
    (connection,) = server.server.server_state.connections
    accepted = connection.transport.get_extra_info("socket")
    assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    client.close()
