"""A sample of `python -m torture.training`: processes of `showtell train` that are killed, or whose disk fails."""

import json
import os
import signal
import subprocess
import sys
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
    command = [sys.executable, "-m", "torture.training", "--n", "3", "--work", tmp_path / "work"]
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
    assert kills["kills"] == 3 and operations["kills"] == operations["runs"] > 0 < errors["runs"]
    assert max(row["steps lost at most"] for row in (kills, operations, errors)) <= 1

    reference = training.Reference.__new__(training.Reference)
    reference.folder, best = tmp_path / "work" / "reference", tmp_path / "work" / "run" / "best"
    assert reference.differing(tmp_path / "work" / "run") == []
    model = bytearray((best / "model.safetensors").read_bytes())
    model[-1] ^= 1
    (best / "model.safetensors").write_bytes(model)
    (best / "scores.json").write_text("{}")
    assert reference.differing(tmp_path / "work" / "run") == ["best", "scores"]


def test_a_kill_that_loses_more_than_a_step_is_seen(tmp_path: Path) -> None:
    told = [(0.1, "step", 1), (0.2, "saved", 1), (0.3, "step", STEPS)]
    end = training.End(-signal.SIGKILL, False, told)
    assert training.check_state(tmp_path, end, 0) == (f"{STEPS} steps lost", STEPS, False)
    assert training.check_state(tmp_path, training.End(0, False, told[:1]), 0) == (None, 1, False)


def test_what_was_done_is_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    class Quick:
        operations, seconds, seconds_of = ["write", "sync", "rename to x", "append"], 1.0, {"saving": 0.1}

        def __init__(self, work: Path) -> None: ...

    def trial(*about: Any) -> dict[str, Any]:
        calls.append(about)
        return training.new_trial(part="kills") | {"kills": 2}

    monkeypatch.setenv("SHOWTELL_CACHE", "")  # set by what is called, and put back here
    monkeypatch.setattr(training, "Reference", Quick)
    monkeypatch.setattr(training, "kills", trial)
    monkeypatch.setattr(training, "operation", trial)
    first = training.torture(1000, 0, tmp_path, lambda line: None)
    assert len(calls) == len(first) == 500 + 4 * 2 + 2 + 4 + 2
    assert training.torture(1000, 0, tmp_path, lambda line: None) == first and len(calls) == len(first)
    training.torture(2, 1, tmp_path, lambda line: None)  # another seed, but the same operations
    assert len(calls) == len(first) + 1
