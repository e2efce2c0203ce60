"""URLs of a request become bytes, before its photos are queued: a slow host must not hold up a loader of photos."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from typing import Any

from showtell.errors import BadImage
from showtell.fetch.fetch import Fetcher
from showtell.serve.batcher import Stopping
from showtell.serve.intake import Url, raiser
from showtell.serve.limits import Limits

TOGETHER = 12
"""Fetches at a time, of all requests; each holds a thread and may hold a body's worth of memory."""
OF_ONE_CLIENT = 6
OF_ONE_REQUEST = 4


class Urls:
    def __init__(self, fetcher: Fetcher, limits: Limits) -> None:
        self._limits, self._fetches = limits, _Fetches(fetcher)

    def stop(self) -> None:
        """Let go of all requests whose URLs are still fetched, and of those that come: Stopping is raised in them."""
        self._fetches.stop()

    async def fetched(self, sources: Sequence[Any], client: str = "") -> list[Any]:
        """The sources with each URL's bytes in its place, or a function that raises the BadImage that it is.

        All of a request have half its deadline, so that dead hosts do not take the good images with them, and together
        the bytes of one body. Raises Stopping.
        """
        found, budget = list(sources), _Budget(self._limits.body_bytes)
        room = asyncio.Semaphore(OF_ONE_REQUEST)
        places = {
            asyncio.create_task(self._fetch(str(source), client, room, budget)): place
            for place, source in enumerate(sources)
            if isinstance(source, Url)
        }
        if not places:
            return found
        try:
            await asyncio.wait(places, timeout=self._limits.deadline / 2)
            for task, place in places.items():
                found[place] = task.result() if task.done() else raiser(_LATE)
        finally:
            for task in places:
                task.cancel()
        return found

    async def _fetch(
        self, url: str, client: str, room: asyncio.Semaphore, budget: _Budget
    ) -> bytes | Callable[[], bytes]:
        async with room:
            try:
                return budget.spend(await asyncio.wrap_future(self._fetches.submit(url, client)))
            except BadImage as error:
                return raiser(error)


_LATE = BadImage("url_failed", "found no complete answer in the time that there is for all URLs of a request")


class _Budget:
    def __init__(self, left: int) -> None:
        self._left = left

    def spend(self, data: bytes) -> bytes:
        """Raises BadImage where it is too much."""
        if len(data) > self._left:
            raise BadImage("too_large", "found more from the request's URLs than a request may have")
        self._left -= len(data)
        return data


@dataclass(eq=False)
class _Fetch:
    url: str
    client: str
    future: Future[bytes] = field(default_factory=Future)


class _Fetches:
    """Threads that fetch, as many as `TOGETHER`, of which no client has more than `OF_ONE_CLIENT`; whoever has fewest
    is next. A fetch whose client left runs on, and counts until it has ended.

    Rejected: anyio's threads, which all other work needs, and ThreadPoolExecutor, whose threads the end of the program
    waits for, and which knows no clients.
    """

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher
        self._lock = threading.Lock()
        self._held: Counter[str] = Counter()
        self._waiting: list[_Fetch] = []
        self._running: set[_Fetch] = set()
        self._is_stopping = False

    def submit(self, url: str, client: str) -> Future[bytes]:
        """Cancelling the future takes it out of the queue. Raises Stopping."""
        fetch = _Fetch(url, client)
        with self._lock:
            if self._is_stopping:
                raise Stopping
            self._waiting.append(fetch)
            self._start()
        return fetch.future

    def stop(self) -> None:
        with self._lock:
            self._is_stopping = True
            left, self._waiting = [*self._waiting, *self._running], []
        for fetch in left:
            with contextlib.suppress(InvalidStateError):  # done, or cancelled
                fetch.future.set_exception(Stopping())

    def _start(self) -> None:
        """As many as there are threads for; called with the lock."""
        self._waiting = [each for each in self._waiting if not each.future.cancelled()]
        while len(self._running) < TOGETHER:
            allowed = [each for each in self._waiting if self._held[each.client] < OF_ONE_CLIENT]
            if not allowed:
                return
            fetch = min(allowed, key=lambda each: self._held[each.client])
            self._waiting.remove(fetch)
            if not fetch.future.set_running_or_notify_cancel():
                continue
            self._running.add(fetch)
            self._held[fetch.client] += 1
            try:
                threading.Thread(target=self._run, args=(fetch,), name="showtell-fetch", daemon=True).start()
            except RuntimeError as error:  # no more threads on this machine
                self._forget(fetch)
                fetch.future.set_exception(error)

    def _run(self, fetch: _Fetch) -> None:
        try:
            data = self._fetcher.fetch(fetch.url)
        except BaseException as error:  # noqa: BLE001  # raised again where it is waited for
            self._end(fetch)
            with contextlib.suppress(InvalidStateError):  # the server stops
                fetch.future.set_exception(error)
        else:
            self._end(fetch)
            with contextlib.suppress(InvalidStateError):
                fetch.future.set_result(data)

    def _end(self, fetch: _Fetch) -> None:
        with self._lock:
            self._forget(fetch)
            self._start()

    def _forget(self, fetch: _Fetch) -> None:
        self._running.discard(fetch)
        self._held[fetch.client] -= 1
        if not self._held[fetch.client]:
            del self._held[fetch.client]
