"""`showtell sweep`"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from showtell.errors import BadConfig, ShowtellError

if TYPE_CHECKING:
    from showtell.records import Sample
    from showtell.train.run_folder import RunFolder
    from showtell.train.sweep import Combination
    from showtell.train.sweep_table import Result, State

Planned = list[tuple["Combination", Sequence["Sample"]]]


def sweep(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A name from `showtell recipes`, or a .yaml file.")],
    settings: Annotated[
        list[str],
        typer.Argument(
            metavar="KEY=VALUE[,VALUE]...",
            help="Settings. Brackets, braces and quotes keep their commas, as in a YAML list, and data keeps all of "
            "them. A key that is given again adds its values.",
        ),
    ],
    output: Annotated[
        Path | None, typer.Option(help="The folder of the runs, the table and the plot; default: sweeps/RECIPE.")
    ] = None,
) -> None:
    """Train every combination of settings; one table (sweep.csv, sweep.md) and one plot (sweep.png) of all.

    Ctrl-C stops cleanly; the same command goes on where it stopped, and tries again what failed.
    """
    # One after another: a run fills the cores or the GPU, and two that share them are done no sooner.
    from showtell.cli.extras import needs
    from showtell.cli.training import check_data_is_said, train_run
    from showtell.recipes import find_recipe
    from showtell.train.sweep import combinations

    found = combinations(find_recipe(recipe), settings, recipe)
    for each in found:
        check_data_is_said(each.recipe)
    with needs("train"):
        from showtell.train.loop import Interrupted
        from showtell.train.progress import Reporter
        from showtell.train.run_folder import RunFolder
        from showtell.train.sweep_table import write_tables

    folder = output or Path("sweeps") / Path(recipe).stem
    planned = _planned(found, folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadConfig(f"{folder}: cannot be made ({error.strerror}); give another folder with --output") from error
    reporter = Reporter()
    runs = [RunFolder(folder / combination.name) for combination, _ in planned]
    results = [_result(combination, run) for (combination, _), run in zip(planned, runs, strict=True)]
    for n, ((combination, samples), run) in enumerate(zip(planned, runs, strict=True)):
        reporter.say(f"{n + 1}/{len(planned)}: {combination.name}")
        if results[n].state != "done":
            results[n] = _result(combination, run, "running")
            write_tables(results, folder)
        try:
            train_run(combination.recipe, run, samples, reporter)
        except (Interrupted, KeyboardInterrupt):
            results[n] = _result(combination, run)
            _show(results, folder)
            done = sum(each.state == "done" for each in results)
            reporter.say(f"stopped; {done} of {len(planned)} are done; the same command goes on")
            raise typer.Exit(130) from None
        except ShowtellError as error:
            reporter.say(f"failed: {error}")
            results[n] = _result(combination, run, "failed", str(error))
        else:
            results[n] = _result(combination, run)
        _show(results, folder)
    reporter.say(_conclusion(results, folder))
    if any(each.state == "failed" for each in results):
        raise typer.Exit(1)


def _planned(found: Sequence[Combination], folder: Path) -> Planned:
    """The combinations with settled recipes, each with its data, which are read once. Raises BadConfig with all that
    can be known to go wrong, each with a combination that has it: a night must not end at a typing error in the last
    run."""
    from showtell.cli.recipes import VOCABULARY
    from showtell.data.spec import read_samples
    from showtell.nets.parameters import parameter_table
    from showtell.train.run_folder import RunFolder
    from showtell.train.start import settled

    data: dict[tuple[str, tuple[str, ...]], list[Sample]] = {}
    planned: Planned = []
    problems: dict[str, str] = {}
    for combination in found:
        spec, languages = combination.recipe.data, combination.recipe.text.languages
        if (spec, languages) not in data:
            data[spec, languages] = read_samples(spec, languages)
        samples = data[spec, languages]
        try:
            recipe = settled(combination.recipe, samples)
            parameter_table(recipe, recipe.text.size or VOCABULARY)  # puts a model together, without its weights
            weights = recipe.model.encoder.weights
            if weights is not None and not weights.is_file():
                raise BadConfig(f"model.encoder.weights: no file {weights}")
            RunFolder(folder / combination.name).check(recipe)
        except BadConfig as error:
            problems.setdefault(str(error), combination.name)
            continue
        planned.append((dataclasses.replace(combination, recipe=recipe), samples))
    if problems:
        raise BadConfig("; ".join(f"{name}: {problem}" for problem, name in problems.items()))
    return planned


def _result(combination: Combination, run: RunFolder, state: State | None = None, why: str = "") -> Result:
    """What the run folder says. Figures that are no numbers are left out: next to nan, no other is the best."""
    from showtell.train.sweep_table import read_result

    result = read_result(combination, run, state, why)
    broken = [name for name, value in result.scores.items() if not math.isfinite(value)]
    result.scores = {name: value for name, value in result.scores.items() if name not in broken}
    if broken and not why:
        result.why = f"{', '.join(broken)} of the best epoch: no number; a lower train.lr may help"
    return result


def _show(results: Sequence[Result], folder: Path) -> None:
    """Write tables and plot."""
    from showtell.train.run_folder import RunFolder
    from showtell.train.sweep_table import best_of, compared_by, read_curve, write_tables
    from showtell.view.sweep_plot import Line, draw_sweep

    write_tables(results, folder)
    metric = compared_by(results)
    best = best_of(results, metric)
    lines = [
        Line(
            tuple(each.combination.varied.values()),
            each.state,
            each.scores.get(metric),
            read_curve(RunFolder(folder / each.combination.name), metric) if each.scores else {},
            each is best,
        )
        for each in results
    ]
    draw_sweep(lines, list(results[0].combination.varied), metric, folder / "sweep.png")


def _conclusion(results: Sequence[Result], folder: Path) -> str:
    from showtell.train.sweep_table import best_of, compared_by

    metric = compared_by(results)
    best = best_of(results, metric)
    failed = sum(each.state == "failed" for each in results)
    parts = [f"{failed} of {len(results)} failed, and the same command tries them again"] if failed else []
    if best is not None:
        words = " ".join(f"{key}={value}" for key, value in best.combination.varied.items())
        parts.append(f"best: {words}, epoch {best.best_epoch}, dev {metric} {best.scores[metric]:.4f}")
        parts.append(f"next: showtell export {folder / best.combination.name} DIR")
    return "; ".join([*parts, f"all: {folder / 'sweep.md'}, {folder / 'sweep.png'}"])
