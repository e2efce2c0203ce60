"""Work, counted instead of timed: a count is the same on every machine."""

from __future__ import annotations

import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable
from types import FrameType


def count_calls(work: Callable[[], object]) -> Counter[str]:
    """How often each function was called, in Python or in C, by its name without module and class.

    What a loop does without a call, and what goes on inside a C function, is not seen.
    """
    calls: Counter[str] = Counter()

    def profile(frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            calls[frame.f_code.co_name] += 1
        elif event == "c_call":
            calls[getattr(argument, "__name__", "?")] += 1

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(before)
    return calls


def peak_memory(work: Callable[[], object]) -> int:
    """Bytes that Python took at the same time; pixels, which Pillow allocates itself, are not among them."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def assert_linear(work_on: Callable[[int], Callable[[], object]], size: int = 100) -> None:
    """Four times as much is at most four times the calls, and looks at no more single files.

    `work_on(size)` prepares the work; what it does itself is not counted.
    """
    work_on(size // 2)()  # caches are filled
    few, many = (count_calls(work_on(n)) for n in (size, 4 * size))
    assert few.total() > size, "the work is done in calls"
    assert many.total() <= 4 * few.total()
    assert many["stat"] <= few["stat"], "folders are listed; files are not looked at one by one"
