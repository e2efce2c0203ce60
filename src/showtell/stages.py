"""Progress of long work, as whoever does the work sees it; `progress.ProgressReporter.stage` shows it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

Advance = Callable[..., None]
"""`advance(n, note="")`: n more are done."""
Stage = Callable[[str, int], contextlib.AbstractContextManager[Advance]]
"""`stage(title, total)`: one stage, of so many items."""


@contextlib.contextmanager
def silent_stage(title: str, total: int) -> Iterator[Advance]:
    """Shows nothing."""
    yield lambda number, note="": None
