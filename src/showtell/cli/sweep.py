"""`showtell sweep`"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from showtell.errors import BadConfig, ShowtellError, StorageUnreachable

if TYPE_CHECKING:
    from showtell.records import Sample
    from showtell.train.run_folder import RunFolder
    from showtell.train.sweep import Combination
    from showtell.train.sweep_table import Result, State

Plan = list[tuple["Combination", Sequence["Sample"]]]


def sweep(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A name from `showtell recipes`, or a .yaml file.")],
    settings: Annotated[
        list[str],
        typer.Argument(
            metavar="KEY=VALUE[,VALUE]...",
            help="Settings. Commas in brackets, braces and quotes do not split, as in a YAML list, nor do those of "
            "data. A repeated key adds its values.",
        ),
    ],
    output: Annotated[
        Path | None, typer.Option(help="The folder of the runs, the table and the plot; default: sweeps/RECIPE.")
    ] = None,
) -> None:
    """Train every combination of settings; one table (sweep.csv, sweep.md) and one plot (sweep.png) of all.

    Ctrl-C stops cleanly; the same command resumes, and tries failed runs again.
    """
    # One after another: a run uses all cores or the GPU, so two runs at a time would finish no sooner.
    from showtell.cli.extras import needs
    from showtell.cli.signals import Stopped
    from showtell.cli.training import check_is_complete, train_run
    from showtell.recipes import find_recipe
    from showtell.train.sweep import combinations

    _check_is_alone()
    with needs("train"):
        grid = combinations(find_recipe(recipe), settings, recipe)
    for combination in grid:
        check_is_complete(combination.recipe)
    with needs("train"):
        from showtell.progress import ProgressReporter
        from showtell.train.run_folder import RunFolder
        from showtell.train.stop_signal import Interrupted
        from showtell.train.sweep_table import write_tables

    folder = output or Path("sweeps") / Path(recipe).stem
    planned = _planned(grid, folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadConfig(f"{folder}: cannot be made ({error.strerror}); give another folder with --output") from error
    reporter = ProgressReporter()
    runs = [RunFolder(folder / combination.name) for combination, _ in planned]
    results = [_result(combination, run) for (combination, _), run in zip(planned, runs, strict=True)]
    for n, ((combination, samples), run) in enumerate(zip(planned, runs, strict=True)):
        reporter.say(f"{n + 1}/{len(planned)}: {combination.name}")
        if results[n].state != "done":
            results[n] = _result(combination, run, "running")
            write_tables(results, folder)
        try:
            train_run(combination.recipe, run, samples, reporter)
        except (Interrupted, Stopped) as stopped:
            results[n] = _result(combination, run)
            _show(results, folder)
            done = sum(result.state == "done" for result in results)
            reporter.say(f"stopped; {done} of {len(planned)} are done; the same command goes on")
            raise typer.Exit(stopped.exit_code) from None
        except StorageUnreachable:
            results[n] = _result(combination, run)
            _show(results, folder)
            raise
        except ShowtellError as error:
            reporter.say(f"failed: {error}")
            results[n] = _result(combination, run, "failed", str(error))
        else:
            results[n] = _result(combination, run)
        _show(results, folder)
    reporter.say(_conclusion(results, folder))
    if any(result.state == "failed" for result in results):
        raise typer.Exit(1)


def _check_is_alone() -> None:
    """Raises BadConfig in a process that torchrun has started with others: all would write the same table."""
    count = int(os.environ["WORLD_SIZE"]) if "TORCHELASTIC_RUN_ID" in os.environ else 1
    if count > 1:
        raise BadConfig(
            f"torchrun has started {count} processes; a sweep trains one run after another in one process: expected "
            "`showtell sweep` without torchrun, or torchrun with a `showtell train` for each run"
        )


def _planned(grid: Sequence[Combination], folder: Path) -> Plan:
    """The combinations with resolved recipes, and their data, read once. Raises BadConfig with every problem that can
    be found before training, each with a combination that has it, so that an error in the last run does not only
    appear hours later."""
    from showtell.cli.reading import read_data
    from showtell.cli.recipes import DEFAULT_VOCAB_SIZE
    from showtell.nets.parameters import parameter_table
    from showtell.train.run_folder import RunFolder
    from showtell.train.setup import resolve_recipe

    data: dict[tuple[str, tuple[str, ...]], list[Sample]] = {}
    planned: Plan = []
    problems: dict[str, str] = {}
    for combination in grid:
        if (devices := combination.recipe.train.devices) > 1:
            raise BadConfig(
                f"train.devices is {devices}; a sweep trains one run after another in one process: expected 1, or a "
                "`showtell train` for each run"
            )
        spec, languages = combination.recipe.data, combination.recipe.text.languages
        if (spec, languages) not in data:
            data[spec, languages] = read_data(spec, languages)
        samples = data[spec, languages]
        try:
            recipe = resolve_recipe(combination.recipe, samples)
            parameter_table(
                recipe, recipe.text.vocab_size or DEFAULT_VOCAB_SIZE
            )  # builds the model, without its weights
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
    """Read from the run folder. NaN and infinite scores are left out: they cannot be compared."""
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
    from showtell.train.sweep_table import best_of, comparison_metric, read_curve, write_tables
    from showtell.view.sweep_plot import SweepRun, draw_sweep

    write_tables(results, folder)
    metric = comparison_metric(results)
    best = best_of(results, metric)
    lines = [
        SweepRun(
            tuple(result.combination.varied.values()),
            result.state,
            result.scores.get(metric),
            read_curve(RunFolder(folder / result.combination.name), metric) if result.scores else {},
            result is best,
        )
        for result in results
    ]
    draw_sweep(lines, list(results[0].combination.varied), metric, folder / "sweep.png")


def _conclusion(results: Sequence[Result], folder: Path) -> str:
    from showtell.train.sweep_table import best_of, comparison_metric

    metric = comparison_metric(results)
    best = best_of(results, metric)
    failed = sum(result.state == "failed" for result in results)
    parts = [f"{failed} of {len(results)} failed, and the same command tries them again"] if failed else []
    if best is not None:
        words = " ".join(f"{key}={value}" for key, value in best.combination.varied.items())
        parts.append(f"best: {words}, epoch {best.best_epoch}, dev {metric} {best.scores[metric]:.4f}")
        parts.append(f"next: showtell export {folder / best.combination.name} DIR")
    return "; ".join([*parts, f"all: {folder / 'sweep.md'}, {folder / 'sweep.png'}"])
