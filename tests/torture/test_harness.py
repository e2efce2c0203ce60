"""Chunks in another process: crashes, hangs, interruptions, and the line that stays."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.clocks import until
from torture.harness import Note, Tally, Worker, report, run_chunks

from torture import harness

HERE = "tests.torture.test_harness"
CRASHING, HANGING = 3, 5


def chunk(number: int, note: Note) -> Tally:
    note(f"case {number}")
    if number == CRASHING:
        os._exit(7)
    if number == HANGING:
        time.sleep(harness.HANG_SECONDS)
    tally = Tally()
    tally.counts["cases"] += 1
    tally.measure("number", number)
    if number == 1:
        tally.fail("case 1", "two\nlines")
    return tally


def test_a_crash_is_one_failure_and_the_rest_is_done(tmp_path: Path) -> None:
    tally = run_chunks("part", f"{HERE}:chunk", [0, CRASHING, 1], tmp_path)
    assert tally.failures == ["case 3: the process ended with code 7", "case 1: two lines"]
    assert tally.counts == {"cases": 2, "crashes or hangs": 1} and tally.worst == {"number": 1}


def start_and_end(number: int, note: Note) -> Tally:
    """Starts a process, as a chunk does with a server, and crashes."""
    started = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(os.environ["STARTED"]).write_text(str(started.pid))
    os._exit(7)


def is_running(pid: int) -> bool:
    """A process that has ended and that nobody waits for is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_nothing_that_a_broken_chunk_started_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STARTED", str(tmp_path / "pid"))
    assert Worker(f"{HERE}:start_and_end").run(0).failures
    pid = int((tmp_path / "pid").read_text())
    until(lambda: not is_running(pid))


def test_a_hang_is_found() -> None:
    worker = Worker(f"{HERE}:chunk", hang_seconds=0.5)
    found = worker.run(HANGING)
    assert len(found.failures) == 1 and "hangs" in found.failures[0]
    worker.close()


def test_what_is_done_is_not_done_again_until_the_code_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder,) = (tmp_path / f"part-{harness.sources_hash()}",)
    folder.mkdir()
    (folder / "000000.json").write_text(json.dumps({"counts": {"cases": 41}, "failures": [], "worst": {}}))
    assert run_chunks("part", "no.such:module", [0], tmp_path).counts == {"cases": 41}
    monkeypatch.setattr(harness, "sources_hash", lambda: "other")
    assert run_chunks("part", f"{HERE}:chunk", [0], tmp_path).counts == {"cases": 1}


def test_a_line_stays_with_date_and_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report("part", "A title", Tally(), [("cases", 3)], tmp_path) == 0
    assert report("part", "A title", Tally(failures=["case 1: wrong"]), [("cases", 4)], tmp_path) == 1
    lines = [json.loads(line) for line in (tmp_path / "part.jsonl").read_text(encoding="utf-8").splitlines()]
    found = [(line["cases"], line["failures"], line["failed"]) for line in lines]
    assert found == [(3, 0, []), (4, 1, ["case 1: wrong"])]
    assert all(line["date"] and line["machine"]["cores"] for line in lines)
    printed = capsys.readouterr()
    assert "| cases | 3 |" in printed.out and "FAILED case 1: wrong" in printed.err
