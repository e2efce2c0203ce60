"""Containers on web servers and in Google's storage, by small servers of the test's own."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import parse_qs, unquote

import pytest
from tests.bulk.test_remote_sources import shard
from tests.bulk.test_sources import png, red
from tests.remote.object_server import Faults, wsgi_server
from tests.skips import PACKAGES

pytest.importorskip("fsspec", reason=PACKAGES)
pytest.importorskip("werkzeug", reason=PACKAGES)

from showtell.backoff import Backoff
from showtell.bulk.refusal import run_header
from showtell.bulk.sources import find_inputs
from showtell.errors import MissingExtra
from showtell.remote import client, http_ranges

FILES = {
    "shard.tar": shard({f"{n:03}.png": png(n) for n in range(20)}),
    "list.csv": b"image\na.png\nsub/b c.png\nhttps://example.org/c.png\n/etc/d.png\n",
    "empty.csv": b"",
}


class Web:
    """Files, with or without ranges."""

    def __init__(self) -> None:
        self.has_ranges = True
        self.files = dict(FILES)
        self.queries: list[str] = []

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        self.queries.append(environ["QUERY_STRING"])
        data = self.files.get(environ["PATH_INFO"].strip("/"))
        if environ["PATH_INFO"] == "/secret.tar":
            start_response("403 Forbidden", [("Content-Length", "0")])
            return []
        if data is None:
            start_response("404 Not Found", [("Content-Length", "0")])
            return []
        return send(environ, start_response, data, self.has_ranges)


def send(environ: dict[str, Any], start_response: Callable[..., Any], data: bytes, has_ranges: bool) -> Iterable[bytes]:
    wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", environ.get("HTTP_RANGE", "")) if has_ranges else None
    start, end = (int(wanted[1]), min(int(wanted[2]) + 1, len(data))) if wanted else (0, len(data))
    status, headers = "200 OK", [("ETag", f'"{hash(data)}"')]
    if wanted:
        status, place = ("206 Partial", f"{start}-{end - 1}") if start < end else ("416 Range", "*")
        headers.append(("Content-Range", f"bytes {place}/{len(data)}"))
    start_response(status, [*headers, ("Content-Length", str(max(0, end - start)))])
    return [data[start:end]]


@pytest.fixture(autouse=True)
def _client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "backoff", Backoff(sleep=lambda seconds: None))


@pytest.fixture
def web() -> Iterator[tuple[str, Web, Faults]]:
    site = Web()
    faults = Faults(site)
    with wsgi_server(faults) as url:
        yield url, site, faults


def found(name: str) -> list[tuple[str, object]]:
    return [(image.path, red(image)) for image in find_inputs([name])]


def test_a_shard_of_a_web_server_with_faults(web: tuple[str, Web, Faults]) -> None:
    url, site, faults = web
    rows = [(f"{url}/shard.tar/{n:03}.png", n) for n in range(20)]
    for seed in range(5):
        faults.reset(every=3, seed=seed)
        assert found(f"{url}/shard.tar?signature=secret") == rows
    assert sum(faults.failed.values()) > 0 and set(site.queries) == {"signature=secret"}


def test_a_server_without_ranges(web: tuple[str, Web, Faults], monkeypatch: pytest.MonkeyPatch) -> None:
    url, site, faults = web
    site.has_ranges = False
    assert [value for _, value in found(f"{url}/shard.tar")] == list(range(20))
    assert faults.requests.total() == 2
    monkeypatch.setattr(http_ranges, "WHOLE", 1000)
    assert found(f"{url}/shard.tar") == [(f"{url}/shard.tar", "too_large")]


def test_cells_of_a_table_on_a_web_server(web: tuple[str, Web, Faults]) -> None:
    url, *_ = web
    images = list(find_inputs([f"{url}/list.csv?signature=secret"]))
    assert [(image.path, image.file, image.error and image.error.code) for image in images] == [
        ("a.png", f"{url}/a.png", None),
        ("sub/b c.png", f"{url}/sub/b%20c.png", None),
        ("https://example.org/c.png", None, None),
        ("/etc/d.png", None, "url_refused"),
    ]


def test_the_fetcher_gets_the_url_and_not_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    from showtell.cli.urls import with_urls
    from showtell.core.sources import ImageInput

    monkeypatch.setattr("showtell.fetch.fetch.Fetcher.fetch", lambda self, url: url.encode())
    images = with_urls([ImageInput("a.png", file="https://example.org/a.png"), ImageInput("https://example.org/b.png")])
    assert [image.read and image.read() for image in images] == [
        b"https://example.org/a.png",
        b"https://example.org/b.png",
    ]


def test_what_is_not_there_is_one_sentence_without_the_query(web: tuple[str, Web, Faults]) -> None:
    url, *_ = web
    host = url.removeprefix("http://")
    errors = {
        "gone.tar": "missing: no such object",
        "secret.tar": f"unreadable: access denied by {host}; expected credentials that may list and read it; ask its "
        "owner",
        "empty.csv": "empty: a table without a header; expected a column image",
    }
    for name, message in errors.items():
        image, *others = find_inputs([f"{url}/{name}?signature=secret"])
        assert (image.path, str(image.error), others) == (f"{url}/{name}", message, [])


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_filesystems", {})
    monkeypatch.setitem(__import__("sys").modules, "fsspec", None)
    with pytest.raises(MissingExtra, match=r"this needs fsspec, which is not installed; .*cloud"):
        next(find_inputs(["s3://bucket/photos/"]))


def test_a_ledger_has_no_signature_and_the_next_one_goes_on() -> None:
    def inputs(*names: str) -> Any:
        return run_header("jsonl", "0", [["model"]], {}, names)["inputs"]

    first = inputs("https://example.org/shard.tar?signature=secret", "a.jpg")
    assert first["first"] == ["https://example.org/shard.tar", "a.jpg"]
    assert first == inputs("https://example.org/shard.tar?signature=other", "a.jpg")
    assert first != inputs("https://example.org/another.tar?signature=other", "a.jpg")


class GoogleStorage:
    """The three calls that are made, of a bucket `b`; pages of two names."""

    def __init__(self) -> None:
        self.objects = {f"photos/{n}.png": png(n) for n in range(5)} | {"shard.tar": FILES["shard.tar"]}
        self.pages = 0

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        query = {key: values[0] for key, values in parse_qs(environ["QUERY_STRING"]).items()}
        raw = environ.get("RAW_URI", environ["PATH_INFO"]).partition("?")[0]
        name = unquote(raw.partition("/b/b/o")[2]).strip("/")
        if not name:
            return self._json(start_response, self._page(query))
        if name not in self.objects:
            start_response("404 Not Found", [("Content-Length", "0")])
            return []
        data = self.objects[name]
        if query.get("alt") == "media":
            return send(environ, start_response, data, True)
        return self._json(start_response, {"name": name, "size": str(len(data)), "generation": "1", "bucket": "b"})

    def _page(self, query: dict[str, str]) -> dict[str, Any]:
        self.pages += 1
        names = sorted(name for name in self.objects if name.startswith(query.get("prefix", "")))
        start = int(query.get("pageToken", "0"))
        items = [{"name": name, "size": str(len(self.objects[name]))} for name in names[start : start + 2]]
        more = {"nextPageToken": str(start + 2)} if start + 2 < len(names) else {}
        return {"kind": "storage#objects", "items": items, **more}

    @staticmethod
    def _json(start_response: Callable[..., Any], value: Any) -> Iterable[bytes]:
        body = json.dumps(value).encode()
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]


def test_googles_storage(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gcsfs", reason=PACKAGES)
    import fsspec.config

    storage = GoogleStorage()
    monkeypatch.setattr(client, "_filesystems", {})
    monkeypatch.setitem(fsspec.config.conf, "gs", {"token": "anon"})
    with wsgi_server(storage) as url:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
        assert found("gs://b/photos/") == [(f"gs://b/photos/{n}.png", n) for n in range(5)]
        assert storage.pages == 3
        assert found("gs://b/shard.tar") == [(f"gs://b/shard.tar/{n:03}.png", n) for n in range(20)]
        assert found("gs://b/gone.png") == [("gs://b/gone.png", "missing")]
