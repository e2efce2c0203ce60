"""What only the connection shows: a head that does not end, a reader that does not read, a body that is mostly frame,
too many of them.

uvicorn gives the app a request once its head is complete, and waits for that as long as it takes; so the time is kept
here, in the class that it makes for each connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from typing import Any, cast

import h11
import uvicorn
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
WASTEFUL = _closing(
    Refusal(400, "bad_request", "the body comes in tiny chunks; send chunks of 1 KiB or more, or a Content-Length"),
    "Bad Request",
)

RECEIVED_AT_ONCE = 16 * 1024
"""Bytes, where asyncio takes 256 KiB: in chunks of one byte these are 87,000 events of h11, and nobody's turn."""
FRAME = 64 * 1024
"""Bytes around the chunks of a body, lengths and line ends, that cost nothing; then an eighth of the body's."""


class _Weighed(h11.Connection):
    """Knows how much of a body is frame. In chunks of one byte it is five sixths, and each chunk costs what a large one
    does."""

    _frame = 0

    @property
    def frame(self) -> int:
        """Bytes of this body, so far, that are frame and more than an eighth."""
        return max(0, self._frame) if self.their_state is h11.SEND_BODY else 0

    def receive_data(self, data: bytes) -> None:
        self._frame += len(data)
        super().receive_data(data)

    def next_event(self) -> Any:
        event = super().next_event()
        if isinstance(event, h11.Data):
            self._frame -= len(event.data) + len(event.data) // 8
        elif isinstance(event, h11.Request):
            self._frame = 0
        return event


def timed_protocol(limits: Limits) -> type[H11Protocol]:
    """A protocol for `uvicorn.Config(http=...)`."""

    class TimedProtocol(H11Protocol):
        conn: _Weighed
        _name = ""
        _head: asyncio.TimerHandle | None = None
        _watch: asyncio.TimerHandle | None = None
        _was_stuck = False

        def __init__(self, config: uvicorn.Config, *args: Any, **kwargs: Any) -> None:
            super().__init__(config, *args, **kwargs)
            self.conn = _Weighed(h11.SERVER)

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            # Once, and not each time that the others of one client are counted.
            self._name = client_of(self.client and self.client[0])
            self._receive_at_once(RECEIVED_AT_ONCE)
            # asyncio does this for sockets that say they are TCP, which those of `socket.create_server` do not. Without
            # it, the second part of an answer waits for word that the first has arrived: 40 ms.
            with contextlib.suppress(OSError):  # whoever left already
                transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            alike = sum(getattr(each, "_name", None) == self._name for each in self.connections)
            if len(self.connections) > limits.connections or alike > limits.address_connections:
                transport.abort()
            else:
                self._await_head()
                self._look()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.conn.frame > FRAME:
                self._break_off(WASTEFUL)
            self._receive_at_once(max(RECEIVED_AT_ONCE // 16, RECEIVED_AT_ONCE - self.conn.frame))
            if self.conn.their_state is not h11.IDLE:
                self._stop_waiting()
            elif self._head is None:  # the beginning of the next head
                self._await_head()

        def _receive_at_once(self, count: int) -> None:
            cast(Any, self.transport).max_size = count  # asyncio's sockets take it; elsewhere (Windows) it is nothing

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_waiting()
            if self._watch is not None:
                self._watch.cancel()
            super().connection_lost(exc)

        def send_400_response(self, msg: str) -> None:
            self._break_off(BROKEN)

        def _break_off(self, answer: bytes) -> None:
            # In the middle of another answer it would be read as a part of that.
            if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                self.transport.write(answer)
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
                self._break_off(LATE)

    return TimedProtocol
