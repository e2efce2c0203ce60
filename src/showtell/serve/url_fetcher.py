"""Images given by URL are downloaded before the request is queued, so that a slow host occupies no image loader."""

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
from showtell.serve.limits import Limits
from showtell.serve.queue_errors import ShuttingDown
from showtell.serve.request_parsing import Url, raiser

MAX_FETCHES = 12
"""At a time, of all requests; each holds a thread and up to a body's worth of memory."""
MAX_FETCHES_PER_CLIENT = 6
MAX_FETCHES_PER_REQUEST = 4


class UrlFetcher:
    def __init__(self, fetcher: Fetcher, limits: Limits) -> None:
        self._limits, self._pool = limits, _FetchPool(fetcher)

    def stop(self) -> None:
        """Raises ShuttingDown in all requests that wait for a download, and in those that come."""
        self._pool.stop()

    async def fetch_all(self, images: Sequence[Any], client: str = "") -> list[Any]:
        """The images, each Url replaced by its bytes, or by a function that raises its BadImage.

        All downloads of a request share half of `request_timeout`, so that dead hosts leave time to caption the other
        images, and the bytes of one body. Raises ShuttingDown.
        """
        results, budget = list(images), _ByteBudget(self._limits.body_bytes)
        semaphore = asyncio.Semaphore(MAX_FETCHES_PER_REQUEST)
        tasks = {
            asyncio.create_task(self._fetch(str(image), client, semaphore, budget)): index
            for index, image in enumerate(images)
            if isinstance(image, Url)
        }
        if not tasks:
            return results
        try:
            await asyncio.wait(tasks, timeout=self._limits.request_timeout / 2)
            for task, index in tasks.items():
                results[index] = task.result() if task.done() else raiser(_TIMED_OUT)
        finally:
            for task in tasks:
                task.cancel()
        return results

    async def _fetch(
        self, url: str, client: str, semaphore: asyncio.Semaphore, budget: _ByteBudget
    ) -> bytes | Callable[[], bytes]:
        async with semaphore:
            try:
                return budget.spend(await asyncio.wrap_future(self._pool.submit(url, client)))
            except BadImage as error:
                return raiser(error)


_TIMED_OUT = BadImage("url_failed", "found no complete response in the time for all URLs of a request")


class _ByteBudget:
    def __init__(self, count: int) -> None:
        self._remaining = count

    def spend(self, data: bytes) -> bytes:
        """Raises BadImage where the budget is exceeded."""
        if len(data) > self._remaining:
            raise BadImage("too_large", "found more from the request's URLs than a request may have")
        self._remaining -= len(data)
        return data


@dataclass(eq=False)
class _Download:
    url: str
    client: str
    future: Future[bytes] = field(default_factory=Future)


class _FetchPool:
    """At most MAX_FETCHES daemon threads, of which a client has at most MAX_FETCHES_PER_CLIENT; the client with the
    fewest is next. A download whose request was cancelled runs on, and counts until it ends.

    Rejected: anyio's worker threads, which all other work needs, and ThreadPoolExecutor, which is not fair to clients,
    and whose threads are joined at exit.
    """

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher
        self._lock = threading.Lock()
        self._running_per_client: Counter[str] = Counter()
        self._queue: list[_Download] = []
        self._running: set[_Download] = set()
        self._is_stopping = False

    def submit(self, url: str, client: str) -> Future[bytes]:
        """Cancelling the future removes it from the queue. Raises ShuttingDown."""
        download = _Download(url, client)
        with self._lock:
            if self._is_stopping:
                raise ShuttingDown
            self._queue.append(download)
            self._start_threads()
        return download.future

    def stop(self) -> None:
        with self._lock:
            self._is_stopping = True
            unfinished, self._queue = [*self._queue, *self._running], []
        for download in unfinished:
            with contextlib.suppress(InvalidStateError):  # done or cancelled
                download.future.set_exception(ShuttingDown())

    def _start_threads(self) -> None:
        """As many as are allowed; the caller holds the lock."""
        self._queue = [download for download in self._queue if not download.future.cancelled()]
        while len(self._running) < MAX_FETCHES:
            allowed = [
                download
                for download in self._queue
                if self._running_per_client[download.client] < MAX_FETCHES_PER_CLIENT
            ]
            if not allowed:
                return
            download = min(allowed, key=lambda download: self._running_per_client[download.client])
            self._queue.remove(download)
            if not download.future.set_running_or_notify_cancel():
                continue
            self._running.add(download)
            self._running_per_client[download.client] += 1
            try:
                threading.Thread(target=self._run, args=(download,), name="showtell-fetch", daemon=True).start()
            except RuntimeError as error:  # can't start new thread
                self._remove(download)
                download.future.set_exception(error)

    def _run(self, download: _Download) -> None:
        try:
            data = self._fetcher.fetch(download.url)
        except BaseException as error:  # noqa: BLE001  # raised again in the request that waits
            self._end(download)
            with contextlib.suppress(InvalidStateError):  # set by `stop`
                download.future.set_exception(error)
        else:
            self._end(download)
            with contextlib.suppress(InvalidStateError):
                download.future.set_result(data)

    def _end(self, download: _Download) -> None:
        with self._lock:
            self._remove(download)
            self._start_threads()

    def _remove(self, download: _Download) -> None:
        self._running.discard(download)
        self._running_per_client[download.client] -= 1
        if not self._running_per_client[download.client]:
            del self._running_per_client[download.client]
