"""S3 in this process, by moto, with faults: a throttled request, an error of the server, a body that is cut."""

from __future__ import annotations

import contextlib
import random
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from showtell.backoff import Backoff
from showtell.remote import client, range_file

FAULTS = ("503", "500", "cut")
BUCKET = "bucket"


class Faults:
    """WSGI middleware. Counts requests, and lets one in `every` fail, chosen by `seed`; 0: none."""

    def __init__(self, app: Callable[..., Iterable[bytes]], every: int = 0, seed: int = 0) -> None:
        self.app, self.every, self.seed = app, every, seed
        self.requests: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.healthy: int | None = None
        """Requests after which all fail; None: no such end."""
        self.refusal = ""
        """S3's code of an error with the status 403, in place of every response."""
        self._random = random.Random(seed)
        self._lock = threading.Lock()

    def reset(self, every: int = 0, seed: int = 0, refusal: str = "", healthy: int | None = None) -> None:
        self.every, self._random, self.refusal, self.healthy = every, random.Random(seed), refusal, healthy
        self.requests, self.failed = Counter(), Counter()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        with self._lock:
            method = environ["REQUEST_METHOD"]
            is_list = "list-type" in environ.get("QUERY_STRING", "")
            self.requests["LIST" if is_list else method] += 1
            fault = self._random.choice(FAULTS) if self.every and self._random.randrange(self.every) == 0 else None
            if self.healthy is not None and self.requests.total() > self.healthy:
                fault = "503"
            if fault is not None:
                self.failed[fault] += 1
        if self.refusal:
            fault = "403"
        if fault == "cut":
            return self._cut(environ, start_response)
        if fault is not None:
            code = self.refusal or ("SlowDown" if fault == "503" else "InternalError")
            body = f"<Error><Code>{code}</Code><Message>please wait</Message></Error>".encode()
            start_response(f"{fault} {code}", [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
            return [] if method == "HEAD" else [body]
        return self.app(environ, start_response)

    def _cut(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        """Half of the body; the connection ends before Content-Length does."""
        body = b"".join(self.app(environ, start_response))
        yield body[: len(body) // 2]
        raise ConnectionAbortedError


class ObjectServer:
    """An S3 with one bucket."""

    def __init__(self, url: str, faults: Faults) -> None:
        import boto3

        self.url, self.faults = url, faults
        keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing", "region_name": "us-east-1"}
        self.client = boto3.client("s3", endpoint_url=url, **keys)
        self.client.create_bucket(Bucket=BUCKET)

    def put(self, key: str, data: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=key, Body=data)

    def environment(self) -> dict[str, str]:
        """What a user sets."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }


def use(server: ObjectServer, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    """In this test showtell's client is that of this server, without earlier faults; it waits for nothing between its
    requests, and reads blocks of so many bytes."""
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(client, "_filesystems", {})
    monkeypatch.setattr(client, "backoff", Backoff(sleep=lambda seconds: None))
    monkeypatch.setattr(range_file.RangeFile.__init__, "__defaults__", (block,))
    server.faults.reset()


@contextlib.contextmanager
def object_server() -> Iterator[ObjectServer]:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

    faults = Faults(DomainDispatcherApplication(create_backend_app))
    with wsgi_server(faults) as url:
        # All servers of a process have the same objects.
        urllib.request.urlopen(urllib.request.Request(f"{url}/moto-api/reset", method="POST")).close()
        yield ObjectServer(url, faults)


@contextlib.contextmanager
def wsgi_server(app: Callable[..., Iterable[bytes]]) -> Iterator[str]:
    """The URL of a server with that application, on a free port."""
    import logging

    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def log(self, *arguments: Any) -> None:
            pass

    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
