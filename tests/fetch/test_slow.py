"""Hosts and name servers that take their time: the deadline is that of a whole fetch."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
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
    slowly,
)

from showtell.errors import BadImage
from showtell.fetch.fetch import Fetcher


@pytest.fixture
def web() -> Iterator[FakeWeb]:
    with fake_web() as web:
        yield web


SLOW: dict[str, Answer] = {
    "status": slowly(b"HTTP/1.1 200 O", b"K"),
    "headers": slowly(b"HTTP/1.1 200 OK\r\n", b"A: a\r\n"),
    "one header": slowly(b"HTTP/1.1 200 OK\r\nA: ", b"a"),
    "body": slowly(answer()[:-5000], b"\0"),
    "chunks": slowly(chunks()[: -len(b"0\r\n\r\n")], b"1\r\na\r\n"),
    "length of a chunk": slowly(chunks()[: -len(b"0\r\n\r\n")], b"0"),
    "trailer": slowly(chunks(b"x")[:-2], b"A: a\r\n"),
    "nothing": slowly(b"", b""),
    "told to go on": slowly(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
}


def in_time(fetch: Callable[[], object]) -> None:
    begin = time.monotonic()
    with pytest.raises(BadImage, match=r"url_failed: (after a redirect: )?found no complete answer within 0.4 seconds"):
        fetch()
    assert time.monotonic() - begin < 6, "all of it would take 20 seconds and more"


@pytest.mark.parametrize("reply", SLOW.values(), ids=SLOW)
@pytest.mark.parametrize("tls", [None, SERVER], ids=["http", "https"])
def test_slow(reply: Answer, tls: object, web: FakeWeb) -> None:
    """A drop is always in time; all of them together are not."""
    web.serve("images.example.org", reply, tls=SERVER if tls else None)
    in_time(lambda: web.fetcher(seconds=0.4).fetch(HTTPS if tls else HTTP))


def test_slow_redirects_share_the_time(web: FakeWeb) -> None:
    web.serve("images.example.org", lambda _: [time.sleep(0.15) or redirect("/")])
    in_time(lambda: web.fetcher(seconds=0.4).fetch(HTTP))


def test_slow_tls(web: FakeWeb) -> None:
    """A host that takes the connection and never shakes hands."""
    web.hosts[PUBLIC, 443] = web.serve("images.example.org", slowly(b"", b""))

    def dial(address: str, port: int, timeout: float) -> socket.socket:
        sock = web.dial(address, port, timeout)
        sock.settimeout(None)
        return sock

    in_time(lambda: Fetcher(resolve=web.resolve, dial=dial, seconds=0.4).fetch(HTTPS))


def test_slow_name_server(web: FakeWeb) -> None:
    asked = threading.Event()

    def resolve(host: str, port: int) -> list[str]:
        asked.wait(20)
        return [PUBLIC]

    in_time(lambda: Fetcher(resolve=resolve, dial=web.dial, seconds=0.4).fetch(HTTP))
    asked.set()
    assert web.dialled == []


def test_slow_connections(web: FakeWeb) -> None:
    """Each address has its share of the time, so that the last of them is tried as well."""
    shares: list[float] = []

    def dial(address: str, port: int, timeout: float) -> socket.socket:
        shares.append(timeout)
        time.sleep(timeout)
        raise TimeoutError

    in_time(lambda: Fetcher(resolve=lambda *_: [PUBLIC, OTHER, PUBLIC_V6], dial=dial, seconds=0.4).fetch(HTTP))
    assert len(shares) == 3 and max(shares) <= 0.4
