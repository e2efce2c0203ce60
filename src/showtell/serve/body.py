"""The request body between the server and the app: size and time limits, and detection of a disconnected client.

All times are those of the event loop's clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import anyio
from starlette.datastructures import Headers
from starlette.types import Message, Receive

from showtell.serve.error_response import ErrorResponse
from showtell.serve.fair_limiter import FairLimiter
from showtell.serve.limits import Limits

LINGERING_TIMEOUT = 2.0
"""Seconds without a byte after which a lingering close, as nginx calls it, ends."""
LINGERING_BYTES = 2**26


class RequestBody:
    """Wraps the server's `receive`; the app calls `RequestBody.receive`.

    `pump` reads one message ahead of the app, so that a disconnect is seen even where the app never calls `receive`,
    and the work for that client is cancelled.
    """

    def __init__(
        self, receive: Receive, headers: Headers, limits: Limits, byte_limiter: FairLimiter, client_key: str
    ) -> None:
        """`byte_limiter`: body bytes of all requests in flight, which bounds the memory that clients can fill."""
        self._receive, self._limits, self._byte_limiter, self.client_key = receive, limits, byte_limiter, client_key
        self._is_expected = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
        self._messages: asyncio.Queue[Message] = asyncio.Queue(1)
        self._byte_count = 0
        self._seconds_left = limits.body_timeout
        self._discarded = 0
        self._may_linger = True
        self._lingering: anyio.CancelScope | None = None
        self._is_pumping = self.is_discarding = False
        self._pump_ended = asyncio.Event()
        self.is_complete = self.is_disconnected = False
        self.error_response: ErrorResponse | None = None

    @property
    def is_unread(self) -> bool:
        """Whether more of the body may still arrive."""
        return self._is_expected and not self.is_complete and not self.is_disconnected

    async def receive(self) -> Message:
        """The app's `receive`. After the body it blocks: a disconnect cancels the app instead of being delivered."""
        return await self._messages.get()

    async def pump(self, work: anyio.CancelScope, on_complete: Callable[[], ErrorResponse | None]) -> None:
        """Reads the whole body. Cancels `work` on an error, its own or from `on_complete`, or a
        disconnect."""
        if self.is_discarding:
            return  # the app has answered before this began, and `drain` reads
        self._is_pumping = True
        try:
            await self._read(on_complete)
        finally:
            self._is_pumping = False
        self._pump_ended.set()
        if self.is_discarding:
            return
        if self.error_response is None and not self.is_disconnected:
            await self._receive()  # after the body, the only message is http.disconnect
            self.is_disconnected = True
        work.cancel()

    def release(self) -> None:
        """Gives the bytes back to the limiter."""
        self._byte_limiter.release(self.client_key, self._byte_count)
        self._byte_count = 0

    async def drain(self) -> None:
        """Lingering close: reads and discards the rest of the body after the response.

        Closing a connection with unread data makes TCP reset it, and the client loses the response (RFC 9112, 9.6).
        Many clients read only when they have sent everything: one that goes on sending has as long as any other.
        """
        self.is_discarding = True
        self.release()
        with anyio.move_on_after(max(LINGERING_TIMEOUT, self._seconds_left * self._may_linger)) as self._lingering:
            if self._is_pumping:
                if not self._messages.empty():
                    self._messages.get_nowait()
                await self._wait_for_pump()
            if not self._is_pumping:
                await self._discard()

    def hurry(self) -> None:
        """The server is stopping: a lingering close ends soon, whatever the client sends."""
        self._may_linger = False
        if self._lingering is not None:
            self._lingering.deadline = min(self._lingering.deadline, anyio.current_time() + LINGERING_TIMEOUT)

    async def _wait_for_pump(self) -> None:
        """Until it has the whole body, or nothing more comes."""
        discarded = -1
        while self._is_pumping and discarded != self._discarded:
            discarded = self._discarded
            with anyio.move_on_after(LINGERING_TIMEOUT):
                await self._pump_ended.wait()

    async def _discard(self) -> None:
        while not self.is_complete and not self.is_disconnected and self._discarded < LINGERING_BYTES:
            message: Message | None = None
            with anyio.move_on_after(LINGERING_TIMEOUT):
                message = await self._receive()
            if message is None:
                return
            self._discarded += len(message.get("body", b""))
            self.is_disconnected = message["type"] == "http.disconnect"
            self.is_complete = not self.is_disconnected and not message.get("more_body", False)

    async def _read(self, on_complete: Callable[[], ErrorResponse | None]) -> None:
        while not self.is_complete:
            started_at = anyio.current_time()
            with anyio.move_on_after(self._seconds_left) as timeout:
                message = await self._receive()
            if timeout.cancelled_caught:
                text = f"the body was not complete after {self._limits.body_timeout:g} s"
                self.error_response = ErrorResponse(408, "slow_upload", text)
                self._seconds_left = 0.0
                return
            if (
                self.error_response is not None
            ):  # set by the admission middleware at shutdown, while this message arrived
                return
            # Only waiting for the client counts, not for an app that is slow to read.
            self._seconds_left = max(0.0, self._seconds_left - (anyio.current_time() - started_at))
            if message["type"] == "http.disconnect":
                self.is_disconnected = True
                return
            if self.is_discarding:
                self._discarded += len(message.get("body", b""))
                self.is_complete = not message.get("more_body", False)
                if self._discarded >= LINGERING_BYTES:
                    return
                continue
            self.error_response = self._account(len(message.get("body", b"")))
            if self.error_response is None and not message.get("more_body", False):
                self.is_complete = True
                self.error_response = on_complete()
            if self.error_response is not None:
                return
            await self._messages.put(message)

    def _account(self, count: int) -> ErrorResponse | None:
        if self._byte_count + count > self._limits.body_bytes:
            return ErrorResponse.too_large(self._limits.body_bytes)
        if not self._byte_limiter.try_acquire(self.client_key, count):
            return ErrorResponse.busy("as many bytes are in work as are allowed")
        self._byte_count += count
        return None
