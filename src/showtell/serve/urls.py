"""URLs of a request become bytes, before its photos are queued: a slow host must not hold up a loader of photos."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from showtell.errors import BadImage
from showtell.fetch.fetch import Fetcher
from showtell.serve.intake import Url, raiser
from showtell.serve.limits import Limits

TOGETHER = 8
"""Fetches at a time, of all requests; each holds a thread and may hold a body's worth of memory."""
OF_ONE_REQUEST = 4


class Urls:
    """A pool of threads of its own, and not anyio's: that gives room to others while the fetches of clients that left
    still run."""

    def __init__(self, fetcher: Fetcher, limits: Limits) -> None:
        self._fetcher, self._limits = fetcher, limits
        self._pool = ThreadPoolExecutor(TOGETHER, thread_name_prefix="showtell-fetch")

    async def fetched(self, sources: Sequence[Any]) -> list[Any]:
        """The sources with each URL's bytes in its place, or a function that raises the BadImage that it is.

        All of a request have half its deadline, so that dead hosts do not take the good images with them, and together
        the bytes of one body.
        """
        found, budget = list(sources), _Budget(self._limits.body_bytes)
        room = asyncio.Semaphore(OF_ONE_REQUEST)
        places = {
            asyncio.create_task(self._fetch(str(source), room, budget)): place
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

    async def _fetch(self, url: str, room: asyncio.Semaphore, budget: _Budget) -> bytes | Callable[[], bytes]:
        async with room:
            try:
                return budget.spend(await asyncio.wrap_future(self._pool.submit(self._fetcher.fetch, url)))
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
