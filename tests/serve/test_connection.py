"""Connections that misbehave, on a real socket, and that others do not notice."""

import asyncio
import contextlib
import itertools
import json
import select
import socket
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import uvicorn
from tests.clocks import HANG_SECONDS, until
from tests.serve.asking import echo
from tests.serve.running import HEAD, HOUR, OTHER_ADDRESSES, Running, rest_of
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from showtell.serve import open_connections
from showtell.serve.body import LINGERING_TIMEOUT
from showtell.serve.connection import FREE_OVERHEAD_BYTES, LEAST_READ_BYTES, MAX_RECV_BYTES, limited_protocol
from showtell.serve.limits import Limits
from showtell.serve.open_connections import OpenConnections
from showtell.serve.server import KEEP_ALIVE

CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


class Peer:
    """A fake of asyncio's transport, and of its socket, for a connection from this address."""

    def __init__(self, address: str) -> None:
        self.address, self.is_aborted, self.unsent = address, False, 0

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

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def resume_reading(self) -> None:
        pass

    def close(self) -> None:
        pass


def protocols(limits: Limits) -> type[H11Protocol]:
    return limited_protocol(limits, OpenConnections(limits))


def test_connections_are_counted_by_network_where_a_household_has_one() -> None:
    addresses = ["2001:db8:1:2::1", "2001:db8:1:2::2", "2001:db8:1:2:3::", "2001:db8:1:3::1", "192.0.2.1", "192.0.2.2"]

    async def connect() -> list[bool]:
        config, state = uvicorn.Config(echo, log_config=None), ServerState()
        protocol_class = protocols(Limits(connections_per_client=2))
        made = [protocol_class(config, state, {}) for _ in addresses]
        peers = [Peer(each) for each in addresses]
        for protocol, peer in zip(made, peers, strict=True):
            protocol.connection_made(peer)  # type: ignore[arg-type]
        for protocol in made:
            protocol.connection_lost(None)
        return [each.is_aborted for each in peers]

    assert asyncio.run(connect()) == [False, False, True, False, False, False]


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: "])
def test_a_head_that_does_not_end_is_cut_off(run: Callable[..., Running], sent: bytes) -> None:
    server = run()
    client = server.connect(sent)
    server.accepted(client)
    server.loop.skip(HOUR)
    assert rest_of(client).startswith(b"HTTP/1.1 408 ")


def test_the_second_head_of_a_connection_is_timed_as_well(run: Callable[..., Running]) -> None:
    server = run()
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    client = server.connect(request)
    assert b"200 OK" in client.recv(65536)
    client.sendall(request[:20])
    server.loop.skip()
    server.loop.skip(HOUR)
    assert b"HTTP/1.1 408 " in rest_of(client)


def test_a_hundred_slow_senders_are_cut_off_and_others_served(run: Callable[..., Running]) -> None:
    """They send a byte now and then, until each one's time is up."""
    server = run()
    heads = [server.connect(b"POST /v1/caption HTTP/1.1\r\n") for _ in range(50)]
    bodies = [server.connect(HEAD + b'Content-Length: 1000\r\n\r\n{"images": ') for _ in range(100)]
    for _ in range(5):
        for client in [*heads, *bodies]:
            client.send(b"x")
        assert server.post().status_code == 200, "a good client is served meanwhile"
        server.loop.skip(HOUR / 6)
    assert len(server.connections) >= 150, "nobody's time is up"
    server.loop.skip(HOUR / 4)
    until(lambda: all(is_readable(client) for client in [*heads, *bodies]))
    server.loop.skip(LINGERING_TIMEOUT)
    assert all(rest_of(client).startswith(b"HTTP/1.1 408 ") for client in [*heads, *bodies])
    until(lambda: not server.connections)


def is_readable(client: socket.socket) -> bool:
    return bool(select.select([client], [], [], 0)[0])


def skip_until_closed(server: Running, connection: Any) -> None:
    """Past two checks for stalled clients, each after half of the request timeout."""
    for _ in range(3):
        server.loop.skip(HOUR)
    until(lambda: connection not in server.connections)


def test_a_reader_that_does_not_read_is_cut_off(run: Callable[..., Running]) -> None:
    server = run()
    # Pipelined requests whose responses nobody reads: more than the buffers of both sides hold.
    client = server.connect()
    connection = server.accepted(client)
    client.setblocking(False)
    while not connection.flow.write_paused:
        with contextlib.suppress(BlockingIOError):
            client.send(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)
        server.loop.skip()
    skip_until_closed(server, connection)
    client.close()
    assert server.post().status_code == 200


