"""`benchmarks/busy.py`, which runs the suite beside busy loops."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are counted in /proc")

BUSY = Path(__file__).parents[1] / "benchmarks" / "busy.py"
# Prints the processes that were started by the one that starts this.
SIBLINGS = """
import os, pathlib
for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
    try:
        pid, _, rest = stat.read_text().partition(" ")
    except OSError:
        continue
    if int(rest.rpartition(")")[2].split()[1]) == os.getppid() and int(pid) != os.getpid():
        print("loop", pid, flush=True)
"""


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_runs_are_told_and_loops_end() -> None:
    command = [sys.executable, str(BUSY), "--runs", "2", sys.executable, "-c", SIBLINGS + "raise SystemExit(3)"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    loops = [int(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("loop")]
    cores = os.cpu_count() or 1
    assert len(loops) == 2 * 2 * cores and len(set(loops)) == 2 * cores, "the same loops beside both runs"
    told = [line for line in done.stdout.splitlines() if line.startswith("run")]
    assert [re.sub(r"\d+ s$", "N s", line) for line in told] == [
        f"run {n} of 2, {2 * cores} busy loops: failed (exit status 3) in N s" for n in (1, 2)
    ]
    assert not any(map(is_running, loops))


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_loops_end_when_it_is_ended(how: signal.Signals) -> None:
    command = [sys.executable, str(BUSY), sys.executable, "-c", SIBLINGS + "print('all', flush=True)\ninput()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        lines = list(iter(process.stdout.readline, "all\n"))
        loops = [int(line.split()[1]) for line in lines]
        assert loops and all(map(is_running, loops))
        process.send_signal(how)
        process.stdin.close()
        assert process.wait() != 0
        # A loop looks for its parent from time to time: the test ends when all have seen that it is gone, or never.
        while any(map(is_running, loops)):
            os.sched_yield()
