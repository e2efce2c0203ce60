"""One deadline for a whole fetch: DNS, connecting, TLS, redirects and body."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], float]
"""Monotonic time in seconds, as `time.monotonic` gives it."""


class Deadline:
    def __init__(self, timeout: float, clock: Clock = time.monotonic) -> None:
        """`timeout`: seconds from now."""
        self._clock = clock
        self._expires_at = clock() + timeout

    def remaining(self) -> float:
        """Seconds, more than 0. Raises TimeoutError when none are left."""
        remaining = self._expires_at - self._clock()
        if remaining <= 0:
            raise TimeoutError("the deadline has passed")
        return remaining
