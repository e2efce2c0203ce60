"""What becomes of the processes of a run when one of them ends."""

import contextlib
import os
import signal
import subprocess
import sys
import zipapp
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.clocks import HANG_SECONDS, until

from showtell.train import launch
from showtell.train.launch import FIRST, Children, ProcessEnded, first_failure

SCRIPT = """
import os, sys, time
from showtell.train import launch

launch.GRACE_SECONDS = launch.STOP_SECONDS = 0.2
launch.start_others(2)
if launch.own_rank() == 1:
    print(os.getpid(), flush=True)
    exec(sys.stdin.readline())
time.sleep(1000)
"""
"""The first one is in a work of its own; the other one runs the next line of its input."""


@pytest.fixture
def first(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    (tmp_path / "run.py").write_text(SCRIPT)
    command = [sys.executable, str(tmp_path / "run.py")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, start_new_session=True, **pipes) as running:
        yield running
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)


def is_alive(pid: int) -> bool:
    """Whether it runs; one that has ended may wait for an heir to take notice."""
    status = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout
    return bool(status.strip()) and not status.startswith("Z")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_others_end_with_the_first_even_if_it_is_killed(first: subprocess.Popen[str], number: int) -> None:
    assert first.stdout is not None
    other = int(first.stdout.readline())
    assert is_alive(other)
    first.send_signal(number)
    until(lambda: not is_alive(other))


def test_the_exit_code_of_one_that_fails_is_that_of_the_run(first: subprocess.Popen[str]) -> None:
    said = first.communicate("sys.exit(75)\n", timeout=HANG_SECONDS)[1]
    assert first.returncode == 75
    assert said == "showtell: another process of this run has ended (exit code 75); its own message says why\n"


def test_an_exit_code_that_is_no_signal_s_ends_the_run_too(first: subprocess.Popen[str]) -> None:
    said = first.communicate("os._exit(255)\n", timeout=HANG_SECONDS)[1]
    assert first.returncode == 255
    assert said == "showtell: another process of this run has ended (exit code 255); its own message says why\n"


def test_codes_of_more_than_a_byte_stay_failures() -> None:
    """As of a crash on Windows; a system that takes the last byte of 256 would see 0."""
    assert [ProcessEnded.with_code(code).exit_code for code in (0xC0000005, 256)] == [5, 1]
    assert "(exit code 3221225477)" in str(ProcessEnded.with_code(0xC0000005))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_stops_one_while_they_start_ends_the_run_without_a_word(
    number: signal.Signals, first: subprocess.Popen[str]
) -> None:
    killing = f"import signal; signal.signal({number:d}, signal.SIG_DFL); os.kill(os.getpid(), {number:d})\n"
    said = first.communicate(killing, timeout=HANG_SECONDS)[1]
    assert (first.returncode, said) == (128 + number, "")


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        ("exit 75", 75, "(exit code 75); its own message says why"),
        ("kill -9 $$", 137, "(killed by SIGKILL); the system's log may say why, such as lack of memory"),
        ("kill -6 $$", 134, "(killed by SIGABRT); its own message says why"),
        ("kill -2 $$", 130, "(killed by SIGINT); the same command goes on"),
    ],
)
def test_a_lost_connection_has_the_exit_code_of_the_process_that_failed(command: str, code: int, message: str) -> None:
    children = Children([subprocess.Popen(["sleep", "1000"]), subprocess.Popen(["sh", "-c", command])])
    with pytest.raises(ProcessEnded) as raised, first_failure(children):
        raise ProcessEnded("Connection closed by peer")
    children.end()
    assert raised.value.exit_code == code and message in str(raised.value)


def test_one_that_was_started_leaves_it_to_the_first_to_say_that_another_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(launch.time, "sleep", waited.append)
    monkeypatch.setenv(FIRST, "1")
    with pytest.raises(ProcessEnded), first_failure(None):
        raise ProcessEnded("Connection closed by peer")
    assert waited and waited[0] > launch.GRACE_SECONDS


PROGRAM = "import sys; from showtell.train.launch import _own_command; print(*_own_command(), sep='\\n')"


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        (["-c", PROGRAM], ["-m", "showtell"]),
        (["{0}/program.py"], ["{0}/program.py"]),
        (["{0}/folder"], ["{0}/folder"]),
        (["{0}/archive.pyz"], ["{0}/archive.pyz"]),
        # As setuptools' launcher on Windows, whose own name is showtell.exe.
        (["-c", f"import sys; sys.argv[0] = 'Scripts/showtell'; {PROGRAM}"], ["-m", "showtell"]),
        (["-m", "folder"], ["-m", "folder.__main__"]),
    ],
)
def test_the_others_run_what_this_one_runs(how: list[str], expected: list[str], tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "__main__.py").write_text(PROGRAM)
    zipapp.create_archive(tmp_path / "folder", tmp_path / "archive.pyz")
    command = [sys.executable, *(part.replace("{0}", str(tmp_path)) for part in how), "train", "a b"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True)
    wanted = [part.replace("{0}", str(tmp_path)) for part in expected]
    assert done.stdout.splitlines() == [sys.executable, *wanted, "train", "a b"]