def test_a_reader_that_reads_almost_nothing_is_cut_off(run: Callable[..., Running]) -> None:
    """What is left in the write buffer is too little to pause the app; the connection is not kept for ever."""
    server = run()
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", server.port))
    connection = server.accepted(client)
    connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    for responses in itertools.count(1):
        client.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
        until(lambda count=responses: server.server.server_state.total_requests == count)  # type: ignore[misc]
        if connection.transport.get_write_buffer_size():
            break
    assert not connection.flow.write_paused
    skip_until_closed(server, connection)
    client.close()


def test_a_reader_that_reads_on_is_no_stalled_one() -> None:
    """However long it takes, as with a long response on a slow line."""

    async def read(*left: int) -> bool:
        """Whether the connection is kept if so many bytes are left at each check."""
        config, peer = uvicorn.Config(echo, log_config=None), Peer("192.0.2.1")
        protocol: Any = protocols(Limits())(config, ServerState(), {})
        protocol.connection_made(peer)
        protocol.pause_writing()
        for count in left:
            peer.unsent = count
            if count < LEAST_READ_BYTES:  # as asyncio does
                protocol.resume_writing()
            protocol._stall_timer.cancel()
            protocol._check_stalled()
        protocol.connection_lost(None)
        return not peer.is_aborted

    least, much = LEAST_READ_BYTES, 10 * LEAST_READ_BYTES
    assert asyncio.run(read(much, much - least, much - 2 * least, 10, 10, 10))
    assert not asyncio.run(read(much, much - least + 1))
    assert not asyncio.run(read(much, much - least, much - least))


def test_clients_with_many_connections_leave_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_connections, "FEW_CONNECTIONS", 1)
    addresses = ["192.0.2.1"] * 5 + ["192.0.2.2"] * 4 + ["192.0.2.3", "192.0.2.4", "192.0.2.5"]

    async def connect() -> tuple[list[bool], bool]:
        config, state = uvicorn.Config(echo, log_config=None), ServerState()
        protocol_class = protocols(Limits(connections=8))
        made, peers = [], [Peer(each) for each in addresses]
        for peer in peers:
            made.append(protocol_class(config, state, {}))
            made[-1].connection_made(peer)  # type: ignore[arg-type]
        refused = [each.is_aborted for each in peers]
        for protocol in made:
            protocol.connection_lost(None)
        late = Peer("192.0.2.1")
        protocol = protocol_class(config, state, {})
        protocol.connection_made(late)  # type: ignore[arg-type]
        protocol.connection_lost(None)
        return refused, late.is_aborted

    refused, is_late_refused = asyncio.run(connect())
    # Six places for all, of which the first two have five and one; two reserved for who has none.
    assert refused == [False] * 6 + [True] * 3 + [False, False, True] and not is_late_refused


def is_refused(server: Running) -> bool:
    """Whether a new connection is closed without a response."""
    try:
        return rest_of(server.connect(b"GET /healthz HTTP/1.1\r\n")) == b""
    except ConnectionError:  # closed before the request was sent
        return True


def test_more_connections_than_are_allowed_are_closed(run: Callable[..., Running]) -> None:
    server = run(connections=3)
    three = [server.connect() for _ in range(3)]
    until(lambda: len(server.connections) == 3)
    assert is_refused(server)
    for client in three:
        client.close()
    until(lambda: not server.connections)
    assert server.post().status_code == 200


@OTHER_ADDRESSES
def test_one_address_leaves_room_for_others(run: Callable[..., Running]) -> None:
    server = run(connections_per_client=2)
    held = [server.connect() for _ in range(2)]
    until(lambda: len(server.connections) == 2)
    assert is_refused(server)
    with socket.socket() as other:
        other.bind(("127.0.0.2", 0))
        other.connect(("127.0.0.1", server.port))
        other.settimeout(HANG_SECONDS)
        other.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert rest_of(other).startswith(b"HTTP/1.1 200 ")
    for client in held:
        client.close()


