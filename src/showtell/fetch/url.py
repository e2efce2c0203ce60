"""A URL taken apart, and refused unless every part of it is plain.

What is not understood exactly as written is not fetched: tools that repair a URL, each in its own way, are how a check
and the request that follows it come to speak of different hosts. So one parser, stricter than RFC 3986, whose result is
what is checked, looked up, dialled and sent.

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

PORTS: Final = {"http": 80, "https": 443}
LONGEST_URL: Final = 8192
LONGEST_NAME: Final = 253
"""Characters of a host name: RFC 1035."""

_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_NEVER_PUBLIC: Final = frozenset({"arpa", "internal", "local", "localhost", "onion"})
"""Last parts of names that stay within a network (RFC 6761, 6762, 7686, 8375; ICANN 2024): not even looked up."""
_ONCE_OTHER_LETTERS: Final = re.compile("[ßẞς\u200c\u200d]")
"""Python's IDNA (2003) makes other letters of these than today's (2008): the name would be somebody else's."""
_SENT_AS_WRITTEN: Final = "/?:@!$&'()*+,;=%[]"
"""With letters, digits and -._~; all else in a path is sent as %XX."""


@dataclass(frozen=True)
class Target:
    """A URL whose parts are allowed; whether its host's addresses are, is another question."""

    scheme: str
    host: str
    """A name in lower-case ASCII, or an IP address as `ipaddress` writes it."""
    is_address: bool
    path: str
    """With the query, ASCII; begins with a slash."""

    @property
    def port(self) -> int:
        return PORTS[self.scheme]

    def redirected(self, location: str) -> Target:
        """Where an answer's Location leads.

        Raises BadImage `url_refused` as `parse_url` does, and for a way from https to http.
        """
        _check_characters(location)
        host = f"[{self.host}]" if ":" in self.host else self.host
        try:
            joined = urljoin(f"{self.scheme}://{host}{self.path}", location)
        except ValueError as error:
            raise _refused("a redirect that makes no sense", "a URL") from error
        target = parse_url(joined)
        if (self.scheme, target.scheme) == ("https", "http"):
            _refuse("a redirect from https to http", "one that stays with https")
        return target


def parse_url(url: str) -> Target:
    """Raises BadImage `url_refused` for all but plain http and https URLs of names or IP addresses, at usual ports."""
    _check_characters(url)
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in PORTS:
        _refuse("another scheme", "a URL that begins with http:// or https://")
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    if "@" in authority:
        _refuse("a user name or a password in the URL", "none: nothing is fetched that needs one")
    host, colon, port = _split_port(authority)
    if colon and port != str(PORTS[scheme]):
        _refuse("another port", f"{PORTS[scheme]}, which is that of {scheme}")
    name, is_address = _parse_host(host)
    path = quote(rest[len(authority) :].partition("#")[0], safe=_SENT_AS_WRITTEN)
    return Target(scheme, name, is_address, path if path.startswith("/") else f"/{path}")


def parse_hosts(hosts: Sequence[str]) -> tuple[str, ...]:
    """An allow-list for `is_listed`: names, IP addresses or, for all names below one, `*.example.org`.

    Raises BadConfig for anything else.
    """
    parsed = []
    for host in hosts:
        wildcard = "*." if host.startswith("*.") else ""
        try:
            name, is_address = _parse_host(host[len(wildcard) :])
        except BadImage as error:
            raise BadConfig(f"allowed host {host!r}: {error.detail}") from error
        if wildcard and is_address:
            raise BadConfig(f"allowed host {host!r}: found an IP address after *.; expected a name")
        parsed.append(wildcard + name)
    return tuple(parsed)


def is_listed(host: str, hosts: Sequence[str]) -> bool:
    """Whether a Target's host is on a list that `parse_hosts` made."""
    return any(host == each or (each.startswith("*.") and host.endswith(each[1:])) for each in hosts)


def _check_characters(url: str) -> None:
    if len(url) > LONGEST_URL:
        _refuse(f"a URL of {len(url)} characters", f"at most {LONGEST_URL}")
    # Controls, lone surrogates and spaces of every kind; and the backslash, which some read as a slash.
    if any(letter == "\\" or unicodedata.category(letter) in ("Cc", "Cs", "Zs", "Zl", "Zp") for letter in url):
        _refuse("a space, a control character or a backslash in the URL", "them written as %XX")


def _split_port(authority: str) -> tuple[str, str, str]:
    """Host, colon and port; the host of IPv6 with its brackets."""
    if authority.startswith("["):
        host, bracket, rest = authority.partition("]")
        if not bracket or rest[:1] not in ("", ":"):
            _refuse("a bracket without its partner", "an IPv6 address in brackets")
        return host + bracket, rest[:1], rest[1:]
    return authority.partition(":")


def _parse_host(host: str) -> tuple[str, bool]:
    """The host as it is looked up and compared, and whether it is an IP address."""
    if host.startswith("["):
        try:
            if "%" in host:  # a scope, which IPv6Address would take
                raise ValueError(host)
            return str(IPv6Address(host[1:-1])), True
        except ValueError as error:
            raise _refused("brackets without an IPv6 address", "one without a scope") from error
    name = _ascii(host)
    labels = name.split(".")
    # 0x7f.1, 2130706433 and 017700000001 are all 127.0.0.1 to the C library; no domain ends in a number.
    if _NUMBER.fullmatch(labels[-1]):
        try:
            return str(IPv4Address(name)), True
        except ValueError as error:
            raise _refused("a host that ends in a number", "a name, or four decimal numbers") from error
    if len(labels) < 2 or len(name) > LONGEST_NAME or not all(_LABEL.fullmatch(label) for label in labels):
        _refuse("no proper host name", "one such as images.example.org")
    if labels[-1] in _NEVER_PUBLIC:
        _refuse("a name of a private network", "a public one")
    return name, False


def _ascii(host: str) -> str:
    """The name in lower case and ASCII: IDNA makes digits of ①, dots of 。 and `xn--` of the rest."""
    # The length first: IDNA of a long name takes Python quadratic time.
    if len(host) > LONGEST_NAME:
        _refuse("a host name that is too long", f"at most {LONGEST_NAME} characters")
    if _ONCE_OTHER_LETTERS.search(host):
        _refuse("a host name whose spelling has changed with time", "its xn-- form")
    try:
        return host.encode("idna").decode("ascii").lower()
    except UnicodeError as error:
        raise _refused("no proper host name", "one such as images.example.org") from error


def _refused(found: str, expected: str) -> BadImage:
    # Nothing of the URL is repeated: it may come from a redirect, and end in a log.
    return BadImage("url_refused", f"found {found}; expected {expected}")


def _refuse(found: str, expected: str) -> NoReturn:
    raise _refused(found, expected)
