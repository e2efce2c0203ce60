"""Download an image from an untrusted URL, protected against server-side request forgery (SSRF).

    URL -> parse -> resolve, once -> check every address -> connect to one of them -> check headers -> body
      ^                                                                                    |
      `----------------------------- redirect, at most MAX_REDIRECTS ----------------------'

The request is made from this machine's place in the network, so connections are made by IP address and never by name:
a hostile name server would change its answer between the check and a second lookup (DNS rebinding). No cookies, no
credentials, no proxy from the environment.

Rejected: `urllib.request`, which takes proxies and `file:` from its environment and follows redirects by itself; and
larger HTTP clients, whose connection pools resolve names where a check does not reach.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, cast

from showtell import __version__
from showtell.errors import BadImage
from showtell.fetch.addresses import is_public
from showtell.fetch.deadline import Clock, Deadline
from showtell.fetch.deadline_socket import DeadlineSocket
from showtell.fetch.resolver import Resolve, Resolver
from showtell.fetch.url import ParsedUrl, is_allowed_host, parse_allowed_hosts, parse_url
from showtell.image_formats import ACCEPT_HEADER, format_of_bytes

Connect = Callable[[str, int, float], socket.socket]
"""From an IP address, a port and a timeout in seconds to a connected socket. Raises OSError."""

MAX_BYTES: Final = 64 * 1024 * 1024
"""Of a response body; the same as of an image file."""
TIMEOUT: Final = 30.0
"""Seconds for a whole fetch."""
MAX_REDIRECTS: Final = 5
MAX_ADDRESSES_TRIED: Final = 4
"""Of one host; otherwise one request could be used to scan a hundred addresses."""
MAX_INFORMATIONAL_RESPONSES: Final = 8
"""With a status of 102 to 199, such as 103 Early Hints, before the final response."""

_REQUEST_HEADERS: Final = {
    "Accept": ACCEPT_HEADER,
    "Accept-Encoding": "identity",
    "User-Agent": f"showtell/{__version__}",
    "Connection": "close",
}
_REDIRECT_STATUSES: Final = (301, 302, 303, 307, 308)
_CONTENT_TYPES: Final = re.compile(r"(image/.*|(application|binary)/octet-stream)?", re.IGNORECASE)
_FRAMING_BYTES: Final = 1024 * 1024
_CHUNK_BYTES: Final = 64 * 1024


def resolve(host: str, port: int) -> list[str]:
    """All IP addresses of a host, from the system's resolver. Raises OSError when there is none."""
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in infos))


def connect(address: str, port: int, timeout: float) -> socket.socket:
    """A TCP connection to an IP address; never resolves a name.

    Raises OSError, and BadImage `url_refused` for a public address of this machine's own.
    """
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout)
        sock.connect((address, port))
        if sock.getsockname()[0] == address:
            raise BadImage("url_refused", "found a host that is this machine")
    except BaseException:
        sock.close()
        raise
    return sock


