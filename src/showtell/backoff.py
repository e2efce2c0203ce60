"""A request that failed for a moment is made again: exponential backoff with full jitter.

The wait before the n-th repetition is drawn between 0 and FIRST * 2**n seconds, at most LONGEST, so that machines that
were throttled together do not come back together.

Rejected: the retries of botocore and of s3fs. They are nested (a request, its response, the whole call), so that a host
that is gone would be asked 125 times; both are switched off in `remote/client`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

T = TypeVar("T")

ATTEMPTS: Final = 7
FIRST: Final = 0.5
LONGEST: Final = 20.0


@dataclass(frozen=True)
class Backoff:
    """How often, and when. The clock and the dice are those of the system; tests give others."""

    attempts: int = ATTEMPTS
    sleep: Callable[[float], None] = time.sleep
    draw: Callable[[], float] = random.random
    """A number from 0 to 1."""

    def call(self, request: Callable[[], T], is_transient: Callable[[Exception], bool]) -> T:
        """What `request` returns. Raises its last error, or the first one that is not transient."""
        for attempt in range(self.attempts - 1):
            try:
                return request()
            except Exception as error:
                if not is_transient(error):
                    raise
            self.wait(attempt)
        return request()

    def wait(self, attempt: int) -> None:
        """Sleep before the repetition after the failed `attempt`, counted from 0."""
        self.sleep(self.draw() * min(LONGEST, FIRST * 2**attempt))
