"""Limits that only the connection can enforce: request heads that never end, clients that do not read, bodies that are
mostly chunk framing, and too many connections.

uvicorn calls the app once the head is complete, and waits for that without a timeout; so these limits are in the
protocol class, which it instantiates for each connection. Timers are those of the event loop.
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

from showtell.serve.client_key import client_key
from showtell.serve.error_response import ErrorResponse
from showtell.serve.limits import Limits
from showtell.serve.open_connections import OpenConnections


def _closing_response(error: ErrorResponse, reason: str) -> bytes:
    """A complete HTTP response, for what never became a request."""
    body = json.dumps(error.content())
    head = f"HTTP/1.1 {error.status} {reason}\r\nConnection: close\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()


HEADER_TIMEOUT_RESPONSE = _closing_response(
    ErrorResponse(408, "slow_head", "the head of the request was not complete in time"), "Request Timeout"
)
BAD_REQUEST_RESPONSE = _closing_response(ErrorResponse(400, "bad_request", "this is not HTTP"), "Bad Request")
TINY_CHUNKS_RESPONSE = _closing_response(
    ErrorResponse(
        400, "bad_request", "the body comes in tiny chunks; send chunks of 1 KiB or more, or a Content-Length"
    ),
    "Bad Request",
)

MAX_RECV_BYTES = 16 * 1024
"""asyncio reads 256 KiB at once: in chunks of one byte these are 87,000 events of h11, which block the event loop."""
FREE_OVERHEAD_BYTES = 64 * 1024
"""Chunk framing (size lines and line ends) that is allowed beyond an eighth of the body."""
LEAST_READ_BYTES = 16 * 1024
"""What a client must read of a long response within half of `request_timeout`."""


class _OverheadConnection(h11.Connection):
    """Counts the chunk framing of a body. In chunks of one byte it is five sixths of what is sent, and each chunk costs
    as much CPU time as a large one."""

    _overhead = 0

    @property
    def overhead(self) -> int:
        """Bytes of this body, so far, that are framing beyond an eighth of the data."""
        return max(0, self._overhead) if self.their_state is h11.SEND_BODY else 0

    def receive_data(self, data: bytes) -> None:
        self._overhead += len(data)
        super().receive_data(data)

    def next_event(self) -> Any:
        event = super().next_event()
        if isinstance(event, h11.Data):
            self._overhead -= len(event.data) + len(event.data) // 8
        elif isinstance(event, h11.Request):
            self._overhead = 0
        return event


def limited_protocol(limits: Limits, connections: OpenConnections) -> type[H11Protocol]:
    """A protocol class for `uvicorn.Config(http=...)`."""

    class LimitedProtocol(H11Protocol):
        conn: _OverheadConnection
        _client_key: str | None = None
        """None: not admitted."""
        _header_timer: asyncio.TimerHandle | None = None
        _stall_timer: asyncio.TimerHandle | None = None
        _unsent: int | None = None
        """Bytes for which the client was waited for when it was last looked at."""

        def __init__(self, config: uvicorn.Config, *args: Any, **kwargs: Any) -> None:
            super().__init__(config, *args, **kwargs)
            self.conn = _OverheadConnection(h11.SERVER)

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._set_recv_size(MAX_RECV_BYTES)
            # asyncio does this for sockets that say they are TCP, which those of `socket.create_server` do not. With
            # Nagle's algorithm the second part of a response waits for the acknowledgement of the first: 40 ms.
            with contextlib.suppress(OSError):  # already disconnected
                transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client = client_key(self.client and self.client[0])
            if not connections.open(client):
                transport.abort()
                return
            self._client_key = client
            self._start_header_timer()
            self._check_stalled()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.conn.overhead > FREE_OVERHEAD_BYTES:
                self._respond_and_close(TINY_CHUNKS_RESPONSE)
            self._set_recv_size(max(MAX_RECV_BYTES // 16, MAX_RECV_BYTES - self.conn.overhead))
            if self.conn.their_state is not h11.IDLE:
                self._cancel_header_timer()
            elif self._header_timer is None:  # the next request on this connection has begun
                self._start_header_timer()

        def _set_recv_size(self, count: int) -> None:
            # An attribute of asyncio's selector transport; elsewhere (Windows) it has no effect.
            cast(Any, self.transport).max_size = count

        def connection_lost(self, exc: Exception | None) -> None:
            self._cancel_header_timer()
            if self._stall_timer is not None:
                self._stall_timer.cancel()
            if self._client_key is not None:
                connections.close(self._client_key)
            super().connection_lost(exc)

        def send_400_response(self, msg: str) -> None:
            self._respond_and_close(BAD_REQUEST_RESPONSE)

        def _respond_and_close(self, response: bytes) -> None:
            # In the middle of another response it would be read as a part of that.
            if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                self.transport.write(response)
            self.transport.close()

        def _check_stalled(self) -> None:
            """Aborts a connection whose client does not read; called twice per `request_timeout`.

            A slow client that reads on is none. `transport.close` waits until the write buffer is flushed, which some
            clients never let happen.
            """
            is_waiting = self.flow.write_paused or self.transport.is_closing()
            unsent = self.transport.get_write_buffer_size() if is_waiting else None
            if unsent is not None and self._unsent is not None and unsent > self._unsent - LEAST_READ_BYTES:
                self.transport.abort()
                return
            self._unsent = unsent
            self._stall_timer = self.loop.call_later(limits.request_timeout / 2, self._check_stalled)

        def resume_writing(self) -> None:
            self._unsent = None  # what comes now is another response
            super().resume_writing()

        def _start_header_timer(self) -> None:
            self._header_timer = self.loop.call_later(limits.header_timeout, self._on_header_timeout)

        def _cancel_header_timer(self) -> None:
            if self._header_timer is not None:
                self._header_timer.cancel()
                self._header_timer = None

        def _on_header_timeout(self) -> None:
            self._header_timer = None
            if not self.transport.is_closing():
                self._respond_and_close(HEADER_TIMEOUT_RESPONSE)

    return LimitedProtocol
