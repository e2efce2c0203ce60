"""How far a bulk run is: counts, photos per second and the time left, for a terminal or a log."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Final

SECONDS_BETWEEN_LINES: Final = 60.0
_WINDOW: Final = 300.0
"""Seconds over which the rate is taken: a run over days has fast and slow stretches."""


class Progress:
    """Counts rows. `total`: of all inputs, when that is known; `done`: those of earlier runs."""

    def __init__(self, done: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self.done, self.failed = done, 0
        self.total: int | None = None
        self._clock = clock
        self._points: deque[tuple[float, int]] = deque([(clock(), done)])
        self._next_line = clock() + SECONDS_BETWEEN_LINES

    def advance(self, is_ok: bool) -> None:
        self.done += 1
        self.failed += not is_ok
        now = self._clock()
        if now - self._points[-1][0] >= 1:
            self._points.append((now, self.done))
            while now - self._points[0][0] > _WINDOW and len(self._points) > 2:
                self._points.popleft()

    def rate(self) -> float:
        """Photos per second, of late; 0 at first."""
        begin, count = self._points[0]
        seconds = self._clock() - begin
        return (self.done - count) / seconds if seconds > 0 else 0.0

    def line_due(self) -> str | None:
        """A line for a log, once a minute; a clock that jumps, as after sleep, gives one and not many."""
        now = self._clock()
        if now < self._next_line:
            return None
        self._next_line = now + SECONDS_BETWEEN_LINES
        return str(self)

    def __str__(self) -> str:
        rate = self.rate()
        of = f" of {self.total}" if self.total is not None else ""
        failed = f", {self.failed} failed" if self.failed else ""
        text = f"{self.done}{of} photos{failed}, {rate:.1f} a second"
        if self.total is not None and rate > 0 and self.total >= self.done:
            text += f", {_duration((self.total - self.done) / rate)} left"
        return text


def _duration(seconds: float) -> str:
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}"
