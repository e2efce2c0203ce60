"""Bounded resources shared so that no single client can take all of them."""

from __future__ import annotations

from collections import Counter
from typing import Final

RESERVED_SHARE: Final = 0.25
"""Of a capacity, for clients which hold little or nothing of it."""


def reserved(capacity: int) -> int:
    return int(capacity * RESERVED_SHARE)


class FairLimiter:
    """A bounded number of tokens, the last quarter of which is reserved for clients that hold few.

    Rejected: a fixed share for each client, which leaves tokens unused while there is only one; and preempting
    requests that were admitted.
    """

    def __init__(self, capacity: int, reserve_per_client: int = 1) -> None:
        """`reserve_per_client`: the most that a client may hold and still take tokens from the reserve."""
        self._available, self._reserved, self._reserve_per_client = capacity, reserved(capacity), reserve_per_client
        self._held: Counter[str] = Counter()

    @property
    def available(self) -> int:
        return self._available

    def held(self, client: str) -> int:
        return self._held[client]

    def try_acquire(self, client: str, tokens: int = 1) -> bool:
        """Takes tokens, or returns False and takes none. 0 tokens are always granted."""
        if not tokens:
            return True
        uses_reserve = self._held[client] + tokens <= self._reserve_per_client
        if self._available - tokens < (0 if uses_reserve else self._reserved):
            return False
        self._available -= tokens
        self._held[client] += tokens
        return True

    def release(self, client: str, tokens: int = 1) -> None:
        self._available += tokens
        self._held[client] -= tokens
        if not self._held[client]:
            del self._held[client]
