"""`showtell caption`"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from showtell.cli.diverse import Diverse, check_diverse, groups_and_beam
from showtell.errors import BadConfig, BadImage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from showtell.cli.attention import Pictures
    from showtell.cli.output import RowFile
    from showtell.records import CaptionRow


def caption(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="PHOTO_OR_FOLDER...",
            help="Photos, folders (searched below, too), https:// and http:// URLs, or - for any of these on stdin.",
        ),
    ],
    model: Annotated[
        list[Path] | None,
        typer.Option(
            help="A folder that `showtell export` wrote; else the built-in model. Repeated: they write together."
        ),
    ] = None,
    lang: Annotated[
        str | None, typer.Option(help="Language of the captions: en or ar, as far as the model writes it.")
    ] = None,
    beam: Annotated[
        int | None, typer.Option(help="Width of the beam search; 1 is greedy. The model says what is usual.")
    ] = None,
    num: Annotated[
        int, typer.Option(min=1, max=64, help="Captions per photo, best first; the beam is no narrower.")
    ] = 1,
    diverse: Diverse = False,
    max_length: Annotated[int | None, typer.Option(help="Most words in a caption.")] = None,
    min_score: Annotated[
        float, typer.Option(min=0, max=1, help="Write no caption that is less likely than this to be right (see docs).")
    ] = 0.0,
    batch_size: Annotated[int, typer.Option(min=1, help="Photos that are captioned together.")] = 32,
    threads: Annotated[int, typer.Option(min=0, max=256, help="Threads of the network; 0: all cores.")] = 0,
    output: Annotated[
        Path | None, typer.Option(help="Write rows to a .jsonl or .csv file instead of the terminal.")
    ] = None,
    attention: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Draw where the model looked for each word, into this folder.")
    ] = None,
    attention_grid: Annotated[
        bool, typer.Option("--attention-grid", help="Draw the model's cells as they are, not a smooth map of them.")
    ] = False,
) -> None:
    """Caption photos.

    Prints path, tab, caption, as it goes. With --output every input has its row, failed ones with an error code. With
    --attention every photo has a sheet (PNG) and an animation (WebP), named after it.
    """
    from showtell.cli.output import RowFile
    from showtell.cli.urls import with_urls
    from showtell.core.captioner import Captioner
    from showtell.core.sources import find_images

    check_diverse(diverse, num)
    if attention_grid and attention is None:
        raise BadConfig("found --attention-grid without --attention DIR; give the folder to draw into")
    with contextlib.ExitStack() as stack:
        # The file first: that it cannot be written must be known before the model loads.
        file = stack.enter_context(RowFile(output, num, min_score, attention is not None)) if output else None
        captioner = Captioner.load(model or None, threads)
        if hasattr(sys.stdin, "reconfigure"):
            sys.stdin.reconfigure(errors="surrogateescape")  # paths that are not UTF-8 are paths all the same
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="surrogateescape")
        changes: dict[str, int | None] = {"beam": beam}
        if num > 1:
            wide = max(num, beam or captioner.settings().beam)
            changes = {**groups_and_beam(num, wide)} if diverse else {"beam": wide}
        settings = captioner.settings(max_length=max_length, **changes)
        images = with_urls(find_images(inputs, sys.stdin))
        pictures = None
        if attention is not None:
            from showtell.cli.attention import Pictures

            pictures = Pictures(attention, captioner, attention_grid)
            images = pictures.wanted(images)
        rows = captioner.caption_many(
            images, batch_size=batch_size, language=lang, num=num, attention=pictures is not None, decode=settings
        )
        failed = _write(rows, file, pictures, min_score)
    if failed:
        raise typer.Exit(1)


def _write(rows: Iterator[CaptionRow], file: RowFile | None, pictures: Pictures | None, min_score: float) -> int:
    """Write every row as it comes; how many inputs failed."""
    from showtell.cli.output import is_sure, path_of

    done = failed = 0
    with _bar(captions_scroll_by=file is None and sys.stdout.isatty()) as advance:
        for row in rows:
            done += 1
            if not row.ok:
                failed += 1
                print(f"showtell: {path_of(row)}: {row.error}: {row.detail}", file=sys.stderr)
            name = None
            if pictures is not None and row.ok and is_sure(row.captions[0], min_score):
                name = pictures.name_for(row)
            if file is not None:
                file.write(row, name)
            else:
                _print(row, min_score)
            if pictures is not None and name is not None:
                try:
                    pictures.write(row, name)
                except BadImage as error:  # it could be read for its caption
                    failed += 1
                    print(f"showtell: {path_of(row)}: {error}", file=sys.stderr)
            advance()
    if done > 1 and (failed or file is not None):
        print(f"showtell: {done - failed} captioned, {failed} failed", file=sys.stderr)
    return failed


def _print(row: CaptionRow, min_score: float) -> None:
    from showtell.cli.output import is_sure, path_of
    from showtell.cli.right_to_left import shown

    for each in row.captions:
        text = shown(each.text, sys.stdout) if is_sure(each, min_score) else ""
        print(f"{path_of(row)}\t{text}", flush=True)


@contextlib.contextmanager
def _bar(captions_scroll_by: bool) -> Iterator[Callable[[], None]]:
    """A counter on stderr when a person watches, unless the captions themselves show how far it is."""
    if captions_scroll_by or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.completed:.0f} photos"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("captioning", total=None)
        yield lambda: bar.update(task, advance=1)
