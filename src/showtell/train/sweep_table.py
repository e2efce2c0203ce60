"""The results of a sweep, one row per combination: as CSV for programs, as Markdown for people."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from showtell.files import read_lines, write_text
from showtell.nets.parameters import parameter_table
from showtell.train.run_folder import RunFolder
from showtell.train.sweep import Combination
from showtell.train.vocabulary import network_vocab_size

Cell = str | int | float | None
State = Literal["done", "failed", "running", "interrupted", "waiting"]


@dataclass
class Result:
    """Progress and scores of one combination."""

    combination: Combination
    state: State
    why: str = ""
    """The error of a failed run, in one line."""
    best_epoch: int | None = None
    epochs: int = 0
    scores: dict[str, float] = field(default_factory=dict)
    """Of the best epoch on dev, means over the languages."""
    by_language: dict[str, dict[str, float]] = field(default_factory=dict)
    parameters: int | None = None
    """Trainable ones."""
    seconds: int | None = None
    """Of training, over all sessions."""


def read_result(combination: Combination, run: RunFolder, state: State | None = None, why: str = "") -> Result:
    """Read from the run folder; `state` overrides it where only the caller knows: running, or failed."""
    if not run.has_state():
        return Result(combination, state or "waiting", why)
    progress = run.progress()
    stored: State = "done" if run.finished(combination.recipe) else "interrupted"
    result = Result(combination, state or stored, why, epochs=progress.epoch, seconds=round(progress.seconds))
    vocab_size = network_vocab_size(combination.recipe, run.load_tokenizer())
    result.parameters = sum(row.trainable for row in parameter_table(combination.recipe, vocab_size))
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
    """The metric on dev after each epoch; of an epoch repeated after a crash, the last."""
    if not run.log_file.exists():
        return {}
    entries = map(json.loads, read_lines(run.log_file))
    return {entry["epoch"]: entry["scores"][metric] for entry in entries if entry["kind"] == "dev"}


def comparison_metric(results: Sequence[Result]) -> str:
    """The monitored score that all runs share, or CIDEr where it varies."""
    monitors = {result.combination.recipe.train.monitor for result in results}
    return monitors.pop() if len(monitors) == 1 else "CIDEr"


def best_of(results: Sequence[Result], metric: str) -> Result | None:
    """The best finished run; the first of equals."""
    done = [result for result in results if result.state == "done" and metric in result.scores]
    sign = -1 if metric == "loss" else 1
    return max(done, key=lambda result: sign * result.scores[metric], default=None)


def write_tables(results: Sequence[Result], folder: Path) -> None:
    """`sweep.csv` and `sweep.md`, in the order of the combinations; in the latter the best row is bold."""
    columns, rows = _cells(results)
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerows([columns, *rows])
    write_text(folder / "sweep.csv", file.getvalue())
    best = best_of(results, comparison_metric(results))
    lines = [columns, ["---"] * len(columns)]
    lines += [[_shown(cell, result is best) for cell in row] for result, row in zip(results, rows, strict=True)]
    write_text(folder / "sweep.md", "".join(f"| {' | '.join(line)} |\n" for line in lines))


def _cells(results: Sequence[Result]) -> tuple[list[str], list[list[Cell]]]:
    """The names of the columns, and the rows under them."""
    figures = [_figures(result) for result in results]
    # With a single language the means are enough.
    if len({language for result in results for language in result.by_language}) < 2:
        figures = [result.scores for result in results]
    metrics = list(dict.fromkeys(name for scores in figures for name in scores))
    varied = list(results[0].combination.varied)
    columns = [*varied, "state", "best epoch", "epochs run", *metrics, "parameters", "seconds", "why", "run"]
    rows = [
        [
            *result.combination.varied.values(),
            result.state,
            result.best_epoch,
            result.epochs,
            *(scores.get(name) for name in metrics),
            result.parameters,
            result.seconds,
            result.why,
            result.combination.name,
        ]
        for result, scores in zip(results, figures, strict=True)
    ]
    return columns, rows


def _figures(result: Result) -> dict[str, float]:
    """The means, and `CIDEr (en)` and so on of each language."""
    by_language = {
        f"{name} ({language})": value
        for language, scores in result.by_language.items()
        for name, value in scores.items()
    }
    return {**result.scores, **by_language}


def _shown(cell: Cell, bold: bool) -> str:
    if isinstance(cell, float):
        text = f"{cell:.4f}"
    else:
        text = f"{cell:,}" if isinstance(cell, int) else (cell or "").replace("|", "\\|")
    return f"**{text}**" if bold and text else text
