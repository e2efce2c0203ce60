"""Slow hosts and name servers: one deadline for the whole fetch."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator

import pytest
from tests.clocks import HANG_SECONDS, FakeClock
from tests.fetch.fake_web import (
    HTTP,
    HTTPS,
    OTHER,
    PUBLIC,
    PUBLIC_V6,
    SERVER,
    Answer,
    FakeWeb,
    answer,
    chunks,
    fake_web,
    redirect,
)

from showtell.errors import BadImage
from showtell.fetch.fetch import Fetcher

TIMEOUT = 200.0
"""Of fetches with a fake clock: so long that no timeout of a socket is reached in real time."""
SHORT_TIMEOUT = 0.2
"""Of fetches that wait in the kernel or for a thread, in real time."""


@pytest.fixture
def web() -> Iterator[FakeWeb]:
    with fake_web() as web:
        yield web


SLOW: dict[str, tuple[bytes, bytes]] = {
    "status": (b"HTTP/1.1 200 O", b"K"),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"A: a\r\n"),
    "one header": (b"HTTP/1.1 200 OK\r\nA: ", b"a"),
    "body": (answer()[:-5000], b"\0"),
    "chunks": (chunks()[: -len(b"0\r\n\r\n")], b"1\r\na\r\n"),
    "length of a chunk": (chunks()[: -len(b"0\r\n\r\n")], b"0"),
    "trailer": (chunks(b"x")[:-2], b"A: a\r\n"),
    "informational": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
}


def times_out(fetch: Callable[[], object], timeout: float) -> None:
    message = f"url_failed: (after a redirect: )?found no complete response within {timeout:g} seconds"
    with pytest.raises(BadImage, match=message):
        fetch()


@pytest.mark.parametrize(("head", "drop"), SLOW.values(), ids=SLOW)
@pytest.mark.parametrize("tls", [None, SERVER], ids=["http", "https"])
def test_a_response_in_drops(head: bytes, drop: bytes, tls: object, web: FakeWeb) -> None:
    """Each drop comes long before the deadline, all of them together do not.

    Then the host closes: a fetcher that reads on beyond its deadline finds a truncated response.
    """
    clock = FakeClock()

    def reply(_: str) -> Iterable[bytes]:
        yield head
        for _ in range(12):
            clock.advance(TIMEOUT / 10)
            yield drop

    web.serve("images.example.org", reply, tls=SERVER if tls else None)
    fetcher = web.fetcher(timeout=TIMEOUT, clock=clock)
    times_out(lambda: fetcher.fetch(HTTPS if tls else HTTP), TIMEOUT)


def test_redirects_share_the_time(web: FakeWeb) -> None:
    clock = FakeClock()

    def reply(_: str) -> Iterable[bytes]:
        clock.advance(0.4 * TIMEOUT)
        yield redirect("/")

    host = web.serve("images.example.org", reply)
    times_out(lambda: web.fetcher(timeout=TIMEOUT, clock=clock).fetch(HTTP), TIMEOUT)
    assert len(host.requests) == 3


def silent(until: threading.Event) -> Answer:
    """Keeps the connection open and sends nothing."""

    def reply(_: str) -> Iterable[bytes]:
        until.wait(HANG_SECONDS)
        return []

    return reply


@pytest.mark.parametrize("tls", [None, SERVER], ids=["http", "https"])
def test_a_host_that_sends_nothing(tls: object, web: FakeWeb) -> None:
    end = threading.Event()
    web.serve("images.example.org", silent(end), tls=SERVER if tls else None)
    times_out(lambda: web.fetcher(timeout=SHORT_TIMEOUT).fetch(HTTPS if tls else HTTP), SHORT_TIMEOUT)
    end.set()


def test_a_host_that_never_shakes_hands(web: FakeWeb) -> None:
    end = threading.Event()
    web.hosts[PUBLIC, 443] = web.serve("images.example.org", silent(end))

    def connect(address: str, port: int, timeout: float) -> socket.socket:
        sock = web.connect(address, port, timeout)
        sock.settimeout(None)
        return sock

    fetcher = Fetcher(resolve=web.resolve, connect=connect, timeout=SHORT_TIMEOUT)
    times_out(lambda: fetcher.fetch(HTTPS), SHORT_TIMEOUT)
    end.set()


def test_a_name_server_that_does_not_answer(web: FakeWeb) -> None:
    end = threading.Event()

    def resolve(host: str, port: int) -> list[str]:
        end.wait(HANG_SECONDS)
        return [PUBLIC]

    fetcher = Fetcher(resolve=resolve, connect=web.connect, timeout=SHORT_TIMEOUT)
    times_out(lambda: fetcher.fetch(HTTP), SHORT_TIMEOUT)
    end.set()
    assert web.connected == []


def test_addresses_share_the_time(web: FakeWeb) -> None:
    """So that the last of them is tried as well."""
    clock = FakeClock()
    timeouts: list[float] = []

    def connect(address: str, port: int, timeout: float) -> socket.socket:
        timeouts.append(timeout)
        clock.advance(timeout)
        raise TimeoutError

    fetcher = Fetcher(resolve=lambda *_: [PUBLIC, OTHER, PUBLIC_V6], connect=connect, timeout=TIMEOUT, clock=clock)
    times_out(lambda: fetcher.fetch(HTTP), TIMEOUT)
    assert timeouts == pytest.approx([TIMEOUT / 3] * 3)
