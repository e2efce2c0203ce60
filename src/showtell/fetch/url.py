"""A strict URL parser: anything ambiguous is refused.

If the check and the request parse a URL differently, they can mean different hosts (an SSRF bypass). So there is one
parser, stricter than RFC 3986, and its result is what is checked, resolved, connected to and sent.

Rejected: `urllib.parse.urlsplit`, which drops tabs and line ends inside a URL, and whose rules for brackets differ
between Python versions. It only joins relative redirects here, and its result is parsed again.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final, NoReturn
from urllib.parse import quote, urljoin

from showtell.errors import BadConfig, BadImage

DEFAULT_PORTS: Final = {"http": 80, "https": 443}
MAX_URL_LENGTH: Final = 8192
MAX_HOST_LENGTH: Final = 253
"""Characters; RFC 1035."""

_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PRIVATE_TLDS: Final = frozenset({"arpa", "internal", "local", "localhost", "onion"})
"""Top-level domains of private networks (RFC 6761, 6762, 7686, 8375; ICANN 2024): never resolved."""
_IDNA_DEVIATIONS: Final = re.compile("[ßẞς\u200c\u200d]")
"""Characters that IDNA 2003, which Python implements, maps to another name than IDNA 2008 does."""
_SAFE_CHARACTERS: Final = "/?:@!$&'()*+,;=%[]"
"""Sent as written, with letters, digits and -._~; everything else in a path is percent-encoded."""


@dataclass(frozen=True)
class ParsedUrl:
    """A URL that follows the rules of this parser; the addresses of its host are not checked yet."""

    scheme: str
    host: str
    """A name in lower-case ASCII, or an IP address as `ipaddress` writes it."""
    is_ip_address: bool
    target: str
    """The request target (RFC 9112, 3.2.1): path and query in ASCII, beginning with a slash."""

    @property
    def port(self) -> int:
        return DEFAULT_PORTS[self.scheme]

    def join(self, location: str) -> ParsedUrl:
        """The URL of a redirect, from a Location header.

        Raises BadImage `url_refused` as `parse_url` does, and for a redirect from https to http.
        """
        _check_characters(location)
        host = f"[{self.host}]" if ":" in self.host else self.host
        try:
            joined = urljoin(f"{self.scheme}://{host}{self.target}", location)
        except ValueError as error:
            raise _refusal("a malformed redirect", "a URL") from error
        url = parse_url(joined)
        if (self.scheme, url.scheme) == ("https", "http"):
            _refuse("a redirect from https to http", "one that stays with https")
        return url


def parse_url(url: str) -> ParsedUrl:
    """Raises BadImage `url_refused` for all but http and https URLs of names or IP addresses at the default ports."""
    _check_characters(url)
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in DEFAULT_PORTS:
        _refuse("another scheme", "a URL that begins with http:// or https://")
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    if "@" in authority:
        _refuse("a user name or a password in the URL", "none: nothing is fetched that needs one")
    host, colon, port = _split_port(authority)
    if colon and port != str(DEFAULT_PORTS[scheme]):
        _refuse("another port", f"{DEFAULT_PORTS[scheme]}, which is that of {scheme}")
    name, is_ip_address = _parse_host(host)
    path = quote(rest[len(authority) :].partition("#")[0], safe=_SAFE_CHARACTERS)
    return ParsedUrl(scheme, name, is_ip_address, path if path.startswith("/") else f"/{path}")


def parse_allowed_hosts(hosts: Sequence[str]) -> tuple[str, ...]:
    """An allow-list for `is_allowed_host`: names, IP addresses or, for all subdomains, `*.example.org`.

    Raises BadConfig for anything else.
    """
    parsed = []
    for host in hosts:
        wildcard = "*." if host.startswith("*.") else ""
        try:
            name, is_ip_address = _parse_host(host[len(wildcard) :])
        except BadImage as error:
            raise BadConfig(f"allowed host {host!r}: {error.detail}") from error
        if wildcard and is_ip_address:
            raise BadConfig(f"allowed host {host!r}: found an IP address after *.; expected a name")
        parsed.append(wildcard + name)
    return tuple(parsed)


def is_allowed_host(host: str, hosts: Sequence[str]) -> bool:
    """Whether the host of a ParsedUrl is on a list from `parse_allowed_hosts`."""
    return any(host == allowed or (allowed.startswith("*.") and host.endswith(allowed[1:])) for allowed in hosts)


def _check_characters(url: str) -> None:
    if len(url) > MAX_URL_LENGTH:
        _refuse(f"a URL of {len(url)} characters", f"at most {MAX_URL_LENGTH}")
    # Control characters, lone surrogates, any whitespace, and the backslash, which some parsers read as a slash.
    if any(char == "\\" or unicodedata.category(char) in ("Cc", "Cs", "Zs", "Zl", "Zp") for char in url):
        _refuse("a space, a control character or a backslash in the URL", "them written as %XX")


def _split_port(authority: str) -> tuple[str, str, str]:
    """Host, colon and port; an IPv6 host keeps its brackets."""
    if authority.startswith("["):
        host, bracket, rest = authority.partition("]")
        if not bracket or rest[:1] not in ("", ":"):
            _refuse("a bracket without its partner", "an IPv6 address in brackets")
        return host + bracket, rest[:1], rest[1:]
    return authority.partition(":")


def _parse_host(host: str) -> tuple[str, bool]:
    """The normalised host, and whether it is an IP address."""
    if host.startswith("["):
        try:
            if "%" in host:  # a scope id, which IPv6Address would accept
                raise ValueError(host)
            return str(IPv6Address(host[1:-1])), True
        except ValueError as error:
            raise _refusal("brackets without an IPv6 address", "one without a scope") from error
    name = _to_ascii(host)
    labels = name.split(".")
    # 0x7f.1, 2130706433 and 017700000001 are all 127.0.0.1 to the C library; no domain ends in a number.
    if _NUMBER.fullmatch(labels[-1]):
        try:
            return str(IPv4Address(name)), True
        except ValueError as error:
            raise _refusal("a host that ends in a number", "a name, or four decimal numbers") from error
    if len(labels) < 2 or len(name) > MAX_HOST_LENGTH or not all(_LABEL.fullmatch(label) for label in labels):
        _refuse("no proper host name", "one such as images.example.org")
    if labels[-1] in _PRIVATE_TLDS:
        _refuse("a name of a private network", "a public one")
    return name, False


def _to_ascii(host: str) -> str:
    """The name in lower case and ASCII: IDNA turns ① into a digit, 。 into a dot and the rest into `xn--`."""
    # Length first: Python's IDNA takes quadratic time.
    if len(host) > MAX_HOST_LENGTH:
        _refuse("a host name that is too long", f"at most {MAX_HOST_LENGTH} characters")
    if _IDNA_DEVIATIONS.search(host):
        _refuse("a host name whose spelling has changed with time", "its xn-- form")
    try:
        return host.encode("idna").decode("ascii").lower()
    except UnicodeError as error:
        raise _refusal("no proper host name", "one such as images.example.org") from error


def _refusal(found: str, expected: str) -> BadImage:
    # The message does not quote the URL: it may come from a redirect, and end in a log.
    return BadImage("url_refused", f"found {found}; expected {expected}")


def _refuse(found: str, expected: str) -> NoReturn:
    raise _refusal(found, expected)
