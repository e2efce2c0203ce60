"""A clean stop on Ctrl-C or SIGTERM: between two steps, with the state saved."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator


class Interrupted(Exception):
    """A stop signal came, and the state is saved."""


@contextlib.contextmanager
def catch_stop_signal() -> Iterator[Callable[[], bool]]:
    """Within the block, the first SIGINT or SIGTERM only sets a flag, which the yielded function returns; the second
    acts at once."""
    received = False

    def remember(number: int, frame: object) -> None:
        nonlocal received
        received = True
        for stop in previous:
            signal.signal(stop, previous[stop])

    previous = {stop: signal.signal(stop, remember) for stop in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: received
    finally:
        for stop, handler in previous.items():
            signal.signal(stop, handler)
