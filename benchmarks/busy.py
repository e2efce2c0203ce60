"""Does the test suite pass on a busy machine? Runs a command three times beside two busy loops per core.

    python benchmarks/busy.py python -m pytest -n auto --dist loadfile --no-loadscope-reorder

Prints for each run whether it passed and how long it took; the exit status is 1 if any failed.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time

LOOPS_PER_CORE = 2
# Ends by itself when this process does, also when that is killed and cannot end it.
LOOP = "import os, sys\nwhile os.getppid() == int(sys.argv[1]):\n    for _ in range(1_000_000): pass"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    count = LOOPS_PER_CORE * (os.cpu_count() or 1)
    loops = [subprocess.Popen([sys.executable, "-c", LOOP, str(os.getpid())]) for _ in range(count)]
    failed = 0
    try:
        for run in range(1, arguments.runs + 1):
            start = time.monotonic()
            status = subprocess.run(arguments.command).returncode
            failed += status != 0
            outcome = "passed" if status == 0 else f"failed (exit status {status})"
            print(
                f"run {run} of {arguments.runs}, {count} busy loops: {outcome} in {time.monotonic() - start:.0f} s",
                flush=True,
            )
    finally:
        for loop in loops:
            loop.kill()
        for loop in loops:
            loop.wait()
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
