"""The server under load: throughput by batch, five times too much, a greedy client, slow senders, and SIGTERM.

    python benchmarks/serve.py FOLDER_OF_PHOTOS [SECONDS_OF_OVERLOAD]

Real servers as processes of their own, without the page; the clients share the machine with them, so that a server
alone does somewhat better. Traffic goes to 127.0.0.1 and nowhere else, in bounded numbers; it comes from several
loopback addresses, which only Linux has.
"""

import asyncio
import contextlib
import itertools
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx

BATCHES = (1, 8, 32)
ROUNDS, SECONDS_A_ROUND, CLIENTS = 3, 10.0, 32
OVERLOAD, LEAVING = 5.0, 0.3
ADDRESSES = [f"127.0.0.{n}" for n in range(2, 12)]
"""Of the clients who are too many."""
GREEDY = 100
"""Requests that the greedy client keeps open."""
SLOW_SENDERS = 100
WARM_UP = 5.0


@dataclass
class Server:
    process: subprocess.Popen[str]
    url: str

    def memory(self) -> float:
        """MiB resident now."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGESIZE") / 2**20


@contextlib.contextmanager
def server(*options: str) -> Iterator[Server]:
    command = [sys.executable, "-m", "showtell", "serve", "--no-page", "--port", "0", *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    found = re.search(r"http://\S+", process.stderr.readline())
    assert found
    try:
        yield Server(process, found[0])
    finally:
        process.kill()
        process.wait()


async def throughput(url: str, photos: list[bytes], seconds: float) -> tuple[float, list[float]]:
    """Photos per second, and the latency of each, with so many clients that ask again as soon as they are answered."""
    latencies: list[float] = []
    supply, end = itertools.cycle(photos), time.perf_counter() + seconds

    async def client(session: httpx.AsyncClient) -> None:
        while (begin := time.perf_counter()) < end:
            answer = await session.post(f"{url}/v1/caption", files={"images": next(supply)})
            answer.raise_for_status()
            latencies.append(time.perf_counter() - begin)

    begin = time.perf_counter()
    async with httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=CLIENTS)) as session:
        await asyncio.gather(*(client(session) for _ in range(CLIENTS)))
    return len(latencies) / (time.perf_counter() - begin), latencies


def compare_batches(photos: list[bytes]) -> float:
    """Prints the table; gives the capacity of the usual settings."""
    rates: dict[int, list[float]] = {each: [] for each in BATCHES}
    waits: dict[int, list[float]] = {each: [] for each in BATCHES}
    with contextlib.ExitStack() as stack:
        servers = {each: stack.enter_context(server("--batch", str(each))) for each in BATCHES}
        for each in servers.values():
            asyncio.run(throughput(each.url, photos, 2))
        for _ in range(ROUNDS):
            for batch, each in servers.items():
                rate, latencies = asyncio.run(throughput(each.url, photos, SECONDS_A_ROUND))
                rates[batch].append(rate)
                waits[batch] += latencies
    print(f"{CLIENTS} clients, one photo a request, median of {ROUNDS} interleaved rounds of {SECONDS_A_ROUND:g} s\n")
    print("| batch | photos/s | beside batch 1 | p50 | p99 |\n|---|---|---|---|---|")
    for batch in BATCHES:
        ratio = statistics.median(a / b for a, b in zip(rates[batch], rates[BATCHES[0]], strict=True))
        cuts = statistics.quantiles(waits[batch], n=100)
        rate = statistics.median(rates[batch])
        print(f"| {batch} | {rate:.1f} | {ratio:.2f} | {cuts[49] * 1000:.0f} ms | {cuts[98] * 1000:.0f} ms |")
    return statistics.median(rates[BATCHES[1]])


def client_at(address: str) -> httpx.AsyncClient:
    """Of as many connections as it likes."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=50)
    return httpx.AsyncClient(timeout=60, transport=httpx.AsyncHTTPTransport(local_address=address, limits=limits))


@dataclass
class Tally:
    outcomes: Counter[str] = field(default_factory=Counter)
    served: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    healthy: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)


