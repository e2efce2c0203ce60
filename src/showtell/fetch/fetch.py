"""A photo from a URL, for whoever asks: the user of a command line, or a stranger who talks to the server.

    URL -> parts checked -> name looked up, once -> every address checked -> one of these dialled -> headers checked
      ^                                                                                                 | -> bytes
      `---------------------------------------- redirect, at most five ---------------------------------'

A stranger's URL is a request that this machine makes with its own place in the network. So nothing is dialled by name:
between a check and a second lookup a hostile name server would change its answer. No cookies, no credentials, no proxy
from the environment.

Rejected: `urllib.request`, which takes proxies and `file:` from its surroundings and follows redirects by itself; and
any larger library, whose connection pools look names up where a check does not reach.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, cast

from showtell import __version__
from showtell.errors import BadImage
from showtell.fetch.addresses import is_public
from showtell.fetch.line import Deadline, Line, Lookup, Resolve
from showtell.fetch.url import Target, is_listed, parse_hosts, parse_url

Dial = Callable[[str, int, float], socket.socket]
"""Connects to an IP address and a port, within seconds. Raises OSError."""

MAX_BYTES: Final = 64 * 1024 * 1024
"""As many as a photo's file may have."""
SECONDS: Final = 30.0
MOST_REDIRECTS: Final = 5
MOST_DIALLED: Final = 4
"""Addresses of a name that are tried; nobody shall use this to knock at a hundred doors."""

MOST_ANNOUNCED: Final = 8
"""Heads with a status of 102 to 199 before the answer: early hints, or word that it takes time."""

_HEADERS: Final = {
    "Accept": "image/jpeg, image/png, image/webp, image/*;q=0.5",  # with image/* alone, many send AVIF
    "Accept-Encoding": "identity",
    "User-Agent": f"showtell/{__version__}",
    "Connection": "close",
}
_REDIRECTS: Final = (301, 302, 303, 307, 308)
_MEDIA_TYPES: Final = re.compile(r"(image/.*|(application|binary)/octet-stream)?", re.IGNORECASE)
_AROUND_THE_BODY: Final = 1024 * 1024
_PIECE: Final = 64 * 1024


def resolve(host: str, port: int) -> list[str]:
    """Every address that the system has for a name. Raises OSError when there is none."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def dial(address: str, port: int, timeout: float) -> socket.socket:
    """A connection to that IP address; never looks up a name. Raises OSError, and BadImage for this machine's own."""
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout)
        sock.connect((address, port))
        if sock.getsockname()[0] == address:
            raise BadImage("url_refused", "found a host that is this machine")  # by a public address of its own
    except BaseException:
        sock.close()
        raise
    return sock


class Fetcher:
    """Fetches photos from public hosts. For any number of threads at once."""

    def __init__(
        self,
        *,
        hosts: Sequence[str] | None = None,
        max_bytes: int = MAX_BYTES,
        seconds: float = SECONDS,
        resolve: Resolve = resolve,
        dial: Dial = dial,
        context: ssl.SSLContext | None = None,
    ) -> None:
        """`hosts`: the only ones that are asked, also after a redirect: names, or `*.example.org`. None: any.

        A photo has at most `max_bytes`; `seconds` are for all of a fetch, redirects included. The rest is for tests.
        Raises BadConfig when `hosts` has something else.
        """
        self.hosts = None if hosts is None else parse_hosts(hosts)
        self.max_bytes, self.seconds = max_bytes, seconds
        self._lookup, self._dial = Lookup(resolve), dial
        self._context = ssl.create_default_context() if context is None else context

    def fetch(self, url: str) -> bytes:
        """The bytes that a URL leads to, likely a photo; whether they are one, `load_image` sees.

        Raises BadImage, and nothing else that is the URL's fault: `url_refused` before anything is dialled that must
        not be, `url_failed` when there is no answer, in time, that is one; `too_large`, `not_an_image`, `empty`,
        `truncated`.
        """
        deadline = Deadline(self.seconds)
        target = parse_url(url)
        found = self._ask(target, deadline)
        for _ in range(MOST_REDIRECTS):
            if isinstance(found, bytes):
                break
            with _called_a_redirect():
                target = target.redirected(found)
                found = self._ask(target, deadline)
        if isinstance(found, str):
            raise BadImage("url_failed", f"found more than {MOST_REDIRECTS} redirects")
        return found

    def _ask(self, target: Target, deadline: Deadline) -> bytes | str:
        """The photo, or where a redirect leads."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(_translated_errors(self.seconds))
            addresses = self._addresses(target, deadline)
            sock = stack.enter_context(self._connect(addresses, target.port, deadline))
            if target.scheme == "https":
                sock.settimeout(deadline.left())
                sock = stack.enter_context(self._context.wrap_socket(sock, server_hostname=target.host))
            # Twice: a body may come in chunks so small that their lengths are longer than they are.
            line = Line(sock, deadline, 2 * self.max_bytes + _AROUND_THE_BODY)
            exchange = _Exchange(target, line)
            exchange.request("GET", target.path, headers=_HEADERS)
            response = exchange.getresponse()
            if response.status in _REDIRECTS:
                return _location(response)
            _check_head(response)
            return self._body(response)

    def _addresses(self, target: Target, deadline: Deadline) -> list[str]:
        """The host's addresses, of which every one is public."""
        if self.hosts is not None and not is_listed(target.host, self.hosts):
            raise BadImage("url_refused", "found a host that is not on the list of those allowed")
        try:
            addresses = [target.host] if target.is_address else self._lookup(target.host, target.port, deadline)
        except TimeoutError:
            raise
        except (OSError, UnicodeError) as error:
            raise BadImage("url_failed", "found no address of the host") from error
        if not addresses:
            raise BadImage("url_failed", "found no address of the host")
        # All, and not the one that is dialled: a name that is public and private at once is a trap or a mistake.
        if not all(map(is_public, addresses)):
            # Which address it is, would tell a stranger of the network inside.
            raise BadImage("url_refused", "found a host whose address is not public")
        return addresses

    def _connect(self, addresses: Sequence[str], port: int, deadline: Deadline) -> socket.socket:
        """The first that answers; each gets its share of the time. Raises OSError, the last one's."""
        *others, last = addresses[:MOST_DIALLED]
        for number, address in enumerate(others):
            with contextlib.suppress(OSError):
                return self._dial(address, port, deadline.left() / (len(others) + 1 - number))
        return self._dial(last, port, deadline.left())

    def _body(self, response: http.client.HTTPResponse) -> bytes:
        expected = response.length  # None: in chunks, or to the end
        self._check_size(expected or 0)
        body = bytearray()
        while piece := response.read(_PIECE):
            body += piece
            self._check_size(len(body))
        if len(body) < (expected or 0):
            raise BadImage("truncated", f"found {len(body)} bytes; expected {expected}, as the answer says")
        if not body:
            raise BadImage("empty", "found an answer of 0 bytes; expected an image")
        return bytes(body)

    def _check_size(self, count: int) -> None:
        if count > self.max_bytes:
            raise BadImage("too_large", f"found more than {self.max_bytes / 2**20:.3g} MiB, which is the limit")


