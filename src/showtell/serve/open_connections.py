"""How many connections are open, of all clients and of each."""

from __future__ import annotations

from collections import Counter
from typing import Final

from showtell.serve.fair_limiter import FairLimiter
from showtell.serve.limits import Limits

FEW_CONNECTIONS: Final = 8
"""Of a client that may have them when others have most; a browser opens six."""


class OpenConnections:
    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._all = FairLimiter(limits.connections, reserve_per_client=FEW_CONNECTIONS)
        self._of_clients: Counter[str] = Counter()

    def open(self, client: str) -> bool:
        """Whether the client may have one more."""
        if self._of_clients[client] >= self._limits.connections_per_client or not self._all.try_acquire(client):
            return False
        self._of_clients[client] += 1
        return True

    def close(self, client: str) -> None:
        self._all.release(client)
        self._of_clients[client] -= 1
        if not self._of_clients[client]:
            del self._of_clients[client]

    def is_crowded(self) -> bool:
        """Whether so many are open that none should be kept for a next request that may come."""
        return self._of_clients.total() > self._limits.connections / 2