def test_connections_are_kept_unless_there_are_many(run: Callable[..., Running]) -> None:
    server = run(connections=8)
    client = server.connect()

    def answer() -> bytes:
        """All of it, however many parts it comes in."""
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        received = b""
        while not received.endswith(b"}"):
            data = client.recv(65536)
            assert data, "closed"
            received += data
        return received.lower()

    assert b"connection: close" not in answer()
    server.loop.skip(KEEP_ALIVE - 1)
    assert b" 200 ok" in answer(), "longer than clients keep them"
    others = [server.connect() for _ in range(4)]
    until(lambda: len(server.connections) == 5)
    assert b"connection: close" in answer() and rest_of(client) == b""
    for other in others:
        other.close()


def in_chunks(body: bytes, size: int) -> Iterator[bytes]:
    return (body[at : at + size] for at in range(0, len(body), size))


def ask_in_chunks(server: Running, body: bytes, size: int) -> httpx.Response:
    headers = {"Content-Type": "application/json"}
    return httpx.post(f"{server.url}/v1/caption", content=in_chunks(body, size), headers=headers, timeout=HANG_SECONDS)


def test_a_body_in_tiny_chunks_without_end_is_cut_off(run: Callable[..., Running]) -> None:
    server = run()
    client = server.connect(CHUNKED)
    sent = 0
    while not is_readable(client):
        sent += client.send(b"1\r\n \r\n" * 100)
        server.loop.skip()  # it reads all of it, so that its response is not lost to a reset
        assert sent < 10 * FREE_OVERHEAD_BYTES
    head, _, body = rest_of(client).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["error"]["code"] == "bad_request" and b"tiny chunks" in body
    until(lambda: not server.connections)
    assert server.post().status_code == 200


@pytest.mark.parametrize(("size", "length"), [(1, 5_000), (20, 100_000), (64, 1_000_000), (1024, 10**7), (8192, 10**7)])
def test_bodies_in_chunks_of_honest_sizes_are_taken(run: Callable[..., Running], size: int, length: int) -> None:
    body = json.dumps({"images": [{"base64": "A" * length}]}).encode()
    answer = ask_in_chunks(run(), body, size)
    assert answer.status_code == 200
    assert answer.json()["results"][0]["error"]["code"] == "not_an_image", "all of it has arrived"


def test_each_body_of_a_connection_is_counted_alone(run: Callable[..., Running]) -> None:
    server = run()
    with httpx.Client(headers={"Content-Type": "application/json"}, timeout=HANG_SECONDS) as client:
        for _ in range(4):
            body = in_chunks(b" " * (FREE_OVERHEAD_BYTES // 8) + b"{}", 1)
            assert client.post(f"{server.url}/v1/caption", content=body).status_code == 422


def test_what_is_cut_off_after_its_answer_gets_no_second_one(run: Callable[..., Running]) -> None:
    client = run().connect(CHUNKED.replace(b"/v1/caption", b"/nowhere"))
    answer = b""
    while not answer.endswith(b"}}"):
        answer += client.recv(65536)
    with contextlib.suppress(ConnectionError):
        for _ in range(10 * FREE_OVERHEAD_BYTES // 600):
            client.sendall(b"1\r\n \r\n" * 100)
    answer += rest_of(client)
    assert answer.startswith(b"HTTP/1.1 404 ") and answer.count(b"HTTP/1.1") == 1


def test_no_more_than_a_little_is_read_at_a_time(run: Callable[..., Running], monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two reads other connections are served; asyncio itself reads 16 times as much."""
    reads: list[int] = []
    received = H11Protocol.data_received

    def data_received(self: H11Protocol, data: bytes) -> None:
        reads.append(len(data))
        received(self, data)

    monkeypatch.setattr(H11Protocol, "data_received", data_received)
    server = run()
    assert (
        httpx.post(f"{server.url}/v1/caption", files={"images": bytes(10**7)}, timeout=HANG_SECONDS).status_code == 200
    )
    assert sum(reads) > 10**7 and max(reads) <= MAX_RECV_BYTES
    reads.clear()
    client = server.connect(CHUNKED)
    with contextlib.suppress(ConnectionError):
        for _ in range(20):
            client.sendall(b"1\r\n \r\n" * 1000)
    rest_of(client)
    assert max(reads[-3:]) <= MAX_RECV_BYTES // 8, "the more framing, the less at a time"


def test_responses_do_not_wait_to_be_acknowledged(run: Callable[..., Running]) -> None:
    """Without TCP_NODELAY each response on a kept-alive connection takes 40 ms."""
    server = run()
    client = server.connect()
    accepted = server.accepted(client).transport.get_extra_info("socket")
    assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    client.close()
