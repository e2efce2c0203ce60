"""`showtell train`"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def train(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A name from `showtell recipes`, or a .yaml file.")],
    settings: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Settings that differ, such as data=folder:photos."),
    ] = None,
    run: Annotated[
        Path | None, typer.Option(help="The run's folder; default: runs/RECIPE. An unfinished run goes on.")
    ] = None,
) -> None:
    """Train a model.

    Ctrl-C stops cleanly; the same command goes on where it stopped.
    """
    from showtell.cli.extras import needs
    from showtell.config import apply_overrides, parse_recipe
    from showtell.errors import BadConfig
    from showtell.recipes import find_recipe

    raw = apply_overrides(find_recipe(recipe), settings or [])
    parsed = parse_recipe(raw, recipe)
    if not parsed.data:
        raise BadConfig("data is missing; say what to train on, such as data=folder:photos or data=flickr:DIR")
    with needs("train"):
        from showtell.train.loop import Interrupted
        from showtell.train.progress import Reporter
        from showtell.train.run_folder import RunFolder
        from showtell.train.start import settled, start
        from showtell.view.curves import draw_curves
    from showtell.data.spec import read_samples
    from showtell.metrics import score

    samples = read_samples(parsed.data, parsed.text.languages)
    folder = RunFolder(run or Path("runs") / Path(recipe).stem)
    parsed = settled(parsed, samples)
    folder.open(parsed)
    reporter = Reporter()
    trainer = start(
        parsed, folder, samples, score, reporter, lambda done: draw_curves(done.log_file, done.path / "curves.png")
    )
    try:
        trainer.fit()
    except Interrupted:
        reporter.say(f"stopped; the state is in {folder.path}; the same command goes on")
        raise typer.Exit(130) from None
    best = json.loads(folder.best_scores.read_text(encoding="utf-8"))
    reporter.say(
        f"best: epoch {best['epoch']}, dev CIDEr {best['scores']['CIDEr']:.4f}; next: showtell export {folder.path} DIR"
    )
