"""`showtell train`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def train(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A name from `showtell recipes`, or a .yaml file.")],
    settings: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Overrides of settings, such as data=folder:photos."),
    ] = None,
    run: Annotated[
        Path | None, typer.Option(help="The run folder; default: runs/RECIPE. An unfinished run is resumed.")
    ] = None,
    allow_changed_data: Annotated[
        bool,
        typer.Option("--allow-changed-data", help="Resume although photos or captions are not those it began with."),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Measure a few steps, say what the run will take, and leave nothing."),
    ] = False,
) -> None:
    """Train a model.

    Ctrl-C stops cleanly; the same command resumes the run.
    """
    from showtell.cli.extras import needs
    from showtell.cli.training import best_epoch, check_is_complete, train_run
    from showtell.config import apply_overrides, parse_recipe
    from showtell.recipes import find_recipe
    from showtell.train.start_from import complete

    raw = apply_overrides(find_recipe(recipe), settings or [])
    with needs("train"):
        raw = complete(raw)
    parsed = parse_recipe(raw, recipe)
    check_is_complete(parsed)
    with needs("train"):
        from showtell.progress import ProgressReporter
        from showtell.train.run_folder import RunFolder
        from showtell.train.setup import resolve_recipe
        from showtell.train.stop_signal import Interrupted
    from showtell.cli.reading import read_data

    samples = read_data(parsed.data, parsed.text.languages)
    folder = RunFolder(run or Path("runs") / Path(recipe).stem)
    parsed = resolve_recipe(parsed, samples)
    reporter = ProgressReporter()
    if dry_run:
        from showtell.cli.dry_run import say_forecast

        folder.check(parsed)
        say_forecast(parsed, folder.path, samples, reporter)
        return
    try:
        is_first = train_run(parsed, folder, samples, reporter, allow_changed_data)
    except Interrupted as interrupted:
        reporter.say(f"stopped; the state is in {folder.path}; the same command goes on")
        raise typer.Exit(interrupted.exit_code) from None
    if is_first:
        reporter.say(f"best: {best_epoch(parsed, folder)}; next: showtell export {folder.path} DIR")
