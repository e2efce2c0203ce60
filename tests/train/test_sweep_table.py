"""The rows of a sweep, as files, and which of them is best."""

import csv
import json
from pathlib import Path

import pytest

from showtell.config import parse_recipe
from showtell.train.run_folder import RunFolder
from showtell.train.sweep import Combination
from showtell.train.sweep_table import Result, State, best_of, comparison_metric, read_curve, write_tables


def result(lr: str, state: State, scores: dict[str, float], monitor: str = "CIDEr") -> Result:
    recipe = parse_recipe({"train": {"lr": float(lr), "monitor": monitor}}, "test")
    return Result(Combination(f"lr={lr}", {"lr": lr}, recipe), state, scores=scores)


def test_the_best_of_those_that_are_done() -> None:
    results = [
        result("1", "done", {"CIDEr": 0.4, "loss": 2.0}),
        result("2", "done", {"CIDEr": 0.5, "loss": 3.0}),
        result("3", "interrupted", {"CIDEr": 0.9, "loss": 1.0}),
        result("4", "failed", {}),
    ]
    assert best_of(results, "CIDEr") is results[1]
    assert best_of(results, "loss") is results[0]
    assert best_of(results[2:], "loss") is None


def test_what_they_are_compared_by() -> None:
    assert comparison_metric([result("1", "done", {}, "loss"), result("2", "done", {}, "loss")]) == "loss"
    assert comparison_metric([result("1", "done", {}, "loss"), result("2", "done", {}, "BLEU-4")]) == "CIDEr"


def test_languages_have_columns_where_there_are_several(tmp_path: Path) -> None:
    one = result("1", "done", {"CIDEr": 0.4})
    one.by_language = {"en": {"CIDEr": 0.4}}
    two = result("2", "done", {"CIDEr": 0.5})
    two.by_language = {"en": {"CIDEr": 0.3}, "ar": {"CIDEr": 0.7}}
    write_tables([one], tmp_path)
    assert "CIDEr (" not in (tmp_path / "sweep.csv").read_text(encoding="utf-8")
    write_tables([one, two], tmp_path)
    with (tmp_path / "sweep.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [[row[f"CIDEr{of}"] for of in ("", " (en)", " (ar)")] for row in rows] == [
        ["0.4", "0.4", ""],
        ["0.5", "0.3", "0.7"],
    ]


def test_markdown_shows_the_best_in_bold(tmp_path: Path) -> None:
    results = [result("1", "done", {"CIDEr": 0.41237}), result("2", "failed", {}), result("3", "done", {"CIDEr": 0.4})]
    results[0].parameters = 15_239_699
    results[1].why = "a | b"
    write_tables(results, tmp_path)
    head, _, best, failed, _ = (tmp_path / "sweep.md").read_text(encoding="utf-8").splitlines()
    assert head.startswith("| lr | state | best epoch | epochs run | CIDEr | parameters |")
    assert best.startswith("| **1** | **done** |  | **0** | **0.4124** | **15,239,699** |")
    assert "a \\| b" in failed and "**" not in failed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sweep.csv", "sweep.md"]


@pytest.mark.parametrize("metric", ["CIDEr", "loss"])
def test_an_epoch_that_was_begun_again_counts_as_it_ended(tmp_path: Path, metric: str) -> None:
    run = RunFolder(tmp_path)
    assert read_curve(run, metric) == {}
    for epoch, value in ((1, 0.1), (2, 0.2), (2, 0.3)):
        run.log(kind="train", epoch=epoch, loss=9)
        run.log(kind="dev", epoch=epoch, scores={"en": {}, metric: value})
    assert json.loads(run.log_file.read_text(encoding="utf-8").splitlines()[0])["kind"] == "train"
    assert read_curve(run, metric) == {1: 0.1, 2: 0.3}
