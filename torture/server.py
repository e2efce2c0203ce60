"""The server under overload, with slow senders, and ended under load: every admitted request is answered.

    python -m torture.server --n 100

N SIGTERMs; 5 N slow senders; ten times the requests that the server can answer, for 6 N seconds, with 30 % of the
clients leaving. The server is `showtell serve` with the built-in model, in a process of its own; clients are here.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Coroutine, Iterator, Sequence
from typing import Any, Final

from benchmarks import serve as load
from torture.harness import ROOT, Note, Tally, number_of_cases, report, run_chunks
from torture.server_clients import SLOW, overload, photos, slow_senders, stop

SLOW_PER_CHUNK: Final = 250
COMMAND: Final = (sys.executable, "-m", "showtell", "serve", "--port", "0")
WORD_SECONDS: Final = 20.0


@contextlib.contextmanager
def process(tally: Tally, command: Sequence[str] = COMMAND) -> Iterator[load.Server]:
    """What it logs is a failure: nothing that clients do is an error of the server."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as log:
        started = subprocess.Popen(command, stderr=log, cwd=ROOT)
        try:
            yield load.Server(started, _address(started, log))
        finally:
            started.kill()
            started.wait()
            for line in _lines(log)[1:]:
                tally.fail("log of the server", line)


def _lines(log: Any) -> list[str]:
    log.seek(0)
    return [line for line in log.read().split("\n") if line]


def _address(started: subprocess.Popen[Any], log: Any) -> str:
    while started.poll() is None:
        lines = _lines(log)
        if lines and (url := re.search(r"http://[^\s/]+", lines[0])):
            return url[0]
        time.sleep(0.05)
    raise AssertionError(f"no server: {_lines(log)}")


async def told(work: Coroutine[Any, Any, None], note: Note, what: str) -> None:
    """Done with a word now and then. All of it has time limits of its own, which together, on a slow machine, are more
    than the silence for which the harness takes a process as hung."""
    doing, begun = asyncio.ensure_future(work), time.monotonic()
    while not (await asyncio.wait([doing], timeout=WORD_SECONDS))[0]:
        note(f"{what}, {time.monotonic() - begun:.0f} s")
    doing.result()


def overload_chunk(seconds: int, note: Note) -> Tally:
    tally = Tally()
    note("overload: how much the server can answer")
    with process(tally) as target:
        capacity, _ = asyncio.run(load.throughput(target.url, photos(), load.WARM_UP_SECONDS))
        tally.measure("photos per second", capacity)
        asyncio.run(told(overload(target, capacity, seconds, tally), note, "overload"))
    return tally


def slow_chunk(number: int, note: Note) -> Tally:
    tally = Tally()
    note(f"slow senders {number}")
    with process(tally) as target:
        asyncio.run(told(slow_senders(target.url, SLOW_PER_CHUNK, tally), note, f"slow senders {number}"))
    return tally


def stop_chunk(number: int, note: Note) -> Tally:
    tally = Tally()
    note(f"SIGTERM {number}")
    with process(tally) as target:
        asyncio.run(told(stop(target, random.Random(number), tally), note, f"SIGTERM {number}"))
    return tally


def rows(tally: Tally) -> list[tuple[str, object]]:
    counts, worst = tally.counts, tally.worst
    late = {name.removeprefix("sigterm: late, "): n for name, n in counts.items() if name.startswith("sigterm: late")}
    slow = {name: (counts[f"slow: {name}"], worst.get(f"slow {name} seconds", 0)) for name in SLOW}
    return [
        ("overload: requests", counts["overload: requests"]),
        ("overload: times what it can answer", f"{worst.get('overload', 0):.1f}"),
        (
            "overload: captions, refused, clients that left",
            ", ".join(str(counts[f"overload: {name}"]) for name in ("200", "503", "disconnected")),
        ),
        ("overload: growth of memory", f"{worst.get('growth MiB', 0):.0f} MiB"),
        ("overload: slowest /healthz", f"{worst.get('healthz seconds', 0):.2f} s"),
        ("slow senders cut off, seconds at most", ", ".join(f"{name} {n}, {s:.1f}" for name, (n, s) in slow.items())),
        ("good requests beside them", counts["slow: good requests"]),
        ("SIGTERMs, seconds to the end at most", f"{counts['sigterm']}, {worst.get('sigterm seconds', 0):.1f}"),
        ("admitted requests answered", f"{counts['sigterm: answered']} of {counts['sigterm: admitted']}"),
        ("of these open at the signal", counts["sigterm: open"]),
        ("later, or half sent", ", ".join(f"{n} {name}" for name, n in sorted(late.items()))),
    ]


def main() -> int:
    n = number_of_cases(__doc__, 100)
    tally = run_chunks("server-overload", "torture.server:overload_chunk", [6 * n])
    tally.add(run_chunks("server-slow", "torture.server:slow_chunk", range(-(-5 * n // SLOW_PER_CHUNK))))
    tally.add(run_chunks("server-stop", "torture.server:stop_chunk", range(n)))
    return report("server", "The server under overload, with slow senders, and ended under load", tally, rows(tally))


if __name__ == "__main__":
    sys.exit(main())
