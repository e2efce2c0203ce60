"""Waiting that ends: a deadline for everything that a fetch waits for, name servers included.

A timeout of a socket is about one read: a server that sends a byte a second never meets it. So whatever waits, asks the
deadline how long it still may.
"""

from __future__ import annotations

import io
import queue
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from showtell.errors import BadImage

Resolve = Callable[[str, int], list[str]]
"""All IP addresses of a host, for a port."""

MOST_LOOKUPS: Final = 16
"""Names that are looked up at the same time. One that no name server answers takes the system up to half a minute."""


class Deadline:
    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds, more than 0. Raises TimeoutError when none are left."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        return left


class Lookup:
    """Asks `resolve`, and stops waiting at the deadline.

    `getaddrinfo` cannot be told to stop, so it runs in a thread of its own that nobody waits for: not even the end of
    the program. Such threads are bounded: when all hang, the next name waits for one to end, or for its deadline.
    """

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve
        self._slots = threading.BoundedSemaphore(MOST_LOOKUPS)

    def __call__(self, host: str, port: int, deadline: Deadline) -> list[str]:
        """Raises TimeoutError at the deadline, and what `resolve` raises."""
        answers: queue.SimpleQueue[list[str] | Exception] = queue.SimpleQueue()
        if not self._slots.acquire(timeout=deadline.left()):
            raise TimeoutError("all lookups hang")
        try:
            threading.Thread(target=self._look, args=(host, port, answers), name="showtell-lookup", daemon=True).start()
        except RuntimeError:  # no more threads on this machine
            self._slots.release()
            raise
        try:
            answer = answers.get(timeout=deadline.left())
        except queue.Empty:
            raise TimeoutError("no name server answered") from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _look(self, host: str, port: int, answers: queue.SimpleQueue[list[str] | Exception]) -> None:
        try:
            answers.put(self._resolve(host, port))
        except Exception as error:  # noqa: BLE001  # raised again where it is waited for
            answers.put(error)
        finally:
            self._slots.release()


class Line:
    """As much of a socket as http.client needs, with the deadline, and a limit to what the other end may send."""

    def __init__(self, sock: socket.socket, deadline: Deadline, most_bytes: int) -> None:
        self._sock, self._deadline, self._most_bytes = sock, deadline, most_bytes

    def sendall(self, data: bytes) -> None:
        self._sock.settimeout(self._deadline.left())
        self._sock.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Received(self._sock, self._deadline, self._most_bytes))

    def close(self) -> None:
        """http.client closes its socket before it has read the answer; whoever opened this one closes it."""


class _Received(io.RawIOBase):
    def __init__(self, sock: socket.socket, deadline: Deadline, most_bytes: int) -> None:
        self._sock, self._deadline, self._bytes_left = sock, deadline, most_bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._sock.settimeout(self._deadline.left())
        count = self._sock.recv_into(buffer)
        self._bytes_left -= count
        if self._bytes_left < 0:
            raise BadImage("too_large", "found an answer without end")
        return count
