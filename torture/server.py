"""The server under overload, with slow senders, and ended under load: every admitted request is answered.

    python -m torture.server --n 100

N SIGTERMs; 5 N slow senders; ten times the requests that the server can answer, for 6 N seconds, with 30 % of the
clients leaving. The server is `showtell serve` with the built-in model, in a process of its own; clients are here.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Coroutine, Iterator, Sequence
from typing import Any, Final, Protocol

import httpx

from benchmarks import serve as load
from torture.harness import ROOT, Note, Tally, number_of_cases, report, run_chunks

OVERLOAD: Final = 10.0
SECONDS_PER_CHUNK: Final = 60.0
"""Of overload; each with a server of its own."""
SLOW_PER_CHUNK: Final = 250
ADMITTED: Final = 24
"""Requests that are open when SIGTERM comes."""
LATE: Final = 8
"""Requests after it."""
COMMAND: Final = (sys.executable, "-m", "showtell", "serve", "--no-page", "--port", "0")
PATIENCE: Final = 300.0
WORD_SECONDS: Final = 20.0
GROWTH_MIB: Final = 256.0
"""Of the server's memory, from the first tenth of the overload to the last."""


class Target(Protocol):
    url: str

    def memory(self) -> float: ...


@contextlib.contextmanager
def process(command: Sequence[str] = COMMAND) -> Iterator[load.Server]:
    started = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert started.stderr is not None
    try:
        line = started.stderr.readline()
        url = re.search(r"http://\S+", line)
        if url is None:
            raise AssertionError(f"no server: {line}")
        yield load.Server(started, url[0])
    finally:
        started.kill()
        started.wait()
        started.stderr.close()


@functools.cache
def photos() -> list[bytes]:
    return [file.read_bytes() for file in sorted((ROOT / "examples").glob("*.jpg"))]


def queued(url: str) -> int:
    """Images admitted and not yet done."""
    text = httpx.get(f"{url}/metrics", timeout=PATIENCE).text
    found = re.search(r"^showtell_queued_images (\S+)", text, re.MULTILINE)
    assert found is not None
    return int(float(found[1]))


