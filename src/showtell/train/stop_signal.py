"""A clean stop on Ctrl-C, SIGTERM or SIGHUP: between two steps, with the state saved."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator


class Interrupted(Exception):
    """A stop signal came, and the state is saved."""

    exit_code = 130
    """128 + the signal's number."""


@contextlib.contextmanager
def catch_stop_signal() -> Iterator[Callable[[], bool]]:
    """Within the block, the first signal only sets a flag, which the yielded function returns; the second acts at once.
    A signal that is ignored, as with `nohup`, stays ignored."""
    received: int | None = None

    def remember(number: int, frame: object) -> None:
        nonlocal received
        received = number
        for stop in previous:
            signal.signal(stop, previous[stop])

    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    kept = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]
    previous = {number: signal.signal(number, remember) for number in kept}
    try:
        yield lambda: received is not None
    except Interrupted as interrupted:
        if received is not None:
            interrupted.exit_code = 128 + received
        raise
    finally:
        for stop, handler in previous.items():
            signal.signal(stop, handler)
