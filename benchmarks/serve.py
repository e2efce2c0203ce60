"""Load test of the server: throughput by batch size, overload, fairness, slow clients, and graceful shutdown.

    python benchmarks/serve.py FOLDER_OF_PHOTOS [SECONDS_OF_OVERLOAD]

The servers are separate processes, without the page. Clients run on the same machine, so a server with a machine of its
own is somewhat faster. All traffic is on loopback, from several loopback addresses, which only Linux has.
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
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx

BATCH_SIZES = (1, 8, 32)
ROUNDS, ROUND_SECONDS, CLIENTS = 3, 10.0, 32
OVERLOAD = 5.0
"""Requests per second, as a multiple of the capacity."""
DISCONNECTING = 0.3
"""Share of the clients under overload that disconnect within a second."""
ADDRESSES = [f"127.0.0.{n}" for n in range(2, 12)]
"""Of the clients under overload."""
GREEDY_REQUESTS = 100
"""Requests that the greedy client keeps open."""
SLOW_CLIENTS = 100
WARM_UP_SECONDS = 5.0
HEALTH_TIMEOUT = 10.0


@dataclass
class Server:
    process: subprocess.Popen[str]
    url: str

    def memory(self) -> float:
        """Resident memory in MiB."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGESIZE") / 2**20


@contextlib.contextmanager
def server(*options: str) -> Iterator[Server]:
    command = [sys.executable, "-m", "showtell", "serve", "--no-page", "--port", "0", *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    url = re.search(r"http://\S+", process.stderr.readline())
    assert url
    try:
        yield Server(process, url[0])
    finally:
        process.kill()
        process.wait()


async def throughput(url: str, photos: list[bytes], seconds: float) -> tuple[float, list[float]]:
    """Photos per second, and all latencies, of a closed loop of CLIENTS clients."""
    latencies: list[float] = []
    photo_cycle, end = itertools.cycle(photos), time.perf_counter() + seconds

    async def client(session: httpx.AsyncClient) -> None:
        while (started_at := time.perf_counter()) < end:
            answer = await session.post(f"{url}/v1/caption", files={"images": next(photo_cycle)})
            answer.raise_for_status()
            latencies.append(time.perf_counter() - started_at)

    started_at = time.perf_counter()
    async with httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=CLIENTS)) as session:
        await asyncio.gather(*(client(session) for _ in range(CLIENTS)))
    return len(latencies) / (time.perf_counter() - started_at), latencies


def compare_batch_sizes(photos: list[bytes]) -> float:
    """Prints the table; returns the photos per second of batch size 8."""
    rates: dict[int, list[float]] = {size: [] for size in BATCH_SIZES}
    latencies_by_batch_size: dict[int, list[float]] = {size: [] for size in BATCH_SIZES}
    with contextlib.ExitStack() as stack:
        servers = {size: stack.enter_context(server("--batch", str(size))) for size in BATCH_SIZES}
        for target in servers.values():
            asyncio.run(throughput(target.url, photos, 2))
        for _ in range(ROUNDS):
            for batch, target in servers.items():
                rate, latencies = asyncio.run(throughput(target.url, photos, ROUND_SECONDS))
                rates[batch].append(rate)
                latencies_by_batch_size[batch] += latencies
    print(f"{CLIENTS} clients, one photo a request, median of {ROUNDS} interleaved rounds of {ROUND_SECONDS:g} s\n")
    print("| batch | photos/s | beside batch 1 | p50 | p99 |\n|---|---|---|---|---|")
    for batch in BATCH_SIZES:
        ratio = statistics.median(a / b for a, b in zip(rates[batch], rates[BATCH_SIZES[0]], strict=True))
        cuts = statistics.quantiles(latencies_by_batch_size[batch], n=100)
        rate = statistics.median(rates[batch])
        print(f"| {batch} | {rate:.1f} | {ratio:.2f} | {cuts[49] * 1000:.0f} ms | {cuts[98] * 1000:.0f} ms |")
    return statistics.median(rates[BATCH_SIZES[1]])