async def overload(target: Server, photos: list[bytes], rate: float, seconds: float) -> Tally:
    """Requests at a fixed rate, whether or not earlier ones are answered; some clients hang up within a second."""
    tally, supply, chance = Tally(), itertools.cycle(photos), random.Random(1)

    async def request(session: httpx.AsyncClient, leaves_after: float | None) -> None:
        begin = time.perf_counter()
        try:
            post = session.post(f"{target.url}/v1/caption", files={"images": next(supply)})
            answer = await asyncio.wait_for(post, leaves_after)
        except asyncio.TimeoutError:
            tally.outcomes["left"] += 1
            return
        except httpx.HTTPError as error:
            tally.outcomes[type(error).__name__] += 1
            return
        took = time.perf_counter() - begin
        tally.outcomes[str(answer.status_code)] += 1
        if answer.status_code == 200:
            tally.served.append(took)
        else:
            assert int(answer.headers["retry-after"]) >= 1
            tally.refused.append(took)

    async def watch(session: httpx.AsyncClient) -> None:
        while True:
            begin = time.perf_counter()
            answer = await session.get(f"{target.url}/healthz")
            assert answer.status_code == 200, "health is not green"
            tally.healthy.append(time.perf_counter() - begin)
            tally.memory.append(target.memory())
            await asyncio.sleep(0.5)

    async with contextlib.AsyncExitStack() as stack:
        sessions = [await stack.enter_async_context(client_at(each)) for each in ADDRESSES]
        other = await stack.enter_async_context(client_at("127.0.0.1"))
        watching = asyncio.create_task(watch(other))
        requests = []
        begin = time.perf_counter()
        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, begin + number / rate - time.perf_counter()))
            leaves_after = chance.uniform(0, 1) if chance.random() < LEAVING else None
            requests.append(asyncio.create_task(request(sessions[number % len(sessions)], leaves_after)))
        await asyncio.gather(*requests)
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
    return tally


