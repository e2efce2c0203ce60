import threading
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from showtell.errors import OutputError
from showtell.train.board import Board


def scalars(folder: Path, name: str) -> list[tuple[int, float]]:
    events = EventAccumulator(str(folder))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(name)]


def test_tensorboard_reads_what_every_session_wrote(tmp_path: Path) -> None:
    first, second = Board(tmp_path / "board"), Board(tmp_path / "board")
    first.add_scalar("train/loss", 2.5, 20)
    first.add_scalar("dev/loss", 3, 20)
    assert scalars(tmp_path / "board", "train/loss") == [(20, 2.5)]  # it is there before the end
    first.close()
    second.add_scalar("train/loss", 1.25, 40)
    second.close()
    assert scalars(tmp_path / "board", "train/loss") == [(20, 2.5), (40, 1.25)]
    assert scalars(tmp_path / "board", "dev/loss") == [(20, 3.0)]


def test_a_full_disk_is_one_error_in_the_thread_that_writes(tmp_path: Path, small_files: None) -> None:
    threads = threading.enumerate()
    board = Board(tmp_path)
    with pytest.raises(OutputError, match=r"events.*: cannot be written \(File too large\)"):
        for step in range(1000):
            board.add_scalar("train/loss", 1.0, step)
    board.close()
    assert threading.enumerate() == threads
