"""How the processes of a run leave it. No process is started here."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.train.test_processes import recipe

from showtell.cli import training
from showtell.cli.training import train_run
from showtell.errors import Diverged
from showtell.progress import ProgressReporter
from showtell.train import processes as module
from showtell.train.processes import Processes, single_process
from showtell.train.run_folder import RunFolder
from showtell.train.stop_signal import Interrupted


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Has an entry for each time that the process group is ended. What the others send is what this one sends."""
    calls: list[str] = []
    monkeypatch.setattr(torch.distributed, "destroy_process_group", lambda: calls.append("left"))
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda *arguments: None)
    monkeypatch.setattr("showtell.train.same_start.check_same_start", lambda *arguments: None)
    return calls


def train(folder: Path, monkeypatch: pytest.MonkeyPatch, count: int, rank: int, error: BaseException | None) -> bool:
    """`error`: what training raises."""

    def work(*arguments: Any) -> None:
        if error is not None:
            raise error

    processes = Processes(single_process("32-true").fabric, count, rank)
    monkeypatch.setattr(module, "start_processes", lambda settings: processes)
    monkeypatch.setattr(training, "_open_folder", lambda *arguments: True)
    monkeypatch.setattr(training, "_train", work)
    monkeypatch.setattr(processes, "any_after_long_work", lambda flag: True)
    return train_run(recipe(), RunFolder(folder), [], ProgressReporter())


@pytest.mark.parametrize("error", [None, Interrupted(), Diverged("the loss is nan")])
@pytest.mark.parametrize("rank", [0, 1])
def test_what_all_do_together_ends_the_process_group(
    error: BaseException | None, rank: int, left: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if error is not None and rank == 0:
        with pytest.raises(type(error)):
            train(tmp_path, monkeypatch, 2, rank, error)
    else:
        assert train(tmp_path, monkeypatch, 2, rank, error) == (rank == 0)
    assert left == ["left"]


def test_one_that_fails_alone_does_not_wait_for_the_others(
    left: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it would at the end of a process group of NCCL, for ever."""
    with pytest.raises(OSError, match="disk"):
        train(tmp_path, monkeypatch, 2, 0, OSError("disk"))
    assert left == []


def test_a_single_process_has_no_group_to_end(left: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert train(tmp_path, monkeypatch, 1, 0, None)
    assert left == []
