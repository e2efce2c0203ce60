"""Ctrl-C, SIGTERM, SIGHUP: a command ends with its work kept and exit code 128 + n, without a traceback.

The first signal raises Stopped in the main thread, wherever that is, so that even a wait for a slow pipe ends. What
must not be interrupted in the middle is in `held()`. The second signal ends the process at once; it is seen by a thread
of its own, since Python's handlers wait until a network's batch is done. Rejected: handlers that only set a flag, which
nothing would look at while a model loads; KeyboardInterrupt, which typer turns into an exit without a word.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import socket

_NAMES: Final = ("SIGINT", "SIGTERM", "SIGHUP", "SIGXCPU", "SIGBREAK")
"""SIGHUP: the terminal was closed. SIGXCPU: the time that a batch system allows is up. SIGBREAK: Ctrl-Break."""
_SIGNALS: Final = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))
_ANSWER_SECONDS: Final = 0.5
"""How long the main thread has for a second signal of a handler that is not of this module."""


class Stopped(BaseException):
    """A signal asked the command to end. No Exception, so that nothing takes it for a failure of what it was doing."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number

    @property
    def exit_code(self) -> int:
        return 128 + self.number


class _State:
    received: int | None = None
    """The first signal."""
    due = False
    """It came within `held()`, or was lost in code that cannot raise, and is still to be raised."""
    holds = 0


_state = _State()
last_words: list[Callable[[], str | None]] = []
"""What to say on stderr when a second signal ends the process at once."""


@contextlib.contextmanager
def handled() -> Iterator[None]:
    """Within the block, signals raise Stopped. Signals that the parent process ignores stay ignored, as `nohup` and
    background jobs need it. Afterwards they end the process silently, since it has nothing left to do."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _state.received, _state.due = None, False
    numbers = [number for number in _SIGNALS if signal.getsignal(number) not in (signal.SIG_IGN, None)]
    for number in numbers:
        signal.signal(number, _handle)
    import socket  # after the handlers, which should be installed as early as can be

    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    previous_descriptor = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    previous_hook, sys.unraisablehook = sys.unraisablehook, _remember_lost
    threading.Thread(target=_watch, args=(receiver,), name="showtell-signals", daemon=True).start()
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)
        sys.unraisablehook = previous_hook
        signal.set_wakeup_fd(previous_descriptor)
        sender.close()


@contextlib.contextmanager
def held() -> Iterator[None]:
    """A signal within the block is raised at its end."""
    _state.holds += 1
    try:
        yield
    finally:
        _state.holds -= 1
    raise_due()


def raise_due() -> None:
    if _state.due and not _state.holds and _state.received is not None:
        _state.due = False
        raise Stopped(_state.received)


def received() -> Stopped | None:
    """The first signal that came."""
    return None if _state.received is None else Stopped(_state.received)


def is_due() -> bool:
    """Whether the end of `held()` will raise Stopped."""
    return _state.due


def _handle(number: int, frame: Any) -> None:
    if _state.received is not None:
        _end_at_once(number)
    _state.received = number
    if _state.holds:
        _state.due = True
    else:
        raise Stopped(number)


def _watch(receiver: socket.socket) -> None:
    count = 0
    asked: tuple[Any, float] = None, 0.0  # the handler of `train` that had a signal last, and when its first one came
    with receiver:
        while data := receiver.recv(1):
            handler, now = signal.getsignal(data[0]), time.monotonic()
            # `train` and `serve` have handlers of their own. To that of `train`, which has this attribute, a signal
            # more than so many seconds after the first is the second one; to `serve` it means something else.
            seconds = getattr(handler, "repeat_seconds", None)
            if handler is _handle:
                count += 1
            elif seconds is not None and handler is not asked[0]:
                asked = handler, now
            elif seconds is not None and now - asked[1] > seconds:
                count += 1
                time.sleep(_ANSWER_SECONDS)
                if signal.getsignal(data[0]) is handler:  # else it has run, and what it raised is on its way
                    _end_at_once(data[0])
            if count > 1:
                _end_at_once(data[0])


def _remember_lost(unraisable: Any) -> None:
    if isinstance(unraisable.exc_value, Stopped):
        _state.due = True  # raised while an object was deleted; there it goes no further
    else:
        sys.__unraisablehook__(unraisable)


def _end_at_once(number: int) -> None:
    for say in last_words:
        if line := say():
            with contextlib.suppress(OSError):
                os.write(2, f"showtell: {line}\n".encode("utf-8", "backslashreplace"))
    os._exit(128 + number)
