"""Good URLs: what is requested, of which host, and what is returned."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest
from tests.clocks import HANG_SECONDS
from tests.fetch.fake_web import (
    HTTP,
    HTTPS,
    OTHER,
    PHOTO,
    PUBLIC,
    PUBLIC_V6,
    SERVER,
    FakeWeb,
    always,
    answer,
    chunks,
    code,
    fake_web,
    redirect,
)

from showtell import __version__
from showtell.core.image import load_image
from showtell.errors import BadConfig, BadImage
from showtell.fetch import fetch as fetching
from showtell.fetch.fetch import MAX_ADDRESSES_TRIED, MAX_REDIRECTS, Fetcher


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeWeb]:
    # What would be used by anybody who looks at the environment.
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with fake_web() as web:
        yield web


PLAIN = {
    "with its length": answer(),
    "without a length": answer(length=False),
    "in chunks": chunks(PHOTO[:1], PHOTO[1:5000], PHOTO[5000:]),
    "in chunks with extensions and a trailer": chunks(PHOTO).replace(b"\r\n0\r\n\r\n", b"\r\n0;x=y\r\nA: b\r\n\r\n"),
    "of no type": answer(kind=None),
    "of bytes": answer(kind="application/octet-stream"),
    "of bytes, as S3 says": answer(kind="binary/octet-stream"),
    "of a type with parameters": answer(kind="Image/JPEG; charset=x"),
    "packed as it is": answer(PHOTO, "Content-Encoding: identity"),
    "with cookies": answer(PHOTO, "Set-Cookie: a=b", "Set-Cookie: c=d"),
    "after being told to go on": b"HTTP/1.1 100 Continue\r\n\r\n" + answer(),
    "of HTTP/1.0": answer().replace(b"HTTP/1.1", b"HTTP/1.0"),
}


@pytest.mark.parametrize("reply", PLAIN.values(), ids=PLAIN)
@pytest.mark.parametrize("tls", [None, SERVER], ids=["http", "https"])
def test_a_photo(reply: bytes, tls: object, web: FakeWeb) -> None:
    web.serve("images.example.org", reply, tls=SERVER if tls else None)
    found = web.fetcher().fetch(f"{HTTPS if tls else HTTP}/dog.jpg")
    assert found == PHOTO
    assert load_image(found).size == load_image(PHOTO).size


@pytest.mark.parametrize(
    ("url", "host", "line"),
    [
        ("HTTPS://Images.Example.ORG/A.jpg", "images.example.org", "/A.jpg"),
        ("https://images.example.org:443", "images.example.org", "/"),
        ("https://images.example.org/a?b=c&d=%20/../#e", "images.example.org", "/a?b=c&d=%20/../"),
        ("https://صور.example.org/قط", "xn--wgbh1d.example.org", "/%D9%82%D8%B7"),
        (f"https://{PUBLIC}/", PUBLIC, "/"),
    ],
)
def test_what_is_asked_for(url: str, host: str, line: str, web: FakeWeb) -> None:
    server = web.serve(host, answer(), tls=SERVER)
    assert web.fetcher().fetch(url) == PHOTO
    first, *headers = server.requests[0].strip().split("\r\n")
    assert first == f"GET {line} HTTP/1.1"
    assert sorted(headers) == [
        "Accept-Encoding: identity",
        "Accept: image/jpeg, image/png, image/webp, image/gif, image/avif;q=0.8, image/*;q=0.5",
        "Connection: close",
        f"Host: {host}",
        f"User-Agent: showtell/{__version__}",
    ], "no cookies, no credentials, no referrer"
    assert web.lookups == ([] if host == PUBLIC else [host]) and web.connected == [PUBLIC]


def test_an_ipv6_address(web: FakeWeb) -> None:
    server = web.serve("", answer(), PUBLIC_V6)
    assert web.fetcher().fetch(f"http://[{PUBLIC_V6.upper()}]:80/") == PHOTO
    assert f"Host: [{PUBLIC_V6}]\r\n" in server.requests[0] and web.lookups == []


def test_as_many_redirects_as_are_allowed(web: FakeWeb) -> None:
    """From http to https, to another host, relative and without the scheme; each status once."""
    places = ["/b?c", f"{HTTPS}/c", "d/", "//other.example.net/e", "../f"]
    assert len(places) == MAX_REDIRECTS
    hosts = [
        web.serve("images.example.org", lambda r: [redirect(places[0 if r.startswith("GET / ") else 1], 301)]),
        web.serve("images.example.org", lambda r: [redirect(places[2 if "/c " in r else 3], 308)], tls=SERVER),
        web.serve("other.example.net", lambda r: [answer() if "/f " in r else redirect(places[4], 307)], OTHER, SERVER),
    ]
    assert web.fetcher().fetch(HTTP) == PHOTO
    targets = [[r.split(" ")[1] for r in host.requests] for host in hosts]
    assert targets == [["/", "/b?c"], ["/c", "/d/"], ["/e", "/f"]]


def test_a_redirect_in_other_letters(web: FakeWeb) -> None:
    server = web.serve("images.example.org", lambda r: [answer() if "%" in r else redirect("/قط.jpg")])
    assert web.fetcher().fetch(HTTP) == PHOTO
    assert server.requests[1].startswith("GET /%D9%82%D8%B7.jpg ")


def test_a_listed_host(web: FakeWeb) -> None:
    web.serve("a.images.example.org", redirect("//other.example.net/"))
    web.serve("other.example.net", answer(), OTHER)
    assert (
        web.fetcher(allowed_hosts=["*.example.org", "OTHER.example.net"]).fetch("http://a.images.example.org/") == PHOTO
    )
    with pytest.raises(BadConfig, match="allowed host 'localhost'"):
        web.fetcher(allowed_hosts=["localhost"])


def test_the_next_address_when_one_does_not_answer(web: FakeWeb) -> None:
    web.serve("images.example.org", answer())
    web.names["images.example.org"] = [[PUBLIC_V6, PUBLIC]]

    def connect(address: str, port: int, timeout: float) -> socket.socket:
        if address == PUBLIC_V6:
            web.connected.append(address)
            raise OSError("Network is unreachable")
        return web.connect(address, port, timeout)

    assert Fetcher(resolve=web.resolve, connect=connect).fetch(HTTP) == PHOTO
    assert web.connected == [PUBLIC_V6, PUBLIC]


def test_no_more_addresses_than_a_few(web: FakeWeb) -> None:
    def refuse(address: str, port: int, timeout: float) -> socket.socket:
        web.connected.append(address)
        raise ConnectionRefusedError

    many = [f"93.184.216.{n}" for n in range(100)]
    assert code(lambda: Fetcher(resolve=lambda *_: many, connect=refuse).fetch(HTTP)) == "url_failed"
    assert web.connected == many[:MAX_ADDRESSES_TRIED]


def test_many_threads_at_once(web: FakeWeb) -> None:
    web.serve("images.example.org", lambda r: [answer(r.split(" ")[1].encode())])
    fetcher = web.fetcher()
    found: dict[int, bytes] = {}
    threads = [threading.Thread(target=lambda n=n: found.update({n: fetcher.fetch(f"{HTTP}/{n}")})) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG_SECONDS)
    assert found == {n: f"/{n}".encode() for n in range(20)}


def test_the_system_is_asked_for_a_name_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[object, ...]] = []

    def getaddrinfo(*arguments: object, **_: object) -> list[object]:
        calls.append(arguments)
        kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        return [(*kind, (PUBLIC, 80)), (*kind, (PUBLIC, 80)), (*kind, (PUBLIC_V6, 80, 0, 0))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert fetching.resolve("images.example.org", 80) == [PUBLIC, PUBLIC_V6]
    assert calls == [("images.example.org", 80)]


def test_names_and_connections_that_fail(web: FakeWeb) -> None:
    def refuse(*_: object) -> socket.socket:
        raise ConnectionRefusedError(111, "Connection refused by 10.0.0.1")

    web.names |= {"none.example.org": [[]], "odd.example.org": [UnicodeError("label too long")]}
    for host in ("nowhere.example.org", "none.example.org", "odd.example.org"):
        assert code(lambda host=host: web.fetcher().fetch(f"http://{host}/")) == "url_failed"
    assert web.connected == []
    with pytest.raises(BadImage) as caught:
        Fetcher(resolve=lambda *_: [PUBLIC], connect=refuse).fetch(HTTP)
    assert caught.value.code == "url_failed" and "10.0.0.1" not in str(caught.value)


def test_sockets_are_closed(web: FakeWeb) -> None:
    opened: list[socket.socket] = []

    def connect(address: str, port: int, timeout: float) -> socket.socket:
        opened.append(web.connect(address, port, timeout))
        return opened[-1]

    for reply in (always(answer()), always(answer()[:-1]), always(answer(status="404 No")), always(PHOTO)):
        web.serve("images.example.org", reply)
        with contextlib.suppress(BadImage):
            Fetcher(resolve=web.resolve, connect=connect).fetch(HTTP)
    assert [sock.fileno() for sock in opened] == [-1] * 4
