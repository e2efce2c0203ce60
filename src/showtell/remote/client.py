"""Objects by URL, through fsspec: reading one, or a range of its bytes, and its version.

    url -> client of its scheme, one per process -> request, again where it failed for a moment -> bytes, BadImage

A client holds connections and credentials and is used by all loader threads. fsspec's own cache makes one per thread,
each with a new TLS connection and a search for credentials, which on cloud machines is a request as well.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from showtell.backoff import Backoff
from showtell.errors import BadConfig, MissingExtra, ShowtellError
from showtell.remote.client_errors import SAME_AS, is_empty_range, is_transient, translated
from showtell.urls import path_of_url, scheme_of

T = TypeVar("T")

_OPTIONS: Final[dict[str, dict[str, Any]]] = {
    # No concurrency within a photo: s3fs would first ask for its size.
    "s3": {"max_concurrency": 1, "config_kwargs": {"retries": {"total_max_attempts": 1}, "max_pool_connections": 64}},
    "gs": {},
}
_CLIENTS: Final = {"s3": "s3fs", "gs": "gcsfs"}
_VERSION_FIELDS: Final = (
    *("ETag", "etag", "generation", "md5Hash", "content_md5"),
    *("LastModified", "Last-Modified", "last_modified", "mtime", "created"),
    *("blob_id", "xet_hash"),  # of the Hugging Face hub
)

_filesystems: dict[tuple[str, int], Any] = {}
_lock = threading.Lock()
backoff = Backoff()


@dataclass(frozen=True)
class ObjectStatus:
    """What tells a version of an object from another."""

    size: int
    version: tuple[str, ...]


def filesystem(scheme: str) -> Any:
    """fsspec's client. Raises MissingExtra, and BadConfig where its settings are wrong."""
    scheme = SAME_AS.get(scheme, scheme)
    key = (scheme, os.getpid())  # connections do not survive a fork
    with _lock:
        if key not in _filesystems:
            _filesystems[key] = _new_filesystem(scheme)
        return _filesystems[key]


def call(url: str, request: Callable[[Any, str], T]) -> T:
    """`request(client, path)`, again where it failed for a moment. Raises BadImage; BadConfig without credentials."""
    scheme, path = scheme_of(url), path_of_url(url)
    client = filesystem(scheme)
    # gcsfs repeats its requests itself, 6 times with backoff and jitter.
    tries = backoff if SAME_AS.get(scheme, scheme) != "gs" else Backoff(1)
    try:
        return tries.call(lambda: request(client, path), is_transient)
    except ShowtellError:
        raise
    except Exception as error:
        place = url.partition("://")[2].partition("/")[0].rpartition("@")[2]
        raise translated(error, scheme, place, max(tries.attempts, 6)) from error


def read_range(url: str, start: int, end: int) -> bytes:
    """The bytes from `start` to `end`, fewer where the object ends. Raises as `call`."""
    if end <= start:  # no range of HTTP: servers give the whole object
        return b""

    def request(client: Any, path: str) -> bytes:
        try:
            data: bytes = client.cat_file(path, start=start, end=end)
        except Exception as error:
            if is_empty_range(error):
                return b""
            raise
        return data

    return call(url, request)


def status_of(url: str) -> ObjectStatus | None:
    """Size and version; None for a folder. Raises as `call`."""
    info: dict[str, Any] = call(url, lambda client, path: client.info(path))
    if info.get("type") == "directory":
        return None
    return ObjectStatus(int(info["size"]), tuple(str(info[name]) for name in _VERSION_FIELDS if info.get(name)))


def _new_filesystem(scheme: str) -> Any:
    try:
        import fsspec
    except ModuleNotFoundError as error:
        raise MissingExtra("fsspec", "cloud") from error
    # Without a handler of ours, Python prints their tracebacks of requests that are made again.
    for name in ("gcsfs", "s3fs", "fsspec", "asyncio"):
        logging.getLogger(name).addHandler(logging.NullHandler())
    # Else gcsfs asks a second service, by gRPC, about each bucket before it reads of it.
    os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    options = {"use_listings_cache": False, "skip_instance_cache": True, **_OPTIONS.get(scheme, {})}
    if scheme in ("http", "https"):
        options["headers"] = {"Accept-Encoding": "identity"}  # ranges of what is compressed on the way mean nothing
    try:
        client = fsspec.filesystem(scheme, **options)
    except ImportError as error:
        if scheme in ("s3", "gs", "http", "https"):
            raise MissingExtra(_CLIENTS.get(scheme, "aiohttp"), "cloud") from error
        raise BadConfig(f"found {scheme}://, which needs another package: {' '.join(str(error).split())}") from error
    except Exception as error:
        raise translated(error, scheme, "", 1) from error
    if scheme == "s3":
        client.retries = 1
    return client