async def overload(target: Target, rate: float, seconds: float, tally: Tally) -> None:
    """Every request has captions, a refusal with Retry-After, or a client that left; the queue is empty in the end."""
    found = await load.overload(target, photos(), rate, seconds)  # type: ignore[arg-type]
    for name in ("200", "503", "disconnected"):
        tally.counts[f"overload: {name}"] += found.outcomes.pop(name, 0)
    tally.counts["overload: requests"] += int(rate * seconds)
    for name, count in found.outcomes.items():
        tally.fail("overload", f"{count} requests ended in {name}; expected captions, or a refusal")
    for _ in range(int(PATIENCE * 10)):
        if not (left := await asyncio.to_thread(queued, target.url)):
            break
        await asyncio.sleep(0.1)
    if left:
        tally.fail("overload", f"{left} images are in the queue for ever")
    tenth = max(1, len(found.memory) // 10)
    growth = sum(found.memory[-tenth:]) / tenth - sum(found.memory[:tenth]) / tenth
    tally.measure("growth MiB", growth)
    if growth > GROWTH_MIB:
        tally.fail("overload", f"its memory grew by {growth:.0f} MiB; expected {GROWTH_MIB:g} at most")
    if found.healthy:
        tally.measure("healthz seconds", max(found.healthy))


async def slow_senders(url: str, count: int, tally: Tally) -> None:
    """Half of them never end their head, half their body; all are cut off, and a good client is served meanwhile."""
    addresses = itertools.cycle(load.ADDRESSES)
    host, port = url.removeprefix("http://").split(":")
    head = b"POST /v1/caption HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"

    async def send(data: bytes, address: str) -> None:
        try:
            reader, writer = await asyncio.open_connection(host, int(port), local_addr=(address, 0))
        except OSError:
            tally.counts["slow: refused"] += 1
            return
        await load.drip(reader, writer, data)
        tally.counts["slow: cut off"] += 1

    async def good() -> None:
        async with load.client_at("127.0.0.1") as client:
            while True:
                answer = await client.post(f"{url}/v1/caption", files={"images": photos()[0]})
                tally.counts["slow: good requests"] += 1
                if answer.status_code != 200:
                    tally.fail("slow senders", f"a good client got {answer.status_code}; expected captions")

    heads = [head if n % 2 else head + b"Content-Length: 100000\r\n\r\n" for n in range(count)]
    serving = asyncio.create_task(good())
    sending = [asyncio.create_task(send(data, next(addresses))) for data in heads]
    done, pending = await asyncio.wait(sending, timeout=PATIENCE)
    serving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await serving
    for task in pending:
        task.cancel()
    if pending:
        tally.fail("slow senders", f"{len(pending)} of {count} were never cut off")
    if not tally.counts["slow: good requests"]:
        tally.fail("slow senders", "a good client got nothing meanwhile")
    for task in done:
        task.result()


async def stop(target: load.Server, rng: random.Random, tally: Tally) -> None:
    """SIGTERM once all open requests are admitted or answered, at some moment: each of them is answered."""
    outcomes: Counter[str] = Counter()

    async def ask(client: httpx.AsyncClient, photo: bytes) -> None:
        try:
            answer = await client.post(f"{target.url}/v1/caption", files={"images": photo}, data={"beam": "1"})
            outcomes[str(answer.status_code)] += 1
        except httpx.TransportError as error:
            outcomes[type(error).__name__] += 1

    limits = httpx.Limits(max_connections=None)
    async with (
        httpx.AsyncClient(timeout=PATIENCE, limits=limits) as client,
        httpx.AsyncClient(timeout=PATIENCE) as late,
    ):
        asking = [asyncio.create_task(ask(client, rng.choice(photos()))) for _ in range(ADMITTED)]
        while outcomes.total() + await asyncio.to_thread(queued, target.url) < ADMITTED:
            await asyncio.sleep(0.01)
        await asyncio.sleep(rng.uniform(0, 0.5))
        target.process.send_signal(signal.SIGTERM)
        after = [asyncio.create_task(late.get(f"{target.url}/readyz")) for _ in range(LATE)]
        await asyncio.gather(*asking)
        answers = await asyncio.gather(*after, return_exceptions=True)
    code = await asyncio.to_thread(target.process.wait, PATIENCE)
    tally.counts["sigterm"] += 1
    tally.counts["sigterm: answered"] += outcomes["200"]
    if outcomes["200"] != ADMITTED:
        tally.fail("SIGTERM", f"of {ADMITTED} admitted requests: {dict(outcomes)}; expected captions of all")
    if code != 0:
        tally.fail("SIGTERM", f"exit code {code}; expected 0")
    for answer in answers:
        refused = isinstance(answer, httpx.Response) and answer.status_code in (200, 503)
        if not (refused or isinstance(answer, httpx.TransportError)):
            tally.fail("SIGTERM", f"a late request got {answer!r}")


async def told(work: Coroutine[Any, Any, None], note: Note, what: str) -> None:
    """Done with a word now and then. All of it has time limits of its own, which together, on a slow machine, are more
    than the silence for which the harness takes a process as hung."""
    doing, begun = asyncio.ensure_future(work), time.monotonic()
    while not (await asyncio.wait([doing], timeout=WORD_SECONDS))[0]:
        note(f"{what}, {time.monotonic() - begun:.0f} s")
    doing.result()


def overload_chunk(number: int, note: Note) -> Tally:
    tally = Tally()
    note(f"overload {number}: how much the server can answer")
    with process() as target:
        capacity, _ = asyncio.run(load.throughput(target.url, photos(), load.WARM_UP_SECONDS))
        tally.measure("photos per second", capacity)
        overloaded = overload(target, OVERLOAD * capacity, SECONDS_PER_CHUNK, tally)
        asyncio.run(told(overloaded, note, f"overload {number}"))
    return tally


def slow_chunk(number: int, note: Note) -> Tally:
    tally = Tally()
    note(f"slow senders {number}")
    with process() as target:
        asyncio.run(told(slow_senders(target.url, SLOW_PER_CHUNK, tally), note, f"slow senders {number}"))
    return tally


def stop_chunk(number: int, note: Note) -> Tally:
    tally = Tally()
    note(f"SIGTERM {number}")
    with process() as target:
        asyncio.run(told(stop(target, random.Random(number), tally), note, f"SIGTERM {number}"))
    return tally


def rows(tally: Tally) -> list[tuple[str, object]]:
    counts: Any = tally.counts
    return [
        ("overload: requests", counts["overload: requests"]),
        (
            "overload: captions, refused, clients that left",
            ", ".join(str(counts[f"overload: {name}"]) for name in ("200", "503", "disconnected")),
        ),
        ("overload: growth of memory", f"{tally.worst.get('growth MiB', 0):.0f} MiB"),
        ("overload: slowest /healthz", f"{tally.worst.get('healthz seconds', 0):.2f} s"),
        ("slow senders cut off, refused", f"{counts['slow: cut off']}, {counts['slow: refused']}"),
        ("good requests beside them", counts["slow: good requests"]),
        ("SIGTERMs", counts["sigterm"]),
        ("admitted requests answered", f"{counts['sigterm: answered']} of {ADMITTED * counts['sigterm']}"),
    ]


def main() -> int:
    n = number_of_cases(__doc__, 100)
    tally = run_chunks("server-overload", "torture.server:overload_chunk", range(-(-6 * n // int(SECONDS_PER_CHUNK))))
    tally.add(run_chunks("server-slow", "torture.server:slow_chunk", range(-(-5 * n // SLOW_PER_CHUNK))))
    tally.add(run_chunks("server-stop", "torture.server:stop_chunk", range(n)))
    return report("server", "The server under overload, with slow senders, and ended under load", tally, rows(tally))


if __name__ == "__main__":
    sys.exit(main())
