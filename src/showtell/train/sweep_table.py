"""What a sweep found, one row per combination: as CSV for programs, as Markdown for people."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from showtell.files import write_text
from showtell.nets.parameters import parameter_table
from showtell.train.run_folder import RunFolder
from showtell.train.sweep import Combination

Cell = str | int | float | None
State = Literal["done", "failed", "running", "interrupted", "waiting"]


@dataclass
class Result:
    """How far one combination is, and what it found."""

    combination: Combination
    state: State
    why: str = ""
    """One line, of a failed one."""
    best_epoch: int | None = None
    epochs: int = 0
    scores: dict[str, float] = field(default_factory=dict)
    """Of the best epoch on dev, means over the languages."""
    by_language: dict[str, dict[str, float]] = field(default_factory=dict)
    parameters: int | None = None
    """How many are trained."""
    seconds: int | None = None
    """Of training, over all sittings."""


def read_result(combination: Combination, run: RunFolder, state: State | None = None, why: str = "") -> Result:
    """What the run folder says; `state` is what only the one who trains knows: that it runs, or failed."""
    if not run.state.exists():
        return Result(combination, state or "waiting", why)
    position = run.position()
    there: State = "done" if run.finished(combination.recipe) else "interrupted"
    result = Result(combination, state or there, why, epochs=position.epoch, seconds=round(position.seconds))
    result.parameters = sum(row.trained for row in parameter_table(combination.recipe, run.text().size))
    if run.best_scores.exists():
        best = json.loads(run.best_scores.read_text(encoding="utf-8"))
        result.best_epoch = best["epoch"]
        for name, value in best["scores"].items():
            if isinstance(value, dict):
                result.by_language[name] = value
            else:
                result.scores[name] = value
    return result


def read_curve(run: RunFolder, metric: str) -> dict[int, float]:
    """The metric on dev after each epoch. An epoch that was begun again, after a crash, counts as it ended."""
    if not run.log_file.exists():
        return {}
    entries = map(json.loads, run.log_file.read_text(encoding="utf-8").splitlines())
    return {entry["epoch"]: entry["scores"][metric] for entry in entries if entry["kind"] == "dev"}


def compared_by(results: Sequence[Result]) -> str:
    """The figure that all of them were to be best in, or CIDEr, if that is what was varied."""
    monitors = {each.combination.recipe.train.monitor for each in results}
    return monitors.pop() if len(monitors) == 1 else "CIDEr"


def best_of(results: Sequence[Result], metric: str) -> Result | None:
    """Of those that are done; the first of equals."""
    done = [each for each in results if each.state == "done" and metric in each.scores]
    sign = -1 if metric == "loss" else 1
    return max(done, key=lambda each: sign * each.scores[metric], default=None)


def write_tables(results: Sequence[Result], folder: Path) -> None:
    """`sweep.csv` and `sweep.md`, in the order of the combinations; in the latter the best one stands in bold."""
    columns, rows = _cells(results)
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerows([columns, *rows])
    write_text(folder / "sweep.csv", file.getvalue())
    best = best_of(results, compared_by(results))
    lines = [columns, ["---"] * len(columns)]
    lines += [[_shown(cell, each is best) for cell in row] for each, row in zip(results, rows, strict=True)]
    write_text(folder / "sweep.md", "".join(f"| {' | '.join(line)} |\n" for line in lines))


def _cells(results: Sequence[Result]) -> tuple[list[str], list[list[Cell]]]:
    """The names of the columns, and the rows under them."""
    figures = [_figures(each) for each in results]
    # Of a language that is the only one, the means say it all.
    if len({language for each in results for language in each.by_language}) < 2:
        figures = [each.scores for each in results]
    metrics = list(dict.fromkeys(name for those in figures for name in those))
    varied = list(results[0].combination.varied)
    columns = [*varied, "state", "best epoch", "epochs run", *metrics, "parameters", "seconds", "why", "run"]
    rows = [
        [
            *each.combination.varied.values(),
            each.state,
            each.best_epoch,
            each.epochs,
            *(those.get(name) for name in metrics),
            each.parameters,
            each.seconds,
            each.why,
            each.combination.name,
        ]
        for each, those in zip(results, figures, strict=True)
    ]
    return columns, rows


def _figures(result: Result) -> dict[str, float]:
    """The means, and `CIDEr (en)` and so on of each language."""
    each = {f"{name} ({lang})": value for lang, those in result.by_language.items() for name, value in those.items()}
    return {**result.scores, **each}


def _shown(cell: Cell, bold: bool) -> str:
    if isinstance(cell, float):
        text = f"{cell:.4f}"
    else:
        text = f"{cell:,}" if isinstance(cell, int) else (cell or "").replace("|", "\\|")
    return f"**{text}**" if bold and text else text
