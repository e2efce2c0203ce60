"""What the torture of the server does as its clients, and what it expects of the answers."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import random
import re
import signal
import time
from collections import Counter
from typing import Final, NamedTuple, Protocol

import httpx

from benchmarks import serve as load
from torture.harness import ROOT, Tally

OVERLOAD: Final = 10.0
LEAST_SHARE: Final = 0.4
"""Of what the server answers without overload, and of the overload itself: clients and server share the cores."""
ADMITTED: Final = 24
"""Requests that are open when SIGTERM comes."""
LATE: Final = 8
"""Requests after it, and as many uploads that it finds half sent."""
STOP_SECONDS: Final = 0.3
"""Within which the server notices the signal, if it is not busy."""
EXIT_SECONDS: Final = 20.0
"""As docs/serving.md says."""
PATIENCE: Final = 300.0
HEALTH_SECONDS: Final = 5.0
GROWTH_MIB: Final = 256.0
"""Of the server's memory, from the first tenth of the overload to the last."""


class Slow(NamedTuple):
    """A sender that never ends."""

    begin: bytes
    drop: bytes
    least: float
    most: float
    """Seconds after which it is cut off."""


POST: Final = b"POST /v1/caption HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
SLOW: Final = {
    "head": Slow(POST, b"x", 4, 10),
    "second head": Slow(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" + POST, b"x", 4, 10),
    "body": Slow(POST + b"Content-Length: 100000\r\n\r\n", b"x", 18, 30),
    "chunks": Slow(POST + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", 18, 30),
    "preview": Slow(POST.replace(b"v1/caption", b"page/preview") + b"Content-Length: 100000\r\n\r\n", b"x", 18, 30),
}
"""Limits of `showtell serve`: 5 s for a head, 20 s for a body and 2 s for the answer to arrive."""


class Target(Protocol):
    url: str

    def memory(self) -> float: ...


@functools.cache
def photos() -> list[bytes]:
    return [file.read_bytes() for file in sorted((ROOT / "examples").glob("*.jpg"))]


def captions(answer: httpx.Response) -> list[str] | None:
    """The captions of an answer, if all photos have one."""
    results = answer.json().get("results", [])
    texts = [result["captions"][0]["text"] for result in results if "captions" in result]
    return texts if len(texts) == len(results) else None


def queued(url: str) -> int:
    """Images admitted and not yet done."""
    text = httpx.get(f"{url}/metrics", timeout=PATIENCE, verify=False).text
    found = re.search(r"^showtell_queued_images (\S+)", text, re.MULTILINE)
    assert found is not None
    return int(float(found[1]))


async def overload(target: Target, capacity: float, seconds: float, tally: Tally) -> None:
    """Every request has its caption, a refusal with Retry-After, or a client that left; the queue is empty in the
    end. `capacity`: photos per second without overload."""
    async with load.client_at("127.0.0.1") as client:
        alone = [await client.post(f"{target.url}/v1/caption", files={"images": photo}) for photo in photos()]
    expected = dict(zip(photos(), map(captions, alone), strict=True))

    def outcome(photo: bytes, answer: httpx.Response) -> str:
        if answer.status_code == 200:
            return "200" if captions(answer) == expected[photo] else "200 with the caption of another photo"
        code = answer.json()["error"]["code"]
        return "503" if answer.status_code == 503 and code in ("queue_full", "busy") else f"{answer.status_code} {code}"

    try:
        found = await load.overload(target, photos(), OVERLOAD * capacity, seconds, outcome)  # type: ignore[arg-type]
    except (httpx.HTTPError, AssertionError) as error:
        tally.fail("overload", f"/healthz: {error!r}; expected 200 within {load.HEALTH_TIMEOUT:g} s")
        return
    _judge(found, capacity, tally)
    for _ in range(int(PATIENCE * 10)):
        if not (left := await asyncio.to_thread(queued, target.url)):
            break
        await asyncio.sleep(0.1)
    if left:
        tally.fail("overload", f"{left} images are in the queue for ever")


def _judge(found: load.Tally, capacity: float, tally: Tally) -> None:
    outcomes, rate = found.outcomes, found.outcomes.total() / found.seconds
    for name in ("200", "503", "disconnected"):
        tally.counts[f"overload: {name}"] += outcomes[name]
    tally.counts["overload: requests"] += outcomes.total()
    tally.measure("overload", rate / capacity)
    for name in outcomes.keys() - {"200", "503", "disconnected"}:
        tally.fail("overload", f"{outcomes[name]} requests ended in {name}; expected captions, or a refusal")
    if outcomes["200"] < LEAST_SHARE * capacity * found.seconds:
        tally.fail(
            "overload", f"{outcomes['200']} captions in {found.seconds:.0f} s; it can write {capacity:.1f} a second"
        )
    if rate < LEAST_SHARE * OVERLOAD * capacity:
        tally.fail("overload", f"{rate / capacity:.1f} times what it can answer was asked; expected {OVERLOAD:g} times")
    tenth = max(1, len(found.memory) // 10)
    growth = (sum(found.memory[-tenth:]) - sum(found.memory[:tenth])) / tenth
    tally.measure("growth MiB", growth)
    if growth > GROWTH_MIB:
        tally.fail("overload", f"its memory grew by {growth:.0f} MiB; expected {GROWTH_MIB:g} at most")
    slowest = max(found.healthy, default=float("inf"))
    tally.measure("healthz seconds", slowest)
    if slowest > HEALTH_SECONDS:
        tally.fail("overload", f"/healthz answered after {slowest:.1f} s; expected {HEALTH_SECONDS:g} at most")


async def slow_senders(url: str, count: int, tally: Tally, kinds: dict[str, Slow] = SLOW) -> None:
    """All are cut off in their time, with the reason, and a good client is served meanwhile."""
    addresses = itertools.cycle(load.ADDRESSES)
    host, port = url.removeprefix("http://").split(":")

    async def send(name: str, slow: Slow, address: str) -> None:
        begun = time.monotonic()
        try:
            reader, writer = await asyncio.open_connection(host, int(port), local_addr=(address, 0))
        except OSError as error:
            tally.fail(f"slow {name}", f"found no connection ({error}); expected one until its time is up")
            return
        said = await load.drip(reader, writer, slow.begin, slow.drop)
        seconds = time.monotonic() - begun
        tally.counts[f"slow: {name}"] += 1
        tally.measure(f"slow {name} seconds", seconds)
        if not slow.least <= seconds <= slow.most:
            tally.fail(f"slow {name}", f"cut off after {seconds:.1f} s; expected {slow.least:g} to {slow.most:g}")
        if b"HTTP/1.1 408 " not in said:
            tally.fail(f"slow {name}", f"was told {said[:100]!r}; expected 408")

    async def good() -> None:
        async with load.client_at("127.0.0.1") as client:
            while True:
                answer = await client.post(f"{url}/v1/caption", files={"images": photos()[0]})
                tally.counts["slow: good requests"] += 1
                if answer.status_code != 200:
                    tally.fail("slow senders", f"a good client got {answer.status_code}; expected captions")

    serving = asyncio.create_task(good())
    each = itertools.islice(itertools.cycle(kinds.items()), count)
    sending = [asyncio.create_task(send(name, slow, next(addresses))) for name, slow in each]
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
    """SIGTERM once all open requests are admitted or answered, at some moment: each of them is answered, and what
    comes later, or was half sent, is told to come again."""
    outcomes: Counter[str] = Counter()
    signalled = 0.0
    halves = [await HalfUpload.begin(target.url) for _ in range(LATE)]

    async def ask(client: httpx.AsyncClient, photo: bytes) -> None:
        try:
            answer = await client.post(f"{target.url}/v1/caption", files={"images": photo})
            code = answer.json().get("error", {}).get("code")
            is_refused = code == "queue_full" and not signalled
            outcomes["refused" if is_refused else "200" if captions(answer) else f"{answer.status_code} {code}"] += 1
        except httpx.TransportError as error:
            outcomes[type(error).__name__] += 1

    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(timeout=PATIENCE, limits=limits, verify=False) as client:
        asking = [asyncio.create_task(ask(client, rng.choice(photos()))) for _ in range(ADMITTED)]
        while outcomes.total() + await asyncio.to_thread(queued, target.url) < ADMITTED:
            await asyncio.sleep(0.01)
        await asyncio.sleep(rng.uniform(0, 0.5))
        tally.counts["sigterm: open"] += ADMITTED - outcomes.total()
        signalled = time.monotonic()
        target.process.send_signal(signal.SIGTERM)
        after = [asyncio.create_task(_ask_late(client, target.url)) for _ in range(LATE)]
        answers = await asyncio.gather(*after, *(half.end() for half in halves))
        await asyncio.gather(*asking)
    code = await asyncio.to_thread(target.process.wait, PATIENCE)
    seconds = time.monotonic() - signalled
    tally.counts["sigterm"] += 1
    tally.counts["sigterm: answered"] += outcomes["200"]
    tally.counts["sigterm: admitted"] += ADMITTED - outcomes["refused"]
    tally.measure("sigterm seconds", seconds)
    if outcomes["200"] + outcomes["refused"] != ADMITTED or outcomes["200"] < ADMITTED / 2:
        tally.fail("SIGTERM", f"of {ADMITTED} requests: {dict(outcomes)}; expected captions of all that were admitted")
    if code != 0 or seconds > EXIT_SECONDS:
        tally.fail("SIGTERM", f"exit code {code} after {seconds:.1f} s; expected 0 within {EXIT_SECONDS:g} s")
    for answer in answers:
        tally.counts[f"sigterm: late, {answer}"] += 1
        if answer not in ("200", "503", "no connection"):
            tally.fail(
                "SIGTERM", f"a late request got {answer}; expected captions, 503 with Retry-After, or no connection"
            )


async def _ask_late(client: httpx.AsyncClient, url: str) -> str:
    try:
        answer = await client.post(f"{url}/v1/caption", files={"images": photos()[0]})
    except httpx.ConnectError:
        return "no connection"
    except httpx.TransportError as error:
        return type(error).__name__
    return _named(answer.status_code, "retry-after" in answer.headers)


def _named(status: int, may_come_again: bool) -> str:
    return f"{status} without Retry-After" if status == 503 and not may_come_again else str(status)


class HalfUpload:
    """A request whose second half is sent later."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rest: bytes) -> None:
        self._reader, self._writer, self._rest = reader, writer, rest

    @classmethod
    async def begin(cls, url: str) -> HalfUpload:
        host, port = url.removeprefix("http://").split(":")
        request = httpx.Request("POST", f"{url}/v1/caption", files={"images": photos()[0]})
        body = await request.aread()
        headers = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
        head = f"POST /v1/caption HTTP/1.1\r\n{headers}Connection: close\r\n\r\n".encode()
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(head + body[: len(body) // 2])
        await writer.drain()
        return cls(reader, writer, body[len(body) // 2 :])

    async def end(self) -> str:
        """What came of it, once the server has begun to stop."""
        said = b""
        await asyncio.sleep(STOP_SECONDS)
        with contextlib.suppress(ConnectionError):
            self._writer.write(self._rest)
            await self._writer.drain()
        with contextlib.suppress(ConnectionError):
            said = await self._reader.read()
        self._writer.close()
        status = re.match(rb"HTTP/1.1 (\d+) ", said)
        return _named(int(status[1]), b"\nretry-after:" in said.lower()) if status else "nothing"
