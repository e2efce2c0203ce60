"""Progress of captioning on stderr: a bar on a terminal, a line a minute elsewhere."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator

from showtell.bulk.progress import Progress
from showtell.terminal import echo


@contextlib.contextmanager
def progress_bar(
    captions_scroll_by: bool = False,
    in_log: bool = False,
    progress: Progress | None = None,
    count: Callable[[], int | None] | None = None,
) -> Iterator[Callable[[bool], None]]:
    """A function to call after each row with whether it is a caption.

    `captions_scroll_by`: no bar, since captions are printed to the terminal as well. `in_log`: lines, where stderr is
    no terminal. `count`: counts the inputs, for the time left; it is called in a thread, which the end does not wait
    for.
    """
    progress = progress or Progress()
    is_terminal = sys.stderr.isatty()
    if captions_scroll_by or not (is_terminal or in_log):
        yield lambda ok: None
        return
    if count is not None:
        threading.Thread(target=_count, args=(progress, count), name="showtell-count", daemon=True).start()
    if not is_terminal:
        yield lambda ok: _log(progress, ok)
        return
    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(str(progress), total=None)

        def advance(is_ok: bool) -> None:
            progress.advance(is_ok)
            bar.update(task, description=str(progress))

        yield advance


def _log(progress: Progress, is_ok: bool) -> None:
    progress.advance(is_ok)
    if (line := progress.line_due()) is not None:
        echo(f"showtell: {line}", err=True)


def _count(progress: Progress, count: Callable[[], int | None]) -> None:
    with contextlib.suppress(Exception):  # whatever it is, captioning meets it as well, and says so
        progress.total = count()
