"""`showtell bench`"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from showtell.terminal import echo

if TYPE_CHECKING:
    from collections.abc import Iterable


def bench(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PHOTO_OR_FOLDER]...", help="Photos to measure with; else made-up ones."),
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="A folder that `showtell export` wrote; else the built-in model.")
    ] = None,
    photos: Annotated[int, typer.Option(min=1, help="How many photos at most.")] = 64,
    batch_size: Annotated[int, typer.Option(min=1, help="Photos per batch.")] = 32,
    threads: Annotated[int, typer.Option(min=0, max=256, help="Threads of the network; 0: all cores.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object in place of the table.")] = False,
) -> None:
    """Measure captioning on this machine: one photo, many photos, each stage, start and memory.

    Takes about a minute with the built-in model. Times of a machine that does other work vary.
    """
    from showtell.cli.bench_report import table
    from showtell.cli.bench_run import Workload, measure

    with tempfile.TemporaryDirectory() as folder:
        paths, failed = _photos(inputs, photos, Path(folder))
        workload = Workload(paths, not inputs, model, batch_size, threads)
        report = measure(workload)
    if as_json:
        echo(json.dumps(report))
    else:
        for line in table(report):
            echo(line)
    if failed:
        raise typer.Exit(1)


def _photos(inputs: Iterable[str] | None, limit: int, folder: Path) -> tuple[list[Path], int]:
    """At most `limit` photos that can be used, and how many of those before them cannot. Without `inputs`, they are
    made in `folder`. Raises BadConfig when there is none."""
    from showtell.cli.bench_photos import make_photos, usable_photos

    if not inputs:
        return make_photos(folder, limit), 0
    return usable_photos(inputs, limit)
