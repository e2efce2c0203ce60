"""A whole server on a real socket, in a thread of the test's process, with a quick captioner."""

import asyncio
import contextlib
import io
import socket
import sys
import threading
from typing import Any

import httpx
import pytest
from PIL import Image
from tests.clocks import HANG_SECONDS, SkippableLoop, until
from tests.serve.doubles import QuickCaptioner

from showtell.serve.limits import Limits
from showtell.serve.server import Application, Server, ServerConfig

buffer = io.BytesIO()
Image.new("RGB", (32, 32), (255, 0, 0)).save(buffer, "PNG")
RED = buffer.getvalue()

HEAD = b"POST /v1/caption HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
OTHER_ADDRESSES = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere 127.0.0.1 alone is loopback")


HOUR = 3600.0
PATIENT: dict[str, Any] = {
    "batch_delay": 0,
    "header_timeout": HOUR,
    "body_timeout": HOUR,
    "request_timeout": 2 * HOUR,
    "shutdown_timeout": HOUR,
}
"""Limits with which no timeout is reached before a test skips to it; a server that waits in vain hangs."""


class Running:
    """A server in a thread of this process, on a loop whose time can be skipped."""

    def __init__(self, config: ServerConfig | None = None, **limits: Any) -> None:
        """`limits` replace those of PATIENT."""
        self.captioner = QuickCaptioner()
        self.application = Application(
            self.captioner, Limits(**{**PATIENT, **limits}), config or ServerConfig(page=False)
        )
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.server = Server(self.application)
        self.loop = SkippableLoop()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        """As `Server.run`, which `tests/serve/test_stopping.py` covers in a process of its own."""
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_until_complete(self.server.serve([self._listener]))
        finally:
            self.loop.close()

    @property
    def connections(self) -> set[Any]:
        return self.server.server_state.connections

    def connect(self, data: bytes = b"") -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.port))
        client.settimeout(HANG_SECONDS)
        client.sendall(data)
        return client

    def accepted(self, client: socket.socket) -> Any:
        """The server's protocol of a connection."""
        until(lambda: any(connection.client == client.getsockname() for connection in list(self.connections)))
        return next(connection for connection in self.connections if connection.client == client.getsockname())

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        # `verify`: httpx would load certificates for each request.
        return httpx.request(method, self.url + path, timeout=HANG_SECONDS, verify=False, **options)

    def post(self) -> httpx.Response:
        return self.request("POST", "/v1/caption", files={"images": RED})

    def get(self, path: str) -> httpx.Response:
        return self.request("GET", path)

    def stop(self) -> None:
        self.captioner.go.set()
        self.server.should_exit = True
        self.loop.hurry(self.thread)
        assert self.application.close(HANG_SECONDS)


def rest_of(client: socket.socket) -> bytes:
    """All bytes until the server closes; a reset is an end, too."""
    received = b""
    with client, contextlib.suppress(ConnectionError):
        while data := client.recv(65536):
            received += data
    return received
