"""`showtell caption`"""

from __future__ import annotations

import contextlib
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from showtell.cli.diverse import Diverse, check_diverse, groups_and_beam
from showtell.cli.engines import EngineName, RayAddress, WorkerCount, check_engine, open_engine
from showtell.cli.renamed_options import renamed
from showtell.cli.runtime import RuntimeOption, say_runtime
from showtell.errors import BadConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from showtell.cli.attention import Pictures
    from showtell.cli.output import RowFile
    from showtell.folder_scan import PassedOver
    from showtell.records import CaptionRow


def caption(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="PHOTO_OR_FOLDER...",
            help="Photos, folders (with subfolders), https:// and http:// URLs, tables (.csv, .tsv, .jsonl), tar "
            "shards and Parquet files of photos, also in object storage (s3://bucket/photos/, gs://bucket/*.tar) or at "
            "https://, or - to read a list of these, or one photo, from stdin.",
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
    runtime: RuntimeOption = "onnxruntime",
    max_pixels: Annotated[
        int | None,
        typer.Option(
            min=1, help="Pixels of the largest photo as it is decoded (large JPEGs smaller); else 80 million."
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|KIND",
            help="Write rows to a .jsonl or .csv file or a .parquet folder, or a file per photo (sidecar, xmp, "
            "sidecar:DIR, xmp:DIR), instead of the terminal. The same command goes on after an interruption.",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Begin --output anew, whatever is there.")] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try the photos of --output again that have failed.")
    ] = False,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Leave out photos that have a sidecar or XMP file already.")
    ] = False,
    allow_changed: Annotated[
        bool, typer.Option("--allow-changed", help="Go on with --output although model, options or inputs differ.")
    ] = False,
    prefix: Annotated[str, typer.Option(help="Text before each caption of --output sidecar.")] = "",
    suffix: Annotated[str, typer.Option(help="Text after each caption of --output sidecar.")] = "",
    column: Annotated[
        str | None, typer.Option(help="Column of the photos in tables and Parquet files; else image, file_name ...")
    ] = None,
    engine: Annotated[
        EngineName, typer.Option(help="Caption in this process, or in workers on Ray.")
    ] = EngineName.local,
    ray_address: RayAddress = None,
    workers: WorkerCount = 0,
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
    from showtell.bulk.run import Run, RunOptions
    from showtell.bulk.sinks import SinkOptions
    from showtell.bulk.sources import count_inputs, find_inputs
    from showtell.cli.bulk import header_of, open_output, save_rows
    from showtell.cli.urls import with_urls
    from showtell.core.captioner import Captioner
    from showtell.folder_scan import PassedOver

    check_diverse(diverse, num)
    if attention_grid and attention is None:
        raise BadConfig("found --attention-grid without --attention DIR; give the folder to draw into")
    check_engine(engine, ray_address, workers)
    if null and "-" not in inputs:
        raise BadConfig("found --null without -; expected - among the inputs, for a list on standard input")
    run_options = RunOptions(overwrite, allow_changed, skip_existing, retry_failed)
    sink_options = SinkOptions(num, attention is not None, prefix, suffix, tuple(inputs))
    passed_over = PassedOver()
    with contextlib.ExitStack() as stack:
        # The output first: an error in it must be reported before the model loads.
        place = stack.enter_context(open_output(output, run_options, sink_options, min_confidence))
        captioner = Captioner.load(model or None, threads, max_pixels, runtime)
        say_runtime(captioner)
        changes: dict[str, int | None] = {"beam_size": beam}
        if num > 1:
            wide = max(num, beam or captioner.settings().beam_size)
            changes = {**groups_and_beam(num, wide)} if diverse else {"beam_size": wide}
        settings = captioner.settings(max_length=max_length, **changes)
        stdin = getattr(sys.stdin, "buffer", None)
        images = with_urls(find_inputs(inputs, stdin, null_separated=null, column=column, passed_over=passed_over))
        pictures = None
        if attention is not None:
            from showtell.cli.attention import Pictures

            pictures = stack.enter_context(Pictures(attention, captioner, attention_grid))
            images = pictures.filter_inputs(images, passed_over)

        options = {
            "language": lang,
            "num": num,
            "attention": attention is not None,
            "decode": settings,
            "prompt": prompt,
        }
        captions = stack.enter_context(
            open_engine(engine, captioner, {**options, "batch_size": batch_size}, ray_address, workers, threads)
        )
        if isinstance(place, Run):
            header = header_of(place, captioner, lang, settings, prompt, sink_options, min_confidence, column, inputs)
            failed = save_rows(
                place, header, images, captions, pictures, min_confidence, passed_over, partial(count_inputs, inputs)
            )
        else:
            failed = _write(captions(images), place, pictures, min_confidence, passed_over)
    if failed:
        raise typer.Exit(1)


def _write(
    rows: Iterator[CaptionRow],
    file: RowFile | None,
    pictures: Pictures | None,
    min_confidence: float,
    passed_over: PassedOver,
) -> int:
    """Print every row as it comes, or write it to a pipe. Returns the number of inputs that failed."""
    from showtell.cli.bulk import draw, picture_name, report
    from showtell.cli.progress_bar import progress_bar
    from showtell.terminal import echo, stdout

    done = failed = 0
    screen = stdout()
    with progress_bar(captions_scroll_by=file is None and screen is not None and screen.isatty()) as advance:
        for row in rows:
            done += 1
            failed += not report(row)
            name = picture_name(pictures, row, min_confidence)
            if file is not None:
                file.write(row, name)
            else:
                _print(row, min_confidence)
            failed += not draw(pictures, row, name)
            advance(row.ok)
    if passed_over.total or (done > 1 and (failed or file is not None)):
        also = f"; {passed_over}" if passed_over.total else ""
        echo(f"showtell: {done - failed} captioned, {failed} failed{also}", err=True)
    return failed


def _print(row: CaptionRow, min_confidence: float) -> None:
    from showtell.bulk.rows import is_confident, path_of
    from showtell.cli.right_to_left import shown
    from showtell.terminal import echo_row, stdout

    for candidate in row.captions:
        text = shown(candidate.text, stdout()) if is_confident(candidate, min_confidence) else ""
        echo_row(path_of(row), text)
