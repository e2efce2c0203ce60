"""Progress of long work on stderr: a bar on a terminal, a line every 30 seconds elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from showtell.stages import Advance
from showtell.terminal import escape

SECONDS_BETWEEN_LINES = 30.0


def duration(seconds: float) -> str:
    """As exact as a forecast is: `50 s`, `12 min`, `3 h 10 min`, `2 days 5 h`."""
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes // 1440} days {minutes % 1440 // 60} h"


class ProgressReporter:
    def __init__(self, quiet: bool = False) -> None:
        """`quiet`: for all processes of a run but the first."""
        self.console = Console(stderr=True, highlight=False, emoji=False, quiet=quiet)

    def say(self, message: str) -> None:
        self.console.print(escape(message), markup=False, soft_wrap=True)

    @contextlib.contextmanager
    def stage(self, title: str, total: int, done: int = 0) -> Iterator[Advance]:
        """Progress of one stage of `total` items, `done` of which are done already."""
        # Rich also takes a notebook's cell for a terminal (FORCE_COLOR), where a bar that moves is a hundred lines.
        if self.console.is_terminal and sys.stderr.isatty():
            with self._bar(title, total, done) as advance:
                yield advance
        else:
            yield self._lines(title, total, done)

    @contextlib.contextmanager
    def _bar(self, title: str, total: int, done: int) -> Iterator[Advance]:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=self.console, transient=True) as bar:
            task = bar.add_task(title, total=total, completed=done, note="")
            yield lambda n, note="": bar.update(task, advance=n, note=note)

    def _lines(self, title: str, total: int, done: int) -> Advance:
        last_line, count = time.monotonic(), done

        def advance(n: int, note: str = "") -> None:
            nonlocal last_line, count
            count += n
            if time.monotonic() - last_line >= SECONDS_BETWEEN_LINES:
                last_line = time.monotonic()
                self.say(f"{title}: {count}/{total} {note}".rstrip())

        return advance
