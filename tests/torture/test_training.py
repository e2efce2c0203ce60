"""A sample of `python -m torture.training`: processes of `showtell train` that are killed, or whose disk fails."""

import json
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests import skips

pytest.importorskip("torch", reason=skips.PACKAGES)
pytest.importorskip("tensorboard", reason=skips.PACKAGES)

from torture.trainee import STEPS

from torture import training

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


def test_a_sample(tmp_path: Path) -> None:
    """In a process of its own: one with threads, as this may be, should not fork."""
    command = [sys.executable, "-m", "torture.training", "--n", "1", "--work", tmp_path / "work"]
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    done = subprocess.run(
        [*map(str, command), "--results", str(tmp_path / "results.jsonl")],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    kills, operations, errors = json.loads((tmp_path / "results.jsonl").read_text())["parts"]
    assert kills["kills"] == 1 and operations["kills"] == operations["runs"] > 0 < errors["runs"]
    assert max(row["steps lost at most"] for row in (kills, operations, errors)) <= 1

    work = tmp_path / "work"
    assert not list((work / "runs").iterdir()), "a run without a problem is left"
    reference = training.Reference.__new__(training.Reference)
    reference.folder, other = work / "reference", work / "other"
    shutil.copytree(reference.folder, other)
    assert reference.differing(other) == []
    model = bytearray((other / "best" / "model.safetensors").read_bytes())
    model[-1] ^= 1
    (other / "best" / "model.safetensors").write_bytes(model)
    (other / "best" / "scores.json").write_text("{}")
    assert reference.differing(other) == ["best", "scores"]


def test_a_kill_that_loses_more_than_a_step_is_seen(tmp_path: Path) -> None:
    told = [(0.1, "step", 1), (0.2, "saved", 1), (0.3, "step", STEPS)]
    end = training.End(-signal.SIGKILL, False, told)
    assert training.check_state(tmp_path, end, 0) == (f"{STEPS} steps lost", STEPS, False)
    assert training.check_state(tmp_path, training.End(0, False, told[:1]), 0) == (None, 1, False)


class QuickReference:
    operations, seconds, seconds_of = ["write", "sync", "rename to x", "append"], 1.0, {"saving": 0.1}

    def __init__(self, work: Path) -> None: ...


def quick_kills(index: int, count: int, seed: int, reference: QuickReference, folder: Path) -> dict[str, Any]:
    """Every third run ends before the moment of its last kill."""
    return training.new_trial(part="kills") | {"kills": count - (index % 3 == 0)}


def quick_operation(*about: Any) -> dict[str, Any]:
    return training.new_trial(part="operations")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOWTELL_CACHE", "")  # set by what is called, and put back here
    monkeypatch.setattr(training, "Reference", QuickReference)
    monkeypatch.setattr(training, "kills", quick_kills)
    monkeypatch.setattr(training, "operation", quick_operation)


def run(n: int, seed: int, work: Path) -> list[dict[str, Any]]:
    with ThreadPoolExecutor(2) as executor:
        return training.torture(n, seed, work, executor, lambda line: None)


@pytest.mark.usefixtures("quick")
def test_what_was_done_is_not_done_again(tmp_path: Path) -> None:
    first = run(1000, 0, tmp_path)  # the full size: every operation
    log = (tmp_path / "trials.jsonl").read_text()
    assert sum(trial["part"] == "operations" for trial in first) == 4 * 2 + 2 + 4 + 2
    assert sum(trial["kills"] for trial in first if trial["part"] == "kills") == 1000
    assert run(1000, 0, tmp_path) == first and (tmp_path / "trials.jsonl").read_text() == log
    run(2, 1, tmp_path)  # another seed, but the same operations
    added = (tmp_path / "trials.jsonl").read_text().removeprefix(log).splitlines()
    assert {json.loads(line)["part"] for line in added} == {"kills"}


@pytest.mark.usefixtures("quick")
def test_what_an_interruption_left_undone_is_done(tmp_path: Path) -> None:
    whole = run(30, 0, tmp_path / "whole")
    lines = (tmp_path / "whole" / "trials.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "trials.jsonl").write_text("".join(lines[::2]))
    again = run(30, 0, tmp_path / "cut")
    assert [trial["key"] for trial in again] == [trial["key"] for trial in whole]
    assert len((tmp_path / "cut" / "trials.jsonl").read_text().splitlines()) == len(lines)


def test_a_faulty_run_is_left_for_a_look(tmp_path: Path) -> None:
    def faulty(folder: Path) -> dict[str, Any]:
        folder.mkdir(parents=True)
        return training.new_trial(part="kills") | {"problems": ["ended with 1"]}

    training.one_trial("kills 0 1 3", faulty, tmp_path)
    assert (tmp_path / "runs" / "kills-0-1-3").is_dir()
