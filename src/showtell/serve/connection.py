"""What only the connection shows: a head that does not end, a reader that does not read, too many of them.

uvicorn gives the app a request once its head is complete, and waits for that as long as it takes; so the time is kept
here, in the class that it makes for each connection.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from showtell.serve.clients import client_of
from showtell.serve.limits import Limits
from showtell.serve.refusal import Refusal


def _closing(refusal: Refusal, reason: str) -> bytes:
    """An answer to what never became a request."""
    body = json.dumps(refusal.content())
    head = f"HTTP/1.1 {refusal.status} {reason}\r\nConnection: close\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()


LATE = _closing(Refusal(408, "slow_head", "the head of the request was not complete in time"), "Request Timeout")
BROKEN = _closing(Refusal(400, "bad_request", "this is not HTTP"), "Bad Request")


def timed_protocol(limits: Limits) -> type[H11Protocol]:
    """A protocol for `uvicorn.Config(http=...)`."""

    class TimedProtocol(H11Protocol):
        _head: asyncio.TimerHandle | None = None
        _watch: asyncio.TimerHandle | None = None
        _was_stuck = False

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            if len(self.connections) > limits.connections or self._of_one_address() > limits.address_connections:
                transport.abort()
            else:
                self._await_head()
                self._look()

        def _of_one_address(self) -> int:
            clients = [each.client for each in self.connections if isinstance(each, H11Protocol)]
            names = [client_of(each[0]) for each in clients if each]
            return names.count(client_of(self.client[0])) if self.client else 0

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.conn.their_state is not h11.IDLE:
                self._stop_waiting()
            elif self._head is None:  # the beginning of the next head
                self._await_head()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_waiting()
            if self._watch is not None:
                self._watch.cancel()
            super().connection_lost(exc)

        def send_400_response(self, msg: str) -> None:
            self.transport.write(BROKEN)
            self.transport.close()

        def _look(self) -> None:
            """Whoever closes waits until what is written has been read, and that is for ever with some readers."""
            # A full buffer is a reader that does not read, too: the request itself ends by its deadline.
            is_stuck = self.transport.is_closing() or self.flow.write_paused
            if is_stuck and self._was_stuck:
                self.transport.abort()
                return
            self._was_stuck = is_stuck
            self._watch = self.loop.call_later(limits.deadline / 2, self._look)

        def _await_head(self) -> None:
            self._head = self.loop.call_later(limits.header_seconds, self._head_is_late)

        def _stop_waiting(self) -> None:
            if self._head is not None:
                self._head.cancel()
                self._head = None

        def _head_is_late(self) -> None:
            self._head = None
            if not self.transport.is_closing():
                self.transport.write(LATE)
                self.transport.close()

    return TimedProtocol
