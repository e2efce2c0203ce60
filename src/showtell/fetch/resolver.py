"""DNS lookups that end at a deadline."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Final

from showtell.fetch.deadline import Deadline

Resolve = Callable[[str, int], list[str]]
"""All IP addresses of a host, for a port. Raises OSError when there is none."""

MAX_CONCURRENT_LOOKUPS: Final = 16
"""A name that no name server answers keeps `getaddrinfo` busy for up to half a minute."""


class Resolver:
    """Calls `resolve` in a daemon thread and stops waiting at the deadline.

    `getaddrinfo` cannot be cancelled, so its thread is left behind, and does not keep the process alive. The number of
    such threads is bounded: when all are busy, the next lookup waits for one to end, or for its own deadline.
    """

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve
        self._slots = threading.BoundedSemaphore(MAX_CONCURRENT_LOOKUPS)

    def __call__(self, host: str, port: int, deadline: Deadline) -> list[str]:
        """Raises TimeoutError at the deadline, and what `resolve` raises."""
        results: queue.SimpleQueue[list[str] | Exception] = queue.SimpleQueue()
        if not self._slots.acquire(timeout=deadline.remaining()):
            raise TimeoutError("all lookup threads are busy")
        try:
            threading.Thread(
                target=self._lookup, args=(host, port, results), name="showtell-lookup", daemon=True
            ).start()
        except RuntimeError:  # can't start new thread
            self._slots.release()
            raise
        try:
            result = results.get(timeout=deadline.remaining())
        except queue.Empty:
            raise TimeoutError("no name server answered") from None
        if isinstance(result, Exception):
            raise result
        return result

    def _lookup(self, host: str, port: int, results: queue.SimpleQueue[list[str] | Exception]) -> None:
        try:
            results.put(self._resolve(host, port))
        except Exception as error:  # noqa: BLE001  # raised again in the calling thread
            results.put(error)
        finally:
            self._slots.release()
