"""A web server for files on a port of 127.0.0.1 that does what real ones do to long downloads."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Served:
    """A file of the server, and how it answers the next requests for it."""

    body: bytes
    etag: str | None = '"1"'
    modified: str | None = None
    ranges: bool = True
    is_conditional: bool = True
    """Whether it looks at If-Range."""
    breaks: list[int] = field(default_factory=list)
    """For each of the next responses: after how many bytes of its body the connection is closed."""
    statuses: list[int] = field(default_factory=list)
    """Of the next responses, with an empty body."""
    redirect: str | None = None
    length: int | None = None
    """What Content-Length says, in place of the truth."""
    chunked: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    range_shift: int = 0
    """A response to a Range begins so many bytes later than was asked for."""
    stall: threading.Event | None = None
    """A broken-off response waits for it before it is closed."""


class Web:
    def __init__(self) -> None:
        self.files: dict[str, Served] = {}
        self.requests: list[tuple[str, str | None, str | None]] = []
        """Path, Range and If-Range of each."""
        web = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                web._answer(self)

            def log_message(self, format: str, *args: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        request.close_connection = True
        asked, condition = request.headers.get("Range"), request.headers.get("If-Range")
        self.requests.append((request.path, asked, condition))
        file = self.files.get(request.path)
        status = 404 if file is None else file.statuses.pop(0) if file.statuses else 0
        if file is None or status:
            request.send_response(status)
            request.send_header("Content-Length", "0")
            request.end_headers()
        elif file.redirect is not None:
            request.send_response(302)
            request.send_header("Location", file.redirect)
            request.send_header("Content-Length", "0")
            request.end_headers()
        else:
            with contextlib.suppress(OSError):  # the client has gone
                self._send(request, file, asked, condition)

    def _send(self, request: BaseHTTPRequestHandler, file: Served, asked: str | None, condition: str | None) -> None:
        start = 0
        match = re.fullmatch(r"bytes=(\d+)-", asked or "")
        if match and file.ranges and (condition in (None, file.etag, file.modified) or not file.is_conditional):
            start = int(match[1]) + file.range_shift
            if start >= len(file.body):
                request.send_response(416)
                request.send_header("Content-Range", f"bytes */{len(file.body)}")
                request.send_header("Content-Length", "0")
                request.end_headers()
                return
            request.send_response(206)
            request.send_header("Content-Range", f"bytes {start}-{len(file.body) - 1}/{len(file.body)}")
        else:
            request.send_response(200)
        body = file.body[start:]
        names = {"ETag": file.etag, "Last-Modified": file.modified, **file.headers}
        for name, value in names.items():
            if value is not None:
                request.send_header(name, value)
        if file.chunked:
            request.send_header("Transfer-Encoding", "chunked")
        else:
            request.send_header("Content-Length", str(len(body) if file.length is None else file.length))
        request.end_headers()
        if file.chunked:
            for begin in range(0, len(body), 1000):
                piece = body[begin : begin + 1000]
                request.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            request.wfile.write(b"0\r\n\r\n")
            return
        stop = file.breaks.pop(0) if file.breaks else len(body)
        request.wfile.write(body[:stop])
        request.wfile.flush()
        if file.stall is not None and stop < len(body):
            file.stall.wait(30)


@contextlib.contextmanager
def serving(**files: Served) -> Iterator[Web]:
    """Names of files: `_` stands for a dot."""
    web = Web()
    web.files = {f"/{name.replace('_', '.')}": file for name, file in files.items()}
    try:
        yield web
    finally:
        web.close()