class _Response(http.client.HTTPResponse):
    """The answer behind those that only announce it (RFC 9110, 15.2); http.client itself passes over 100 alone."""

    def begin(self) -> None:
        super().begin()
        for _ in range(MOST_ANNOUNCED):
            if not 101 < self.status < 200:  # 101 is another protocol from here on
                return
            self.headers = self.msg = cast(Any, None)
            super().begin()


class _Exchange(http.client.HTTPConnection):
    """One request and its answer over a line that is open."""

    response_class = _Response
    auto_open = 0  # without a line it fails; it would look the name up and dial, with nobody to check

    def __init__(self, target: Target, line: Line) -> None:
        super().__init__(target.host, target.port)
        self.default_port = target.port  # so that `Host:` has none
        self.sock = cast(Any, line)


def _location(response: http.client.HTTPResponse) -> str:
    location = (response.getheader("Location") or "").strip(" \t")
    if not location:
        raise BadImage("url_failed", "found a redirect that leads nowhere")
    # http.client reads headers as Latin-1; who writes other letters into one, means UTF-8.
    with contextlib.suppress(UnicodeError):
        return location.encode("latin-1").decode("utf-8")
    return location


def _check_head(response: http.client.HTTPResponse) -> None:
    """Raises BadImage for an answer that will not be a photo, byte for byte."""
    if response.status != 200:
        raise BadImage("url_failed", f"found the status {response.status}; expected 200")
    # Nothing is unpacked: a small body cannot become a large one.
    encodings = {
        "Content-Encoding": ("", "identity"),
        "Transfer-Encoding": ("", "identity", "chunked"),
    }
    for header, allowed in encodings.items():
        if (response.getheader(header) or "").strip().lower() not in allowed:
            raise BadImage("url_failed", f"found a packed answer ({header}); expected it as it is")
    kind = (response.getheader("Content-Type") or "").partition(";")[0].strip()
    if not _MEDIA_TYPES.fullmatch(kind):
        raise BadImage("not_an_image", "found an answer of another type; expected an image")


@contextlib.contextmanager
def _called_a_redirect() -> Iterator[None]:
    """Says so of a BadImage raised within; the URL that the user knows may be without fault."""
    try:
        yield
    except BadImage as error:
        raise BadImage(error.code, f"after a redirect: {error.detail}") from error


@contextlib.contextmanager
def _translated_errors(seconds: float) -> Iterator[None]:
    """Turns whatever sockets, TLS and http.client raise within into BadImage; in words that are ours alone."""
    try:
        yield
    except TimeoutError as error:
        raise BadImage("url_failed", f"found no complete answer within {seconds:g} seconds") from error
    except ssl.SSLCertVerificationError as error:
        reason = error.verify_message.partition(",")[0]  # without the name that a mismatch is about
        raise BadImage("url_failed", f"found a certificate that is not valid: {reason}") from error
    except http.client.IncompleteRead as error:
        raise BadImage("truncated", "the answer ends before it is complete") from error
    except OSError as error:
        raise BadImage("url_failed", "found no connection to the host, or one that broke") from error
    except (http.client.HTTPException, ValueError) as error:  # ValueError: a chunk of -3 bytes
        raise BadImage("url_failed", "found an answer that is not HTTP") from error
