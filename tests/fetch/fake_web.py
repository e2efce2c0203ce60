"""A fake internet on loopback: made-up names and addresses, hosts with scripted responses, and a canary.

Every connection of a Fetcher ends on this machine: an address with a Host at that host, any other at the canary, which
stands for all that must not be reached.
"""

from __future__ import annotations

import contextlib
import functools
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from showtell.errors import BadImage
from showtell.fetch.fetch import Fetcher

HTTP, HTTPS = "http://images.example.org", "https://images.example.org"

PUBLIC = "93.184.216.34"
OTHER = "151.101.1.140"
PUBLIC_V6 = "2606:2800:220:1::1"

CERTIFICATES = Path(__file__).parent / "certificates"
SERVER, EXPIRED, AUTHORITY = (CERTIFICATES / f"test-only-{name}.pem" for name in ("server", "expired", "authority"))
PHOTO = (Path(__file__).parents[2] / "examples" / "dog.jpg").read_bytes()

Answer = Callable[[str], Iterable[bytes]]
"""From a request to the parts of the response."""


def answer(
    body: bytes = PHOTO, *headers: str, status: str = "200 OK", kind: str | None = "image/jpeg", length: bool = True
) -> bytes:
    lines = [f"HTTP/1.1 {status}", *headers]
    lines += [f"Content-Type: {kind}"] if kind is not None else []
    lines += [f"Content-Length: {len(body)}"] if length else []
    return "\r\n".join([*lines, "", ""]).encode() + body


def redirect(location: str, status: int = 302) -> bytes:
    return answer(b"gone", status=f"{status} ImageInput", kind="text/html").replace(
        b"\r\n", b"\r\nLocation: " + location.encode() + b"\r\n", 1
    )


def chunks(*parts: bytes) -> bytes:
    head = answer(b"", "Transfer-Encoding: chunked", length=False)
    return head + b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in [*parts, b""])


def always(*pieces: bytes) -> Answer:
    return lambda _: pieces


class Host:
    """Answers every connection as told, on a port of 127.0.0.1; with a certificate, in TLS."""

    def __init__(self, reply: Answer, certificate: Path | None = None) -> None:
        self.requests: list[str] = []
        self._reply, self._tls = reply, None
        if certificate is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(certificate)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                caller, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(caller,), daemon=True).start()

    def _serve(self, caller: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            sock = stack.enter_context(caller)
            if self._tls is not None:
                sock = stack.enter_context(self._tls.wrap_socket(sock, server_side=True))
            request = b""
            while request[:1] in b"G" and not request.endswith(
                b"\r\n\r\n"
            ):  # or the beginning of TLS, if that is not for us
                piece = sock.recv(65536)
                if not piece:
                    return
                request += piece
            self.requests.append(request.decode("latin-1"))
            for piece in self._reply(request.decode("latin-1")):
                sock.sendall(piece)


class Canary:
    """Listens, and counts who came."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.listener.setblocking(False)
        self.port: int = self.listener.getsockname()[1]
        self._visits = 0

    @property
    def visits(self) -> int:
        with contextlib.suppress(BlockingIOError):
            while True:
                self.listener.accept()[0].close()
                self._visits += 1
        return self._visits


class FakeWeb:
    def __init__(self) -> None:
        self.names: dict[str, list[list[str] | Exception]] = {}
        """What a name server says of a name: each answer once, the last for ever."""
        self.hosts: dict[tuple[str, int], Host] = {}
        self.canary = Canary()
        self._opened: list[Host] = []
        self.lookups: list[str] = []
        self.connected: list[str] = []

    def serve(self, name: str, reply: Answer | bytes, address: str = PUBLIC, tls: Path | None = None) -> Host:
        """A host at that name and address; at port 80 or, with a certificate, 443."""
        self.names[name] = [[address]]
        host = Host(always(reply) if isinstance(reply, bytes) else reply, tls)
        self.hosts[address, 80 if tls is None else 443] = host
        self._opened.append(host)
        return host

    def resolve(self, host: str, port: int) -> list[str]:
        self.lookups.append(host)
        if host not in self.names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        answers = self.names[host]
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(found, Exception):
            raise found
        return found

    def connect(self, address: str, port: int, timeout: float) -> socket.socket:
        self.connected.append(address)
        host = self.hosts.get((address, port), self.canary)
        sock = socket.socket()
        sock.settimeout(timeout)
        sock.connect(("127.0.0.1", host.port))
        if host is self.canary:
            sock.shutdown(socket.SHUT_RDWR)  # it was heard; whoever connected need not wait for an answer
        return sock

    def fetcher(self, *, timeout: float = 600, **changes: object) -> Fetcher:
        how = functools.partial(Fetcher, resolve=self.resolve, connect=self.connect, timeout=timeout)
        return how(ssl_context=ssl.create_default_context(cafile=AUTHORITY), **changes)

    def close(self) -> None:
        self.canary.listener.close()
        for host in self._opened:
            host.close()


@contextlib.contextmanager
def fake_web() -> Iterator[FakeWeb]:
    web = FakeWeb()
    try:
        yield web
    finally:
        web.close()


def code(fetch: Callable[[], object]) -> str:
    """That of the BadImage which it raises."""
    with pytest.raises(BadImage) as caught:
        fetch()
    assert "\n" not in str(caught.value)
    return caught.value.code