class Fetcher:
    """Downloads images from public hosts. Thread-safe. Pickled, it is its arguments; a process that gets several makes
    one of them, since each loads the certificates of the machine."""

    def __init__(
        self,
        *,
        allowed_hosts: Sequence[str] | None = None,
        max_bytes: int = MAX_BYTES,
        timeout: float = TIMEOUT,
        resolve: Resolve = resolve,
        connect: Connect = connect,
        ssl_context: ssl.SSLContext | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        """`allowed_hosts`: names, IP addresses or `*.example.org`, also for redirects; None: any public host.

        `max_bytes`: of a body. `timeout`: seconds for a whole fetch, DNS, redirects and body included. `resolve`,
        `connect`, `ssl_context` and `clock` replace the system's. Raises BadConfig for malformed `allowed_hosts`.
        """
        hosts = None if allowed_hosts is None else tuple(allowed_hosts)
        self._arguments = hosts, max_bytes, timeout, resolve, connect, ssl_context, clock
        self.allowed_hosts = None if allowed_hosts is None else parse_allowed_hosts(allowed_hosts)
        self.max_bytes, self.timeout, self._clock = max_bytes, timeout, clock
        self._resolver, self._connect = Resolver(resolve), connect
        self._ssl_context = ssl.create_default_context() if ssl_context is None else ssl_context

    def __reduce__(self) -> tuple[Any, ...]:
        return _fetcher, self._arguments

    def fetch(self, url: str) -> bytes:
        """The body of the response; `load_image` checks whether it is an image.

        Raises BadImage for whatever is wrong with the URL or its host: `url_refused` before a connection that is not
        allowed, `url_failed` without a complete HTTP response in time, `too_large`, `not_an_image`, `empty` or
        `truncated`.
        """
        deadline = Deadline(self.timeout, self._clock)
        parsed_url = parse_url(url)
        result = self._request(parsed_url, deadline)
        for _ in range(MAX_REDIRECTS):
            if isinstance(result, bytes):
                break
            with _redirect_errors():
                parsed_url = parsed_url.join(result)
                result = self._request(parsed_url, deadline)
        if isinstance(result, str):
            raise BadImage("url_failed", f"found more than {MAX_REDIRECTS} redirects")
        return result

    def _request(self, url: ParsedUrl, deadline: Deadline) -> bytes | str:
        """The body, or the Location of a redirect."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(_translated_errors(self.timeout))
            addresses = self._public_addresses(url, deadline)
            sock = stack.enter_context(self._connect_first(addresses, url.port, deadline))
            if url.scheme == "https":
                sock.settimeout(deadline.remaining())
                sock = stack.enter_context(self._ssl_context.wrap_socket(sock, server_hostname=url.host))
            # Twice: the size lines of tiny chunks take more bytes than their data.
            deadline_socket = DeadlineSocket(sock, deadline, 2 * self.max_bytes + _FRAMING_BYTES)
            connection = _HTTPConnection(url, deadline_socket)
            connection.request("GET", url.target, headers=_REQUEST_HEADERS)
            response = connection.getresponse()
            if response.status in _REDIRECT_STATUSES:
                return _redirect_location(response)
            _check_response(response)
            return self._read_body(response, _has_image_type(response))

    def _public_addresses(self, url: ParsedUrl, deadline: Deadline) -> list[str]:
        """All IP addresses of the host. Raises BadImage unless every one is public."""
        if self.allowed_hosts is not None and not is_allowed_host(url.host, self.allowed_hosts):
            raise BadImage("url_refused", "found a host that is not on the list of those allowed")
        try:
            addresses = [url.host] if url.is_ip_address else self._resolver(url.host, url.port, deadline)
        except TimeoutError:
            raise
        except (OSError, UnicodeError) as error:
            raise BadImage("url_failed", "found no address of the host") from error
        if not addresses:
            raise BadImage("url_failed", "found no address of the host")
        # All, and not only the one that is connected to: a name that is public and private at once is a trap or a
        # mistake.
        if not all(map(is_public, addresses)):
            # The message does not name the address: it would tell a client about the internal network.
            raise BadImage("url_refused", "found a host whose address is not public")
        return addresses

    def _connect_first(self, addresses: Sequence[str], port: int, deadline: Deadline) -> socket.socket:
        """A connection to the first address that accepts; each gets its share of the time. Raises the last OSError."""
        *others, last = addresses[:MAX_ADDRESSES_TRIED]
        for number, address in enumerate(others):
            with contextlib.suppress(OSError):
                return self._connect(address, port, deadline.remaining() / (len(others) + 1 - number))
        return self._connect(last, port, deadline.remaining())

    def _read_body(self, response: http.client.HTTPResponse, is_image: bool) -> bytes:
        """`is_image`: by its headers; else its first bytes decide, since many a server knows no newer format."""
        expected = response.length  # None: chunked, or until the connection is closed
        self._check_size(expected or 0)
        body = bytearray()
        while chunk := response.read(_CHUNK_BYTES):
            if not is_image and not body:
                _check_first_bytes(chunk)
            body += chunk
            self._check_size(len(body))
        if len(body) < (expected or 0):
            raise BadImage("truncated", f"found {len(body)} bytes; expected {expected}, as Content-Length says")
        if not body:
            raise BadImage("empty", "found a response of 0 bytes; expected an image")
        return bytes(body)

    def _check_size(self, count: int) -> None:
        if count > self.max_bytes:
            limit = f"{self.max_bytes / 2**20:.3g} MiB"
            raise BadImage("too_large", f"found more than {limit}; expected at most that; make it smaller")


@functools.cache
def _fetcher(
    allowed_hosts: tuple[str, ...] | None,
    max_bytes: int,
    timeout: float,
    resolve: Resolve,
    connect: Connect,
    ssl_context: ssl.SSLContext | None,
    clock: Clock,
) -> Fetcher:
    return Fetcher(
        allowed_hosts=allowed_hosts,
        max_bytes=max_bytes,
        timeout=timeout,
        resolve=resolve,
        connect=connect,
        ssl_context=ssl_context,
        clock=clock,
    )


class _HTTPResponse(http.client.HTTPResponse):
    """Skips informational responses (RFC 9110, 15.2); http.client itself skips only 100."""

    def begin(self) -> None:
        super().begin()
        for _ in range(MAX_INFORMATIONAL_RESPONSES):
            if not 101 < self.status < 200:  # after 101 comes another protocol
                return
            self.headers = self.msg = cast(Any, None)
            super().begin()


class _HTTPConnection(http.client.HTTPConnection):
    """One request and its response over a socket that is already connected."""

    response_class = _HTTPResponse
    auto_open = 0  # never reconnect: http.client would resolve the name again, unchecked

    def __init__(self, url: ParsedUrl, sock: DeadlineSocket) -> None:
        super().__init__(url.host, url.port)
        self.default_port = url.port  # so that `Host:` has no port
        self.sock = cast(Any, sock)


def _redirect_location(response: http.client.HTTPResponse) -> str:
    location = (response.getheader("Location") or "").strip(" \t")
    if not location:
        raise BadImage("url_failed", "found a redirect that leads nowhere")
    # http.client decodes headers as Latin-1; other characters in them are UTF-8 in practice.
    with contextlib.suppress(UnicodeError):
        return location.encode("latin-1").decode("utf-8")
    return location


def _check_response(response: http.client.HTTPResponse) -> None:
    """Raises BadImage unless the headers announce a whole body with no content coding."""
    if response.status != 200:
        raise BadImage("url_failed", f"found the status {response.status}; expected 200")
    # Nothing is decompressed, so a small body cannot expand to a large one.
    encodings = {
        "Content-Encoding": ("", "identity"),
        "Transfer-Encoding": ("", "identity", "chunked"),
    }
    for header, allowed in encodings.items():
        if (response.getheader(header) or "").strip().lower() not in allowed:
            raise BadImage("url_failed", f"found a compressed response ({header}); expected it uncompressed")


def _has_image_type(response: http.client.HTTPResponse) -> bool:
    content_type = (response.getheader("Content-Type") or "").partition(";")[0].strip()
    return _CONTENT_TYPES.fullmatch(content_type) is not None


def _check_first_bytes(head: bytes) -> None:
    """Raises BadImage unless they are those of a picture. The message quotes neither them nor the Content-Type."""
    image_format = format_of_bytes(head)
    if image_format is None or not image_format.is_picture:
        raise BadImage("not_an_image", "found another Content-Type, and bytes of no image; expected an image")


@contextlib.contextmanager
def _redirect_errors() -> Iterator[None]:
    """Adds to a BadImage that it happened after a redirect: the URL that the user gave may be without fault."""
    try:
        yield
    except BadImage as error:
        raise BadImage(error.code, f"after a redirect: {error.detail}") from error


@contextlib.contextmanager
def _translated_errors(timeout: float) -> Iterator[None]:
    """Turns what sockets, TLS and http.client raise into BadImage, without their text, which may quote the response."""
    try:
        yield
    except TimeoutError as error:
        raise BadImage("url_failed", f"found no complete response within {timeout:g} seconds") from error
    except ssl.SSLCertVerificationError as error:
        reason = error.verify_message.partition(",")[0]  # without the name in a host name mismatch
        raise BadImage("url_failed", f"found a certificate that is not valid: {reason}") from error
    except http.client.IncompleteRead as error:
        raise BadImage("truncated", "the response ends before it is complete") from error
    except OSError as error:
        raise BadImage("url_failed", "found no connection to the host, or one that broke") from error
    except (http.client.HTTPException, ValueError) as error:  # ValueError: a chunk of -3 bytes
        raise BadImage("url_failed", "found a response that is not HTTP") from error