def measure_overload(photos: list[bytes], capacity: float, seconds: float) -> None:
    with server() as target:
        asyncio.run(throughput(target.url, photos, WARM_UP))
        tally = asyncio.run(overload(target, photos, OVERLOAD * capacity, seconds))
        waiting = re.search(r"^showtell_waiting_photos (\S+)", httpx.get(f"{target.url}/metrics").text, re.MULTILINE)
    assert waiting
    sent = tally.outcomes.total()
    odd = {name: count for name, count in tally.outcomes.items() if name not in ("200", "503", "left")}
    tenth = max(1, len(tally.memory) // 10)
    first, last = statistics.median(tally.memory[:tenth]), statistics.median(tally.memory[-tenth:])
    print(f"\n{sent} requests in {seconds:g} s ({OVERLOAD:g} x {capacity:.0f}/s), {LEAVING:.0%} of the clients leave\n")
    print("| | |\n|---|---|")
    print(f"| answered with captions | {tally.outcomes['200']}, {tally.outcomes['200'] / seconds:.1f}/s |")
    print(f"| their latency, p50 and p99 | {_spread(tally.served)} |")
    print(f"| turned away with Retry-After | {tally.outcomes['503']} |")
    print(f"| after, p50 and p99 | {_spread(tally.refused)} |")
    print(f"| hung up before an answer | {tally.outcomes['left']} |")
    print(f"| anything else | {odd or 0} |")
    print(f"| photos left in the queue | {float(waiting[1]):g} |")
    print(f"| /healthz, p50 and p99 | {_spread(tally.healthy)}, all 200 |")
    print(f"| memory, first and last tenth | {first:.0f} MiB, {last:.0f} MiB |")


def _spread(seconds: list[float]) -> str:
    cuts = statistics.quantiles(seconds, n=100)
    return f"{cuts[49] * 1000:.0f} ms, {cuts[98] * 1000:.0f} ms"


async def compete(url: str, photos: list[bytes], seconds: float, greedy: int) -> tuple[Tally, Tally]:
    """A client with `greedy` requests at a time, and one that asks for one photo after another."""
    supply, end = itertools.cycle(photos), time.perf_counter() + seconds

    async def ask(session: httpx.AsyncClient, tally: Tally) -> None:
        while (begin := time.perf_counter()) < end:
            answer = await session.post(f"{url}/v1/caption", files={"images": next(supply)})
            tally.outcomes[str(answer.status_code)] += 1
            if answer.status_code == 200:
                tally.served.append(time.perf_counter() - begin)
            else:
                await asyncio.sleep(0.2)  # not the second that it was told

    much, little = Tally(), Tally()
    async with client_at(ADDRESSES[0]) as one, client_at(ADDRESSES[1]) as other:
        await asyncio.gather(ask(other, little), *(ask(one, much) for _ in range(greedy)))
    return much, little


def measure_fairness(photos: list[bytes]) -> None:
    with server() as target:
        asyncio.run(throughput(target.url, photos, WARM_UP))
        _, alone = asyncio.run(compete(target.url, photos, 2 * SECONDS_A_ROUND, 0))
        much, little = asyncio.run(compete(target.url, photos, 2 * SECONDS_A_ROUND, GREEDY))
    print(f"\nOne photo after another, and a client with {GREEDY} requests at a time\n")
    print("| | captions | latency p50, p99 | turned away |\n|---|---|---|---|")
    for name, tally in (("alone", alone), ("beside it", little), ("that client", much)):
        print(f"| {name} | {len(tally.served)} | {_spread(tally.served)} | {tally.outcomes['503']} |")


async def dribble(url: str) -> list[float]:
    """Seconds until each of the slow senders was cut off; half of them never finish their head."""
    host, port = url.removeprefix("http://").split(":")
    head = b"POST /v1/caption HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"

    async def send(data: bytes) -> float:
        begin = time.perf_counter()
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(data)
        with contextlib.suppress(ConnectionError):
            while not reader.at_eof():
                writer.write(b"x")
                await writer.drain()
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(reader.read(1000), 0.5)
        writer.close()
        return time.perf_counter() - begin

    half = SLOW_SENDERS // 2
    bodies = (send(head + b"Content-Length: 100000\r\n\r\n") for _ in range(half))
    return list(await asyncio.gather(*(send(head) for _ in range(half)), *bodies))


def measure_slow_senders(photo: bytes) -> None:
    async def both(url: str) -> tuple[list[float], list[float]]:
        slow = asyncio.create_task(dribble(url))
        latencies = []
        async with httpx.AsyncClient(timeout=60) as session:
            while not slow.done():
                begin = time.perf_counter()
                (await session.post(f"{url}/v1/caption", files={"images": photo})).raise_for_status()
                latencies.append(time.perf_counter() - begin)
        return await slow, latencies

    with server() as target:
        cut, latencies = asyncio.run(both(target.url))
    half = len(cut) // 2
    print(f"\n{len(cut)} slow senders: heads cut off after {max(cut[:half]):.1f} s at most, ", end="")
    print(f"bodies after {max(cut[half:]):.1f} s; one good client meanwhile: {_spread(latencies)}")


def measure_stop(photos: list[bytes]) -> None:
    async def ask_and_stop(target: Server) -> tuple[Counter[str], float]:
        outcomes: Counter[str] = Counter()

        async def request(session: httpx.AsyncClient, photo: bytes) -> None:
            try:
                answer = await session.post(f"{target.url}/v1/caption", files={"images": photo})
                outcomes[str(answer.status_code)] += 1
            except httpx.HTTPError as error:
                outcomes[type(error).__name__] += 1

        async with httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=None)) as session:
            tasks = [
                asyncio.create_task(request(session, each)) for each in itertools.islice(itertools.cycle(photos), 60)
            ]
            await asyncio.sleep(0.5)
            begin = time.perf_counter()
            target.process.send_signal(signal.SIGTERM)
            await asyncio.gather(*tasks)
        while target.process.poll() is None:
            await asyncio.sleep(0.01)
        return outcomes, time.perf_counter() - begin

    with server() as target:
        asyncio.run(throughput(target.url, photos, 2))
        outcomes, seconds = asyncio.run(ask_and_stop(target))
        code = target.process.returncode
    print(f"\nSIGTERM with 60 requests open: {dict(outcomes)}, exit code {code} after {seconds:.1f} s")


def main(folder: str, seconds: float = 60.0) -> None:
    photos = [path.read_bytes() for path in sorted(Path(folder).glob("*.jpg"))[:200]]
    capacity = compare_batches(photos)
    measure_overload(photos, capacity, seconds)
    measure_fairness(photos)
    measure_slow_senders(photos[0])
    measure_stop(photos)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(sys.argv[1], *map(float, sys.argv[2:]))
