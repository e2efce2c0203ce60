"""Hosts with bad responses: other than announced, too large, without end, or from another host."""

from __future__ import annotations

import gzip
import itertools
from collections.abc import Iterator

import pytest
from tests.fetch.fake_web import (
    EXPIRED,
    HTTP,
    HTTPS,
    OTHER,
    PHOTO,
    PUBLIC,
    SERVER,
    FakeWeb,
    answer,
    chunks,
    code,
    fake_web,
    redirect,
)

from showtell.errors import BadImage
from showtell.fetch.fetch import MAX_INFORMATIONAL_RESPONSES, MAX_REDIRECTS, Fetcher


@pytest.fixture
def web() -> Iterator[FakeWeb]:
    with fake_web() as web:
        yield web


BAD: dict[str, tuple[str, bytes]] = {
    "not found": ("url_failed", answer(status="404 Not ImageInput")),
    "forbidden": ("url_failed", answer(status="403 Forbidden")),
    "broken": ("url_failed", answer(status="500 Oh")),
    "no content": ("url_failed", answer(b"", status="204 No Content")),
    "a part": ("url_failed", answer(status="206 Partial Content")),
    "not modified": ("url_failed", answer(b"", status="304 Not Modified")),
    "choices": ("url_failed", redirect("/", 300)),
    "proxy": ("url_failed", redirect("http://127.0.0.1/", 305)),
    "nowhere": ("url_failed", answer(status="302 ImageInput")),
    "an empty location": ("url_failed", redirect(" ")),
    "in a circle": ("url_failed", redirect("/")),
    "a page": ("not_an_image", answer(b"<html>", kind="text/html; charset=utf-8")),
    "json": ("not_an_image", answer(b"{}", kind="application/json")),
    "a film": ("not_an_image", answer(b"\0\0\0\x18ftypisom" + bytes(100), kind="video/mp4")),
    "a document": ("not_an_image", answer(b"%PDF-1.4 ", kind="application/pdf")),
    "a text": ("not_an_image", answer(b"password=1234", kind="text/image/png")),
    "no bytes": ("empty", answer(b"")),
    "no bytes without a length": ("empty", answer(b"", length=False)),
    "no bytes in chunks": ("empty", chunks()),
    "less than it says": ("truncated", answer()[:-1]),
    "nothing of what it says": ("truncated", answer()[: -len(PHOTO)]),
    "half a chunk": ("truncated", chunks(PHOTO)[:-1000]),
    "no last chunk": ("truncated", chunks(PHOTO)[: -len(b"0\r\n\r\n")]),
    "chunks that are none": ("truncated", answer(b"zz\r\n", "Transfer-Encoding: chunked", length=False)),
    "more than the limit": ("too_large", answer(bytes(200_001))),
    "more than the limit, it says": ("too_large", answer(b"", "Content-Length: 99999999999", length=False)),
    "more than the limit without a length": ("too_large", answer(bytes(200_001), length=False)),
    "more than the limit in chunks": ("too_large", chunks(*[bytes(50_000)] * 5)),
    "a negative chunk": (
        "too_large",
        answer(b"-1\r\n" + bytes(3_000_000), "Transfer-Encoding: chunked", length=False),
    ),
    "a chunk of -3 bytes": (
        "url_failed",
        answer(b"-3\r\nabc\r\n0\r\n\r\n", "Transfer-Encoding: chunked", length=False),
    ),
    "a chunk of -1 byte": ("truncated", answer(b"-1\r\na\r\n0\r\n\r\n", "Transfer-Encoding: chunked", length=False)),
    "another protocol from here on": ("url_failed", b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n" + answer()),
    "only announced": ("url_failed", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "announced without end": ("url_failed", b"HTTP/1.1 102 Processing\r\n\r\n" * 100 + answer()),
    "a bomb": ("url_failed", answer(gzip.compress(bytes(10**6)), "Content-Encoding: gzip")),
    "deflated": ("url_failed", answer(PHOTO, "Content-Encoding: identity, deflate")),
    "brotli": ("url_failed", answer(PHOTO, "Content-Encoding: br")),
    "packed on the way": ("url_failed", answer(PHOTO, "Transfer-Encoding: gzip, chunked", length=False)),
    "nothing": ("url_failed", b""),
    "half a status": ("url_failed", b"HTTP/1.1 20"),
    "HTTP/0.9": ("url_failed", PHOTO),
    "another protocol": ("url_failed", b"SSH-2.0-OpenSSH_9.2\r\n"),
    "another HTTP": ("url_failed", b"HTTP/3 200 OK\r\n\r\n"),
    "a status beyond": ("url_failed", b"HTTP/1.1 9999 OK\r\n\r\n"),
    "a long header": ("url_failed", answer(PHOTO, "A: " + "a" * 70_000)),
    "many headers": ("url_failed", answer(PHOTO, *["A: a"] * 200)),
}


@pytest.mark.parametrize(("expected", "reply"), BAD.values(), ids=BAD)
def test_no_photo(expected: str, reply: bytes, web: FakeWeb) -> None:
    web.serve("images.example.org", reply)
    assert code(lambda: web.fetcher(max_bytes=200_000).fetch(HTTP)) == expected


ANNOUNCED = {
    "go on": b"HTTP/1.1 100 Continue\r\n\r\n",
    "it takes time": b"HTTP/1.1 102 Processing\r\n\r\n" * MAX_INFORMATIONAL_RESPONSES,
    "hints": b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nContent-Length: 9\r\n\r\n",
    "what is not known yet": b"HTTP/1.1 199 New\r\nTransfer-Encoding: chunked\r\n\r\n",
    "several": b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n",
}


@pytest.mark.parametrize("before", ANNOUNCED.values(), ids=ANNOUNCED)
@pytest.mark.parametrize("reply", [answer(), answer(length=False), chunks(PHOTO)], ids=["length", "end", "chunks"])
def test_an_answer_may_be_announced(before: bytes, reply: bytes, web: FakeWeb) -> None:
    web.serve("images.example.org", before + reply)
    assert web.fetcher().fetch(HTTP) == PHOTO


def test_a_redirect_may_be_announced(web: FakeWeb) -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\n\r\n"
    web.serve("images.example.org", hints + redirect("http://other.example.net/"))
    web.serve("other.example.net", hints + answer(), OTHER)
    assert web.fetcher().fetch(HTTP) == PHOTO


def test_the_limit_itself_is_allowed(web: FakeWeb) -> None:
    for reply in (answer(bytes(2000)), answer(bytes(2000), length=False), chunks(*[b"\0"] * 2000)):
        web.serve("images.example.org", reply)
        assert web.fetcher(max_bytes=2000).fetch(HTTP) == bytes(2000)
        assert code(lambda: web.fetcher(max_bytes=1999).fetch(HTTP)) == "too_large"


ENDLESS: dict[str, bytes] = {
    "body": b"",
    "told to go on": b"HTTP/1.1 100 Continue\r\n\r\n",
    "chunks": b"1000\r\n" + bytes(0x1000) + b"\r\n",
    "trailer": b"A: a\r\n",
}


@pytest.mark.parametrize("what", ENDLESS)
def test_without_end(what: str, web: FakeWeb) -> None:
    begin = {
        "body": answer(b"", length=False),
        "told to go on": b"",
        "chunks": chunks()[: -len(b"0\r\n\r\n")],
        "trailer": chunks(b"x")[:-2],
    }[what]
    piece = 1000 * (ENDLESS[what] or b"\xff" * 64)
    web.serve("images.example.org", lambda _: itertools.chain([begin], itertools.repeat(piece)))
    assert code(lambda: web.fetcher(max_bytes=100_000).fetch(HTTP)) == "too_large"


def test_no_more_redirects_than_allowed(web: FakeWeb) -> None:
    server = web.serve("images.example.org", redirect("/"))
    with pytest.raises(BadImage, match=f"url_failed: found more than {MAX_REDIRECTS} redirects"):
        web.fetcher().fetch(HTTP)
    assert len(server.requests) == 1 + MAX_REDIRECTS


@pytest.mark.parametrize("name", ["images.example.org", "other.example.net"])
def test_certificates(name: str, web: FakeWeb) -> None:
    web.serve(name, answer(), tls=SERVER)
    assert web.fetcher().fetch(f"https://{name}/") == PHOTO
    no_authority = Fetcher(resolve=web.resolve, connect=web.connect)
    assert code(lambda: no_authority.fetch(f"https://{name}/")) == "url_failed"
    web.serve(name, answer(), tls=EXPIRED)
    with pytest.raises(BadImage, match="url_failed: found a certificate that is not valid: "):
        web.fetcher().fetch(f"https://{name}/")


@pytest.mark.parametrize("host", ["another.example.org", OTHER])
def test_a_certificate_of_another_name(host: str, web: FakeWeb) -> None:
    server = web.serve(host, answer(), OTHER, SERVER)
    with pytest.raises(BadImage, match="url_failed: found a certificate that is not valid: "):
        web.fetcher().fetch(f"https://{host}/")
    assert server.requests == []


def test_no_tls_where_there_should_be(web: FakeWeb) -> None:
    web.hosts[PUBLIC, 443] = web.serve("images.example.org", answer())
    with pytest.raises(BadImage, match="url_failed: found no connection"):
        web.fetcher().fetch(HTTPS)


def test_nothing_of_an_answer_is_repeated(web: FakeWeb) -> None:
    for kind, status in (("secret/secret", "200 secret"), ("text/html", "500 secret")):
        web.serve("images.example.org", answer(b"secret", "Secret: secret", kind=kind, status=status))
        with pytest.raises(BadImage) as caught:
            web.fetcher().fetch(f"{HTTP}/secret")
        assert "secret" not in str(caught.value)
