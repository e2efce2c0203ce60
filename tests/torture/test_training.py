"""A sample of `python -m torture.training`: whole processes of `showtell train` that are killed."""

import json
import os
import signal
from pathlib import Path

import pytest
from tests import skips

pytest.importorskip("torch", reason=skips.PACKAGES)
pytest.importorskip("tensorboard", reason=skips.PACKAGES)

from torture.trainee import STEPS

from torture import training


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOWTELL_CACHE", "")  # set by what is called, and put back here
    trials = training.torture(4, 0, tmp_path, say=lambda line: None)
    assert [trial for trial in trials if trial["problems"] or trial["differing"] or trial["hangs"]] == []
    kills, operations, errors = training.table(trials)
    assert kills["kills"] == 4 and operations["kills"] == operations["runs"] > 0 < errors["runs"]
    assert max(row["steps lost at most"] for row in (kills, operations, errors)) <= 1
    # The second call has nothing left to do but its reference; and what is not bit for bit the same is seen.
    assert training.torture(4, 0, tmp_path, say=lambda line: None) == trials
    reference = training.Reference.__new__(training.Reference)
    reference.folder = tmp_path / "reference"
    state = tmp_path / "run" / "best" / "model.safetensors"
    state.write_bytes(state.read_bytes()[:-1] + b"\x01")
    assert "best" in reference.differing(tmp_path / "run")
    scores = tmp_path / "run" / "best" / "scores.json"
    scores.write_text(json.dumps({}))
    assert "scores" in reference.differing(tmp_path / "run")


def test_a_kill_that_loses_more_than_a_step_is_seen(tmp_path: Path) -> None:
    told = [(0.1, "step", 1), (0.2, "saved", 1), (0.3, "step", STEPS)]
    end = training.End(-signal.SIGKILL, False, told, "")
    assert training.check_state(tmp_path, end, 0) == (f"{STEPS} steps lost", STEPS, False)
    assert training.check_state(tmp_path, training.End(0, False, told[:1], ""), 0) == (None, 1, False)
