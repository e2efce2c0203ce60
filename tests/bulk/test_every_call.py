"""A run that fails or dies at any one of its file operations: the same command goes on, and nothing shows in the end.

Outputs are compared with those of a run without interruptions, byte for byte.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.bulk.stub import OUTPUTS, FailingStorage, Killed, QuickStorage, caption, engine, photos, tree

from showtell.bulk.run import RunOptions
from showtell.bulk.storage import Storage
from showtell.errors import BadConfig, OutputError

MANNERS = [("after", "kill"), ("half", "kill"), ("after", "power")]  # before a call is after the one before
MANNERS_OF_ERRORS = [("before", errno.EROFS), ("half", errno.ENOSPC)]
RETRY = RunOptions(retry_failed=True)
SKIP = RunOptions(skip_existing=True)


# XMP files are written as text sidecars are, and a CSV file grows as a JSONL file does.
CASES = [
    (output, scenario)
    for output in OUTPUTS[:4]
    for scenario in ("whole", "grown", "retried")
    if (output, scenario) != ("rows.csv", "grown")
] + [("sidecar:out", "skipping")]


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("showtell.bulk.run.COMMIT_ROWS", 2)
    monkeypatch.setattr("showtell.bulk.parquet_sink.ROWS_PER_PART", 3)


def bad(key: str) -> bool:
    return key.endswith(("2.jpg", "5.jpg"))


def whole(output: str) -> None:
    caption(output, photos(*range(6)), rows=engine(bad))


def grown(output: str) -> None:
    """A finished output to which photos are added."""
    caption(output, photos(*range(4)), rows=engine(bad))
    caption(output, photos(*range(6)), rows=engine(bad))


def retried(output: str) -> None:
    caption(output, photos(*range(6)), rows=engine(bad))
    caption(output, photos(*range(6)), options=RETRY)


def by_hand(output: str) -> None:
    path = Path("out/photos/000003.txt")
    path.parent.mkdir(parents=True)
    path.write_text("by hand")


def skipping(output: str) -> None:
    by_hand(output)
    caption(output, photos(*range(6)), rows=engine(bad), options=SKIP)


# What is done before the interruption, and the command that is interrupted, and given again.
Step = Callable[[str, Storage], object]
SCENARIOS: dict[str, tuple[Callable[[str], object], Step, Callable[[str], object]]] = {
    "whole": (lambda output: None, lambda o, s: caption(o, photos(*range(6)), rows=engine(bad), storage=s), whole),
    "grown": (
        lambda output: caption(output, photos(*range(4)), rows=engine(bad)),
        lambda o, s: caption(o, photos(*range(6)), rows=engine(bad), storage=s),
        grown,
    ),
    "skipping": (
        by_hand,
        lambda o, s: caption(o, photos(*range(6)), rows=engine(bad), options=SKIP, storage=s),
        skipping,
    ),
    "retried": (whole, lambda o, s: caption(o, photos(*range(6)), options=RETRY, storage=s), retried),
}


@pytest.mark.parametrize(("output", "scenario"), CASES)
def test_a_run_that_dies_at_any_call_goes_on(
    output: str, scenario: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, step, uninterrupted = SCENARIOS[scenario]
    expected = expected_tree(output, uninterrupted, tmp_path, monkeypatch)
    seen = set()
    for moment, end in MANNERS:
        for at in itertools.count(1):
            enter(tmp_path / f"{moment}-{end}-{at}", monkeypatch)
            before(output)
            storage = FailingStorage(at, moment, end)
            with contextlib.suppress(Killed):
                step(output, storage)
            if storage.failed is None:
                assert at > 20 and tree(Path.cwd()) == expected
                break
            seen.add(storage.failed)
            step(output, QuickStorage())
            assert tree(Path.cwd()) == expected, f"killed {moment} call {at}, {storage.failed}"
    assert {"open", "write", "sync", "close", "replace", "sync_folder"} <= seen


@pytest.mark.parametrize(("output", "scenario"), CASES)
def test_a_disk_that_fails_at_any_call_is_one_error_and_the_run_goes_on(
    output: str, scenario: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, step, uninterrupted = SCENARIOS[scenario]
    expected = expected_tree(output, uninterrupted, tmp_path, monkeypatch)
    for moment, number in MANNERS_OF_ERRORS:
        for at in itertools.count(1):
            enter(tmp_path / f"{moment}-{number}-{at}", monkeypatch)
            before(output)
            storage = FailingStorage(at, moment, number)
            try:
                step(output, storage)
                assert storage.failed in (None, "close"), "what was synced does not get lost when a file is closed"
            except OutputError:
                pass
            except BadConfig:
                assert at == 1 and storage.failed == "make_folder", "nothing has been done yet"
            if storage.failed is None:
                break
            step(output, QuickStorage())
            assert tree(Path.cwd()) == expected, f"error {moment} call {at}, {storage.failed}"


def test_two_deaths_in_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one at every call of the run that goes on after the first."""
    for output in OUTPUTS[:4]:
        expected = expected_tree(output, retried, tmp_path / output.replace(":", "-"), monkeypatch)
        for first, second in itertools.product(range(3, 60, 14), range(1, 60, 9)):
            enter(tmp_path / output.replace(":", "-") / f"{first}-{second}", monkeypatch)
            whole(output)
            for at in (first, second):
                with contextlib.suppress(Killed):
                    caption(output, photos(*range(6)), options=RETRY, storage=FailingStorage(at, "after"))
            caption(output, photos(*range(6)), options=RETRY)
            assert tree(Path.cwd()) == expected, (first, second)


def test_a_death_while_retried_rows_are_published_and_one_while_photos_are_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file of the first run then has a size that only the line before its new name knows of."""
    enter(tmp_path / "expected", monkeypatch)
    retried("rows.jsonl")
    caption("rows.jsonl", photos(*range(9)))
    expected = tree(Path.cwd())
    counting = FailingStorage(0)
    enter(tmp_path / "count", monkeypatch)
    whole("rows.jsonl")
    caption("rows.jsonl", photos(*range(6)), options=RETRY, storage=counting)
    for first, second in itertools.product(range(counting.calls - 9, counting.calls), range(1, 30)):
        enter(tmp_path / f"{first}-{second}", monkeypatch)
        whole("rows.jsonl")
        with contextlib.suppress(Killed):
            caption("rows.jsonl", photos(*range(6)), options=RETRY, storage=FailingStorage(first, "after"))
        with contextlib.suppress(Killed):
            caption("rows.jsonl", photos(*range(9)), storage=FailingStorage(second, "after"))
        caption("rows.jsonl", photos(*range(9)))
        assert tree(Path.cwd()) == expected, (first, second)


def enter(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)


def expected_tree(
    output: str, run: Callable[[str], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, bytes]:
    enter(tmp_path / "expected", monkeypatch)
    run(output)
    found = tree(Path.cwd())
    assert len(found) > 1
    return found
