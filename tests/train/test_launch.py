"""What becomes of the processes of a run when one of them ends."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.clocks import HANG_SECONDS, until

from showtell.train import launch
from showtell.train.launch import FIRST, Children, ProcessEnded, first_failure

SCRIPT = """
import os, sys, time
from showtell.train import launch

launch.GRACE_SECONDS = 0.2
launch.start_others(2)
if launch.own_rank() == 1:
    print(os.getpid(), flush=True)
    sys.stdin.readline()
    sys.exit(75)
time.sleep(1000)
"""
"""The first one is in a work of its own; the other one fails with the next line of its input."""


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
    said = first.communicate("fail\n", timeout=HANG_SECONDS)[1]
    assert first.returncode == 75
    assert said == "showtell: another process of this run has ended (exit code 75); its own message says why\n"


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [("exit 75", 75, "(exit code 75); its own message says why"), ("kill -9 $$", 137, "(killed by SIGKILL); the")],
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
