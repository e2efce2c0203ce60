"""How many connections are open, of all clients and of each."""

from __future__ import annotations

from typing import Final

from showtell.serve.fair_limiter import FairLimiter
from showtell.serve.limits import Limits

FEW_CONNECTIONS: Final = 8
"""Of a client that may have them when others have most; a browser opens six."""


class OpenConnections:
    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._limiter = FairLimiter(limits.connections, reserve_per_client=FEW_CONNECTIONS)

    def open(self, client: str) -> bool:
        """Whether the client may have one more."""
        is_full = self._limiter.held(client) >= self._limits.connections_per_client
        return not is_full and self._limiter.try_acquire(client)

    def close(self, client: str) -> None:
        self._limiter.release(client)

    def is_crowded(self) -> bool:
        """Whether so many are open that none should be kept for a next request that may come."""
        return self._limiter.available < self._limits.connections / 2
