"""A clean stop on Ctrl-C, SIGTERM or SIGHUP: between two steps, with the state saved."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

REPEAT_SECONDS: Final = 2.0
"""A batch system and what it has started may both forward a signal; nobody who is impatient is as quick."""


class Interrupted(Exception):
    """A stop signal came, and the state is saved."""

    exit_code = 130
    """128 + the signal's number."""


@contextlib.contextmanager
def catch_stop_signal() -> Iterator[Callable[[], bool]]:
    """Within the block, the first signal only sets a flag, which the yielded function returns. Others that come with it
    are ignored; a later one acts at once. A signal that is ignored, as with `nohup`, stays ignored."""
    received: int | None = None
    since = 0.0

    def remember(number: int, frame: Any) -> None:
        nonlocal received, since
        if received is None:
            received, since = number, time.monotonic()
        elif time.monotonic() - since > REPEAT_SECONDS:
            restore()
            act(number, frame)

    # Python calls it only when the main thread is in Python code again; `cli.signals` looks after the other case.
    remember.repeat_seconds = REPEAT_SECONDS  # type: ignore[attr-defined]

    def restore() -> None:
        for stop, handler in previous.items():
            signal.signal(stop, handler)

    def act(number: int, frame: Any) -> None:
        handler = previous[number]
        if callable(handler):  # not sent once more: `cli.signals` counts what arrives
            handler(number, frame)
        else:
            signal.raise_signal(number)

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
        restore()
