"""A whole server on a real socket, in a thread of the test's process, with a quick captioner."""

import contextlib
import io
import socket
import sys
import threading
import time
from collections.abc import Callable

import httpx
import pytest
from PIL import Image
from tests.serve.doubles import QuickCaptioner

from showtell.serve.limits import Limits
from showtell.serve.server import Access, Server, Site

buffer = io.BytesIO()
Image.new("RGB", (32, 32), (255, 0, 0)).save(buffer, "PNG")
RED = buffer.getvalue()

HEAD = b"POST /v1/caption HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
OTHER_ADDRESSES = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere 127.0.0.1 alone is loopback")


class Running:
    """A server in a thread of this process."""

    def __init__(self, limits: Limits, access: Access | None = None) -> None:
        self.captioner = QuickCaptioner()
        self.site = Site(self.captioner, limits, access or Access(page=False))
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.server = Server(self.site)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [listener]})
        self.thread.start()

    def connect(self, data: bytes = b"") -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.port))
        client.settimeout(20)
        client.sendall(data)
        return client

    def post(self) -> httpx.Response:
        return httpx.post(f"{self.url}/v1/caption", files={"images": RED}, timeout=60)

    def stop(self) -> None:
        self.captioner.go.set()
        self.server.should_exit = True
        self.thread.join(30)
        assert not self.thread.is_alive() and self.site.close(10)


def rest_of(client: socket.socket) -> bytes:
    """Until the server closes; a reset is an end, too."""
    found = b""
    with client, contextlib.suppress(ConnectionError):
        while data := client.recv(65536):
            found += data
    return found


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.005)
