"""Event loops whose time a test controls, and waiting without a guess of how fast the machine is."""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

HANG_SECONDS = 300
"""After which something hangs; no machine is that slow."""

_DEADLOCK_SECONDS = 1e6
"""To which an AutojumpLoop jumps when nothing else is left to wait for."""

T = TypeVar("T")


def until(condition: Callable[[], bool]) -> None:
    """Blocks until `condition` holds."""
    end = time.monotonic() + HANG_SECONDS
    while not condition():
        assert time.monotonic() < end, "it never came about"
        time.sleep(0.002)


async def until_async(condition: Callable[[], bool]) -> None:
    """As `until`, in real time whatever the loop's clock."""
    end = time.monotonic() + HANG_SECONDS
    while not condition():
        assert time.monotonic() < end, "it never came about"
        await asyncio.to_thread(time.sleep, 0.002)


class FakeClock:
    """Monotonic time that passes when a test says so."""

    def __init__(self) -> None:
        self._now = 0.0

    def __call__(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += seconds


class SkippableLoop(asyncio.SelectorEventLoop):
    """Real time, in which a test can skip hours.

    With limits of hours, and skips over them, no test depends on how fast the machine is.
    """

    def __init__(self) -> None:
        super().__init__()
        self._skipped = 0.0

    def time(self) -> float:
        return super().time() + self._skipped

    def advance(self, seconds: float) -> None:
        """In the thread of the loop."""
        self._skipped += seconds

    def skip(self, seconds: float = 0.0) -> None:
        """From another thread: lets time pass, and returns when the timers that are due have run, and whatever had
        arrived at sockets before has been read."""
        done = threading.Event()

        def set_time() -> None:
            self.advance(seconds)
            self.call_soon(self.call_soon, done.set)

        self.call_soon_threadsafe(set_time)
        assert done.wait(HANG_SECONDS)

    def hurry(self, thread: threading.Thread) -> None:
        """From another thread: lets time pass quickly until the thread that runs the loop has ended."""

        end = time.monotonic() + HANG_SECONDS
        while thread.is_alive():
            assert time.monotonic() < end, "it never ended"
            with contextlib.suppress(RuntimeError):  # closed
                self.call_soon_threadsafe(self.advance, 0.1)
            thread.join(0.002)


class AutojumpLoop(asyncio.SelectorEventLoop):
    """As Trio's MockClock with autojump: time stands still while anything can run, else jumps to the next timer.

    For code without threads, and sockets that are ready at once.
    """

    def __init__(self) -> None:
        super().__init__(_JumpingSelector(self._jump))
        self._now = 0.0

    def time(self) -> float:
        return self._now

    def _jump(self, seconds: float) -> None:
        self._now += seconds


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self, jump: Callable[[float], None]) -> None:
        super().__init__()
        self._jump = jump

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:  # at the end of the loop, in `shutdown_asyncgens`
            return super().select(None)
        ready = super().select(0)
        if not ready and timeout > 0:
            self._jump(timeout)
        return ready


def run_with_autojump(main: Coroutine[Any, Any, T]) -> T:
    """As `asyncio.run`, on an AutojumpLoop; `asyncio.Runner` with its loop_factory is Python 3.11's."""
    loop = AutojumpLoop()
    try:
        return loop.run_until_complete(asyncio.wait_for(main, _DEADLOCK_SECONDS))
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
