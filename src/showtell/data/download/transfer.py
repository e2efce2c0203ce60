"""One file over HTTP into a `.part` file, which a broken connection, Ctrl-C or a killed process leave to go on from.

A resumed request asks for the rest (Range) of the same file (If-Range with the validator of the first response). What
a server may do instead: send the whole file, because it ignores Range or the file has changed; another range; 416. In
all these cases the `.part` is begun anew, unless it is complete. A length that the table states is compared before the
first byte is written, and never exceeded.

Redirects are followed to http and https only, and not from https to http. Proxies of the environment are used, unlike
in `showtell.fetch`: addresses are from the table here, not from strangers. Rejected: several connections at once, which
the authors' servers do not deserve.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from showtell import __version__
from showtell.backoff import Backoff
from showtell.errors import BadData, OutputError, StorageUnreachable
from showtell.files import disk

TIMEOUT: Final = 60.0
"""Seconds without a byte."""
MAX_RESTARTS: Final = 3
"""Of a file that changes, or comes in another way than was asked for, at every try."""
_BLOCK: Final = 1 << 20
_TRANSIENT_STATUSES: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_LENGTH: Final = re.compile("[0-9]{1,18}")
_CONTENT_RANGE: Final = re.compile(r"bytes (?:([0-9]{1,18})-[0-9]{1,18}|\*)/([0-9]{1,18}|\*)")


class _Transient(Exception):
    """A try that failed and may succeed the next time."""


class _Restart(Exception):
    """What is in the `.part` is of no use any more."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    max_redirections = 5
    http_error_308 = urllib.request.HTTPRedirectHandler.http_error_302

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        scheme, before = urlsplit(newurl).scheme, urlsplit(req.full_url).scheme
        if scheme not in ("http", "https") or (before, scheme) == ("https", "http"):
            raise BadData(req.full_url, f"a redirect to {scheme}", f"one that stays with {before}")
        # Older versions of Python know no 308.
        return super().redirect_request(req, fp, 307 if code == 308 else code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    """`build_opener` would also open ftp: and file:."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=ssl.create_default_context()),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
        _Redirects(),
    ):
        opener.add_handler(handler)
    return opener


@dataclass
class Transfer:
    url: str
    part: Path
    size: int | None
    """Bytes of the whole file, where they are known beforehand."""
    max_size: int
    """Bytes, where they are not."""
    validator: str | None
    """Of the response that began the `.part`: an ETag or a date."""
    remember: Callable[[str], None]
    """Keeps the validator of a response, before any byte of it is in the `.part`; "" for none."""
    progress: Callable[[int], None]
    """Is called with the bytes in the `.part`."""
    say: Callable[[str], None]
    backoff: Backoff
    can_be_checked: bool = False
    """A checksum is known, so that a rest without a validator may be tried."""
    timeout: float = TIMEOUT

    def fetch(self) -> None:
        """Afterwards the `.part` has all bytes that the server has; whether they are the right ones is not known.

        Raises StorageUnreachable when tries without a new byte are used up, BadData for what another try does not
        change, and OutputError when the disk takes no more.
        """
        self._opener = _opener()
        failures = restarts = most = 0
        while self.size is None or self.done != self.size:
            most = max(most, self.done)
            try:
                self._request(self.done)
                return
            except _Restart as error:
                restarts += 1
                if restarts > MAX_RESTARTS:
                    raise BadData(self.url, f"{error}, {restarts} times", "one file that stays the same") from error
                self._begin_anew()
                most = 0
            except _Transient as error:
                # A server that ignores Range begins anew each time, and may come no further.
                failures = 0 if self.done > most else failures + 1
                most = max(most, self.done)
                if failures >= self.backoff.attempts:
                    raise StorageUnreachable(f"{self.url}: cannot be reached ({error}); {self.kept()}") from error
                self.say(f"{self.part.name}: {error}, at {self.done:,} bytes; trying again")
                self.backoff.wait(failures)

    @property
    def done(self) -> int:
        """Bytes in the `.part`."""
        try:
            return self.part.stat().st_size
        except FileNotFoundError:
            return 0

    def kept(self) -> str:
        whole = "" if self.size is None else f" of {self.size:,}"
        return f"{self.done:,}{whole} bytes are in {self.part}; the same command goes on"

    def _request(self, start: int) -> None:
        if start and not (self.validator or self.can_be_checked):
            raise _Restart("a server that does not say which version of the file it gives")
        headers = {"User-Agent": f"showtell/{__version__}", "Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
            if self.validator:
                headers["If-Range"] = self.validator
        try:
            with self._opener.open(urllib.request.Request(self.url, headers=headers), timeout=self.timeout) as response:
                self._receive(response, start)
        except urllib.error.HTTPError as error:
            with error:
                self._refused(error, start)
        except ssl.SSLCertVerificationError as error:
            raise self._bad_certificate(error) from error
        except urllib.error.URLError as error:
            if isinstance(error.reason, ssl.SSLCertVerificationError):
                raise self._bad_certificate(error.reason) from error
            raise _Transient(_reason(error.reason)) from error
        except (http.client.HTTPException, OSError) as error:
            raise _Transient(_reason(error)) from error

    def _bad_certificate(self, error: ssl.SSLCertVerificationError) -> BadData:
        found = f"a certificate that is not valid ({error.verify_message})"
        return BadData(self.url, found, "one of this host; check the network and the clock of this machine")

    def _refused(self, error: urllib.error.HTTPError, start: int) -> None:
        if error.code == 416 and start:
            if self._total(error) != start:
                raise _Restart("no such range of the file")
            self._check_total(start)
        elif error.code in _TRANSIENT_STATUSES:
            raise _Transient(f"status {error.code}")
        else:
            raise BadData(self.url, f"the status {error.code}", "the file; its authors may have moved it")

    def _receive(self, response: Any, start: int) -> None:
        if (response.headers.get("Content-Encoding") or "identity").lower() != "identity":
            raise BadData(self.url, "a compressed response", "the file as it is; try without a proxy")
        if (response.headers.get("Content-Type") or "").lower().startswith("text/html"):
            raise _Transient("a web page in place of the file")  # such as the login of a hotel's network
        validator = _validator(response)
        total = self._total(response)
        if response.status == 206:
            match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range") or "")
            if match is None or match[1] != str(start):
                raise _Restart("another range than was asked for")
            if validator and self.validator and validator != self.validator:
                raise _Restart("another version of the file")
        elif response.status != 200:
            raise BadData(self.url, f"the status {response.status}", "the file; its authors may have moved it")
        self._check_total(total)
        if response.status == 200:
            if start and total is None:
                raise _Transient("a response without a length, in place of the rest")
            if start:
                self._begin_anew()
            self.validator = validator
            self.remember(validator)
        self._append(response, self.size if self.size is not None else total)

    def _append(self, response: Any, total: int | None) -> None:
        done = self.done
        limit = self.max_size if total is None else total
        with _writing(self.part), self.part.open("ab", buffering=0) as file:
            while block := self._read(response):
                done += len(block)
                if done > limit:
                    raise BadData(self.url, f"more than {limit:,} bytes", "at most that; the file has changed")
                disk.append(file.fileno(), block)  # at once: a killed process leaves all that came
                self.progress(done)
        if total is not None and done < total:
            raise _Transient("the connection broke")

    def _read(self, response: Any) -> bytes:
        """What has come, so that nothing is lost of a connection that breaks."""
        try:
            block: bytes = response.read1(_BLOCK)
        except (http.client.HTTPException, OSError, ValueError) as error:  # ValueError: a chunk of -3 bytes
            raise _Transient(_reason(error)) from error
        return block

    def _begin_anew(self) -> None:
        with _writing(self.part):
            self.part.unlink(missing_ok=True)
        self.validator = None
        self.progress(0)

    def _check_total(self, total: int | None) -> None:
        if total is None:
            return
        if self.size is not None and total != self.size:
            raise BadData(self.url, f"a file of {total:,} bytes", f"{self.size:,}; its authors may have changed it")
        if self.size is None and total > self.max_size:
            raise BadData(self.url, f"a file of {total:,} bytes", f"at most {self.max_size:,}")

    @staticmethod
    def _total(response: Any) -> int | None:
        """Bytes of the whole file, as the headers have them."""
        if response.headers.get("Content-Range"):
            match = _CONTENT_RANGE.fullmatch(response.headers["Content-Range"])
            return int(match[2]) if match is not None and match[2] != "*" else None
        length = response.headers.get("Content-Length") or ""
        is_chunked = (response.headers.get("Transfer-Encoding") or "").lower() == "chunked"
        return int(length) if _LENGTH.fullmatch(length) and not is_chunked else None

    def close(self) -> None:
        """What was written is on the disk."""
        if self.part.exists():
            with _writing(self.part):
                disk.sync(self.part)


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turns what the disk raises into OutputError, apart from what the network raises."""
    try:
        yield
    except OSError as error:
        raise OutputError.of(path, error, "what was received is kept") from error


def _validator(response: Any) -> str:
    """What If-Range takes: a strong ETag, or the date of the last change."""
    etag = response.headers.get("ETag") or ""
    found = etag if etag.startswith('"') else response.headers.get("Last-Modified") or ""
    return str(found)


def _reason(error: object) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, http.client.HTTPException):
        return "a response that is not HTTP, or that broke"
    return str(error) or type(error).__name__