def client_at(address: str) -> httpx.AsyncClient:
    """With any number of connections, from a loopback address."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=50)
    return httpx.AsyncClient(timeout=60, transport=httpx.AsyncHTTPTransport(local_address=address, limits=limits))


def outcome_of(photo: bytes, answer: httpx.Response) -> str:
    return str(answer.status_code)


@dataclass
class Tally:
    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    """In which all requests were sent."""
    served: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    healthy: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)


async def overload(
    target: Server,
    photos: list[bytes],
    rate: float,
    seconds: float,
    outcome: Callable[[bytes, httpx.Response], str] = outcome_of,
) -> Tally:
    """An open loop: requests at a fixed rate, whether or not earlier ones are answered; some disconnect. `outcome`
    names what came of a photo."""
    tally, photo_cycle, rng = Tally(), itertools.cycle(photos), random.Random(1)

    async def request(session: httpx.AsyncClient, disconnect_after: float | None) -> None:
        started_at, photo = time.perf_counter(), next(photo_cycle)
        try:
            post = session.post(f"{target.url}/v1/caption", files={"images": photo})
            answer = await asyncio.wait_for(post, disconnect_after)
        except asyncio.TimeoutError:
            tally.outcomes["disconnected"] += 1
            return
        except httpx.HTTPError as error:
            tally.outcomes[type(error).__name__] += 1
            return
        latency = time.perf_counter() - started_at
        tally.outcomes[outcome(photo, answer)] += 1
        if answer.status_code == 200:
            tally.served.append(latency)
        elif answer.status_code == 503:
            assert int(answer.headers["retry-after"]) >= 1
            tally.refused.append(latency)

    async def monitor(session: httpx.AsyncClient) -> None:
        while True:
            started_at = time.perf_counter()
            answer = await session.get(f"{target.url}/healthz", timeout=HEALTH_TIMEOUT)
            assert answer.status_code == 200, "health is not green"
            tally.healthy.append(time.perf_counter() - started_at)
            tally.memory.append(target.memory())
            await asyncio.sleep(0.5)

    async with contextlib.AsyncExitStack() as stack:
        sessions = [await stack.enter_async_context(client_at(address)) for address in ADDRESSES]
        other = await stack.enter_async_context(client_at("127.0.0.1"))
        monitoring = asyncio.create_task(monitor(other))
        requests = []
        started_at = time.perf_counter()
        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, started_at + number / rate - time.perf_counter()))
            disconnect_after = rng.uniform(0, 1) if rng.random() < DISCONNECTING else None
            requests.append(asyncio.create_task(request(sessions[number % len(sessions)], disconnect_after)))
        tally.seconds = time.perf_counter() - started_at
        await asyncio.gather(*requests)
        monitoring.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await monitoring
    return tally


def measure_overload(photos: list[bytes], capacity: float, seconds: float) -> None:
    with server() as target:
        asyncio.run(throughput(target.url, photos, WARM_UP_SECONDS))
        tally = asyncio.run(overload(target, photos, OVERLOAD * capacity, seconds))
        waiting = re.search(r"^showtell_queued_images (\S+)", httpx.get(f"{target.url}/metrics").text, re.MULTILINE)
    assert waiting
    sent = tally.outcomes.total()
    unexpected = {name: count for name, count in tally.outcomes.items() if name not in ("200", "503", "disconnected")}
    tenth = max(1, len(tally.memory) // 10)
    first, last = statistics.median(tally.memory[:tenth]), statistics.median(tally.memory[-tenth:])
    print(f"\n{sent} requests in {seconds:g} s ({OVERLOAD:g} x {capacity:.0f}/s); {DISCONNECTING:.0%} disconnect\n")
    print("| | |\n|---|---|")
    print(f"| answered with captions | {tally.outcomes['200']}, {tally.outcomes['200'] / seconds:.1f}/s |")
    print(f"| latency, p50 and p99 | {_spread(tally.served)} |")
    print(f"| refused with Retry-After | {tally.outcomes['503']} |")
    print(f"| refused after, p50 and p99 | {_spread(tally.refused)} |")
    print(f"| disconnected before a response | {tally.outcomes['disconnected']} |")
    print(f"| anything else | {unexpected or 0} |")
    print(f"| photos left in the queue | {float(waiting[1]):g} |")
    print(f"| /healthz, p50 and p99 | {_spread(tally.healthy)}, all 200 |")
    print(f"| memory, first and last tenth | {first:.0f} MiB, {last:.0f} MiB |")


def _spread(seconds: list[float]) -> str:
    cuts = statistics.quantiles(seconds, n=100)
    return f"{cuts[49] * 1000:.0f} ms, {cuts[98] * 1000:.0f} ms"


async def run_competition(url: str, photos: list[bytes], seconds: float, greedy: int) -> tuple[Tally, Tally]:
    """A client with `greedy` requests at a time, and one that asks for one photo after another."""
    photo_cycle, end = itertools.cycle(photos), time.perf_counter() + seconds

    async def ask(session: httpx.AsyncClient, tally: Tally) -> None:
        while (started_at := time.perf_counter()) < end:
            answer = await session.post(f"{url}/v1/caption", files={"images": next(photo_cycle)})
            tally.outcomes[str(answer.status_code)] += 1
            if answer.status_code == 200:
                tally.served.append(time.perf_counter() - started_at)
            else:
                await asyncio.sleep(0.2)  # sooner than Retry-After says

    greedy_tally, modest_tally = Tally(), Tally()
    async with client_at(ADDRESSES[0]) as one, client_at(ADDRESSES[1]) as other:
        await asyncio.gather(ask(other, modest_tally), *(ask(one, greedy_tally) for _ in range(greedy)))
    return greedy_tally, modest_tally


def measure_fairness(photos: list[bytes]) -> None:
    with server() as target:
        asyncio.run(throughput(target.url, photos, WARM_UP_SECONDS))
        _, alone = asyncio.run(run_competition(target.url, photos, 2 * ROUND_SECONDS, 0))
        greedy_tally, modest_tally = asyncio.run(
            run_competition(target.url, photos, 2 * ROUND_SECONDS, GREEDY_REQUESTS)
        )
    print(f"\nOne photo after another, and a client with {GREEDY_REQUESTS} requests at a time\n")
    print("| | captions | latency p50, p99 | refused |\n|---|---|---|---|")
    for name, tally in (("alone", alone), ("beside it", modest_tally), ("that client", greedy_tally)):
        print(f"| {name} | {len(tally.served)} | {_spread(tally.served)} | {tally.outcomes['503']} |")


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes, drop: bytes = b"x") -> bytes:
    """Send `data`, then a drop every half second, until the server ends the connection. Returns what it said."""
    received = b""
    writer.write(data)
    with contextlib.suppress(ConnectionError):
        while not reader.at_eof():
            writer.write(drop)
            await writer.drain()
            with contextlib.suppress(asyncio.TimeoutError):
                received += await asyncio.wait_for(reader.read(1000), 0.5)
    writer.close()
    return received


async def send_slowly(url: str) -> list[float]:
    """Seconds until each slow client was cut off; half of them never finish the request head."""
    host, port = url.removeprefix("http://").split(":")
    head = b"POST /v1/caption HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"

    async def send(data: bytes) -> float:
        started_at = time.perf_counter()
        await drip(*await asyncio.open_connection(host, int(port)), data)
        return time.perf_counter() - started_at

    half = SLOW_CLIENTS // 2
    bodies = (send(head + b"Content-Length: 100000\r\n\r\n") for _ in range(half))
    return list(await asyncio.gather(*(send(head) for _ in range(half)), *bodies))


def measure_slow_clients(photo: bytes) -> None:
    async def both(url: str) -> tuple[list[float], list[float]]:
        slow = asyncio.create_task(send_slowly(url))
        latencies = []
        async with httpx.AsyncClient(timeout=60) as session:
            while not slow.done():
                started_at = time.perf_counter()
                (await session.post(f"{url}/v1/caption", files={"images": photo})).raise_for_status()
                latencies.append(time.perf_counter() - started_at)
        return await slow, latencies

    with server() as target:
        cut, latencies = asyncio.run(both(target.url))
    half = len(cut) // 2
    print(f"\n{len(cut)} slow clients: request heads cut off after {max(cut[:half]):.1f} s at most, ", end="")
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
                asyncio.create_task(request(session, photo)) for photo in itertools.islice(itertools.cycle(photos), 60)
            ]
            await asyncio.sleep(0.5)
            started_at = time.perf_counter()
            target.process.send_signal(signal.SIGTERM)
            await asyncio.gather(*tasks)
        while target.process.poll() is None:
            await asyncio.sleep(0.01)
        return outcomes, time.perf_counter() - started_at

    with server() as target:
        asyncio.run(throughput(target.url, photos, 2))
        outcomes, seconds = asyncio.run(ask_and_stop(target))
        code = target.process.returncode
    print(f"\nSIGTERM with 60 requests open: {dict(outcomes)}, exit code {code} after {seconds:.1f} s")


def main(folder: str, seconds: float = 60.0) -> None:
    photos = [path.read_bytes() for path in sorted(Path(folder).glob("*.jpg"))[:200]]
    capacity = compare_batch_sizes(photos)
    measure_overload(photos, capacity, seconds)
    measure_fairness(photos)
    measure_slow_clients(photos[0])
    measure_stop(photos)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(sys.argv[1], *map(float, sys.argv[2:]))
