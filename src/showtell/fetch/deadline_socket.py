"""A socket whose reads and writes share one deadline.

`socket.settimeout` limits a single read: a server that sends one byte a second never reaches it. So the timeout is set
again, to what remains of the deadline, before every call.
"""

from __future__ import annotations

import io
import socket
from typing import Any

from showtell.errors import BadImage
from showtell.fetch.deadline import Deadline


class DeadlineSocket:
    """The part of a socket that http.client uses, with a deadline and a limit on the bytes received."""

    def __init__(self, sock: socket.socket, deadline: Deadline, max_bytes: int) -> None:
        self._sock, self._deadline, self._max_bytes = sock, deadline, max_bytes

    def sendall(self, data: bytes) -> None:
        self._sock.settimeout(self._deadline.remaining())
        self._sock.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_DeadlineSocketIO(self._sock, self._deadline, self._max_bytes))

    def close(self) -> None:
        """Does nothing: http.client closes its socket before it has read the response; the opener closes it."""


class _DeadlineSocketIO(io.RawIOBase):
    """As `socket.SocketIO`. Raises TimeoutError at the deadline and BadImage `too_large` beyond `max_bytes`."""

    def __init__(self, sock: socket.socket, deadline: Deadline, max_bytes: int) -> None:
        self._sock, self._deadline, self._bytes_left = sock, deadline, max_bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._sock.settimeout(self._deadline.remaining())
        count = self._sock.recv_into(buffer)
        self._bytes_left -= count
        if self._bytes_left < 0:
            raise BadImage("too_large", "found a response without end")
        return count
