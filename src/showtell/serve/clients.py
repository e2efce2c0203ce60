"""Who asks, and how what there is of something is shared, so that no one client can have all of it."""

from __future__ import annotations

import ipaddress
from collections import Counter

KEPT = 4
"""One in so many places is kept for clients that hold none."""


def client_of(address: str | None) -> str:
    """One name for all addresses that a client has: an IPv6 network of 64 bits is one household or one machine.

    Behind a proxy the address is the one that it names in X-Forwarded-For; uvicorn believes that of proxies on this
    machine, and of those in FORWARDED_ALLOW_IPS.
    """
    if address is None:
        return ""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if found.version == 4:
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, 64), strict=False))


class Room:
    """A bounded number of places, the last quarter of which is only for clients that hold little.

    Rejected: a fixed share for each client, which leaves places empty while there is only one; and turning somebody
    out, whose request was admitted.
    """

    def __init__(self, size: int, little: int = 1) -> None:
        """`little`: as many may be held by whoever takes one of the last."""
        self._left, self._kept, self._little = size, size // KEPT, little
        self._held: Counter[str] = Counter()

    def take(self, client: str, count: int = 1) -> bool:
        """Whether there was room for so many more; for none there always is."""
        if not count:
            return True
        kept = 0 if self._held[client] + count <= self._little else self._kept
        if self._left - count < kept:
            return False
        self._left -= count
        self._held[client] += count
        return True

    def give_back(self, client: str, count: int = 1) -> None:
        self._left += count
        self._held[client] -= count
        if not self._held[client]:
            del self._held[client]
