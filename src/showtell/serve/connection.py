"""What only the connection shows: a head that does not end, a reader that does not read, too many of them.

uvicorn gives the app a request once its head is complete, and waits for that as long as it takes; so the time is kept
here, in the class that it makes for each connection.
"""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from showtell.serve.limits import Limits

TIMEOUT = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


def timed_protocol(limits: Limits) -> type[H11Protocol]:
    """A protocol for `uvicorn.Config(http=...)`."""

    class TimedProtocol(H11Protocol):
        _head: asyncio.TimerHandle | None = None
        _reader: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            if len(self.connections) > limits.connections:
                transport.abort()
            else:
                self._await_head()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.conn.their_state is not h11.IDLE:
                self._stop_waiting()
            elif self._head is None:  # the beginning of the next head
                self._await_head()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_waiting()
            self.resume_writing()
            super().connection_lost(exc)

        def pause_writing(self) -> None:
            super().pause_writing()
            # The deadline ends the request; what is already written waits here for a reader that does not read.
            self._reader = self.loop.call_later(limits.deadline, self.transport.abort)

        def resume_writing(self) -> None:
            super().resume_writing()
            if self._reader is not None:
                self._reader.cancel()
                self._reader = None

        def _await_head(self) -> None:
            self._head = self.loop.call_later(limits.header_seconds, self._head_is_late)

        def _stop_waiting(self) -> None:
            if self._head is not None:
                self._head.cancel()
                self._head = None

        def _head_is_late(self) -> None:
            self._head = None
            if not self.transport.is_closing():
                self.transport.write(TIMEOUT)
                self.transport.close()

    return TimedProtocol
