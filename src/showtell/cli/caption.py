"""`showtell caption`"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from showtell.cli.diverse import Diverse, check_diverse, groups_and_beam
from showtell.cli.renamed_options import renamed
from showtell.errors import BadConfig, BadImage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from showtell.cli.attention import Pictures
    from showtell.cli.output import RowFile
    from showtell.folder_scan import PassedOver
    from showtell.records import CaptionRow


def caption(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="PHOTO_OR_FOLDER...",
            help="Photos, folders (with subfolders), https:// and http:// URLs, or - to read a list of these, or one "
            "photo, from stdin.",
        ),
    ],
    model: Annotated[
        list[Path] | None,
        typer.Option(help="A folder that `showtell export` wrote; else the built-in model. Repeated: an ensemble."),
    ] = None,
    lang: Annotated[str | None, typer.Option(help="Language of the captions; else the first one of the model.")] = None,
    beam: Annotated[int | None, typer.Option(help="Beam size; 1: greedy search. Default: the model's.")] = None,
    num: Annotated[
        int, typer.Option(min=1, max=64, help="Captions per photo, best first; the beam is at least as wide.")
    ] = 1,
    diverse: Diverse = False,
    prompt: Annotated[
        str | None, typer.Option(metavar="TEXT", help="How every caption begins, for an imported model that takes it.")
    ] = None,
    max_length: Annotated[int | None, typer.Option(help="Maximum number of tokens in a caption.")] = None,
    min_confidence: Annotated[
        float, typer.Option(min=0, max=1, help="Withhold captions with less confidence (see docs/metrics.md).")
    ] = 0.0,
    min_score: Annotated[str | None, renamed("--min-score", "--min-confidence")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Photos per batch.")] = 32,
    threads: Annotated[int, typer.Option(min=0, max=256, help="Threads of the network; 0: all cores.")] = 0,
    max_pixels: Annotated[
        int | None,
        typer.Option(
            min=1, help="Pixels of the largest photo as it is decoded (large JPEGs smaller); else 80 million."
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Write rows to a .jsonl or .csv file instead of the terminal.")
    ] = None,
    attention: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write attention maps of each word to this folder.")
    ] = None,
    null: Annotated[
        bool, typer.Option("--null", "-0", help="Names on stdin end in NUL, as `find -print0` writes them.")
    ] = False,
    attention_grid: Annotated[
        bool, typer.Option("--attention-grid", help="Draw the attention weights of the grid cells, not interpolated.")
    ] = False,
) -> None:
    """Caption photos.

    Prints path, tab, caption after each batch. With --output every input has a row, failed ones with an error code.
    With --attention every photo has a sheet (PNG) and an animation (WebP), named after it.
    """
    from showtell.cli.output import RowFile
    from showtell.cli.urls import with_urls
    from showtell.core.captioner import Captioner
    from showtell.core.sources import find_images
    from showtell.folder_scan import PassedOver

    check_diverse(diverse, num)
    if attention_grid and attention is None:
        raise BadConfig("found --attention-grid without --attention DIR; give the folder to draw into")
    if null and "-" not in inputs:
        raise BadConfig("found --null without -; expected - among the inputs, for a list on standard input")
    passed_over = PassedOver()
    with contextlib.ExitStack() as stack:
        # The file first: an error in it must be reported before the model loads.
        file = None
        if output is not None:
            file = stack.enter_context(RowFile(output, num, min_confidence, attention is not None, inputs))
        captioner = Captioner.load(model or None, threads, max_pixels)
        changes: dict[str, int | None] = {"beam_size": beam}
        if num > 1:
            wide = max(num, beam or captioner.settings().beam_size)
            changes = {**groups_and_beam(num, wide)} if diverse else {"beam_size": wide}
        settings = captioner.settings(max_length=max_length, **changes)
        stdin = getattr(sys.stdin, "buffer", None)
        images = with_urls(find_images(inputs, stdin, null_separated=null, passed_over=passed_over))
        pictures = None
        if attention is not None:
            from showtell.cli.attention import Pictures

            pictures = stack.enter_context(Pictures(attention, captioner, attention_grid))
            images = pictures.filter_inputs(images, passed_over)
        rows = captioner.caption_many(
            images,
            batch_size=batch_size,
            language=lang,
            num=num,
            attention=pictures is not None,
            decode=settings,
            prompt=prompt,
        )
        failed = _write(rows, file, pictures, min_confidence, passed_over)
    if failed:
        raise typer.Exit(1)


def _write(
    rows: Iterator[CaptionRow],
    file: RowFile | None,
    pictures: Pictures | None,
    min_confidence: float,
    passed_over: PassedOver,
) -> int:
    """Write every row as it comes. Returns the number of inputs that failed."""
    from showtell.cli.output import is_confident, path_of
    from showtell.terminal import echo, stdout

    done = failed = 0
    screen = stdout()
    with _bar(captions_scroll_by=file is None and screen is not None and screen.isatty()) as advance:
        for row in rows:
            done += 1
            if not row.ok:
                failed += 1
                echo(f"showtell: {path_of(row)}: {row.error}: {row.detail}", err=True)
            name = None
            if pictures is not None and row.ok and is_confident(row.captions[0], min_confidence):
                name = pictures.name_for(row)
            if file is not None:
                file.write(row, name)
            else:
                _print(row, min_confidence)
            if pictures is not None and name is not None:
                try:
                    pictures.write(row, name)
                except BadImage as error:  # it could be read for its caption
                    failed += 1
                    echo(f"showtell: {path_of(row)}: {error}", err=True)
            advance()
    if passed_over.total or (done > 1 and (failed or file is not None)):
        also = f"; {passed_over}" if passed_over.total else ""
        echo(f"showtell: {done - failed} captioned, {failed} failed{also}", err=True)
    return failed


def _print(row: CaptionRow, min_confidence: float) -> None:
    from showtell.cli.output import is_confident, path_of
    from showtell.cli.right_to_left import shown
    from showtell.terminal import echo_row, stdout

    for candidate in row.captions:
        text = shown(candidate.text, stdout()) if is_confident(candidate, min_confidence) else ""
        echo_row(path_of(row), text)


@contextlib.contextmanager
def _bar(captions_scroll_by: bool) -> Iterator[Callable[[], None]]:
    """A progress bar on stderr if that is a terminal, unless captions are printed to a terminal as well."""
    if captions_scroll_by or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.completed:.0f} photos"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("captioning", total=None)
        yield lambda: bar.update(task, advance=1)
