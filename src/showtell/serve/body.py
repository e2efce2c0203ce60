"""The body of a request on its way to the app: counted, timed, and watched for the client's leaving."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import anyio
from starlette.datastructures import Headers
from starlette.types import Message, Receive

from showtell.serve.clients import Room
from showtell.serve.limits import Limits
from showtell.serve.refusal import Refusal

LINGER_SECONDS = 2.0
LINGER_BYTES = 2**26


class Body:
    """Between the server's `receive` and the app's.

    A task reads ahead by one message, so that it sees the client leave even where the app never asks, and then cancels
    what is done for it.
    """

    def __init__(self, receive: Receive, headers: Headers, limits: Limits, store: Room, client: str) -> None:
        """`store`: bytes that all requests together may have in work; memory is what a stranger fills first."""
        self._receive, self._limits, self._store, self.client = receive, limits, store, client
        self._is_expected = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
        self._pieces: asyncio.Queue[Message] = asyncio.Queue(1)
        self._count = 0
        self._is_pumped = self._is_unwanted = False
        self._read = asyncio.Event()
        self.complete = self.left = False
        self.refusal: Refusal | None = None

    @property
    def unread(self) -> bool:
        """Whether more of it may be on its way."""
        return self._is_expected and not self.complete and not self.left

    async def receive(self) -> Message:
        """What the app calls. After the body it waits: an app whose client left is cancelled, and need not ask."""
        return await self._pieces.get()

    async def pump(self, work: anyio.CancelScope, on_complete: Callable[[], Refusal | None]) -> None:
        """Read all; cancel `work` when there is a reason not to go on. `on_complete` may have one."""
        self._is_pumped = True
        try:
            await self._read_body(on_complete)
        finally:
            self._is_pumped = False
        self._read.set()
        if self._is_unwanted:
            return
        if self.refusal is None and not self.left:
            await self._receive()  # nothing comes after the body, except that the client leaves
            self.left = True
        work.cancel()

    def release(self) -> None:
        """What it held is no longer in work."""
        self._store.give_back(self.client, self._count)
        self._count = 0

    async def look_away(self) -> None:
        """Let the rest come, for a while, after the answer and before the end of the connection.

        Closing at once, while bytes come in, makes the client's system throw away the answer that it has (RFC 9112,
        9.6).
        """
        self._is_unwanted = True
        with anyio.move_on_after(LINGER_SECONDS):
            if self._is_pumped:
                if not self._pieces.empty():
                    self._pieces.get_nowait()
                await self._read.wait()
            await self._discard()

    async def _discard(self) -> None:
        seen = 0
        while not self.complete and not self.left and seen < LINGER_BYTES:
            message = await self._receive()
            seen += len(message.get("body", b""))
            self.left = message["type"] == "http.disconnect"
            self.complete = not self.left and not message.get("more_body", False)

    async def _read_body(self, on_complete: Callable[[], Refusal | None]) -> None:
        rest = self._limits.upload_seconds
        while not self.complete:
            begin = anyio.current_time()
            with anyio.move_on_after(rest) as waiting:
                message = await self._receive()
            if waiting.cancelled_caught:
                text = f"the body was not complete after {self._limits.upload_seconds:g} s"
                self.refusal = Refusal(408, "slow_upload", text)
                return
            if self.refusal is not None:  # by the gate, which stops, while this piece came
                return
            # Only the sender's time counts, not that of an app which is slow to take it.
            rest = max(0.0, rest - (anyio.current_time() - begin))
            if message["type"] == "http.disconnect":
                self.left = True
                return
            self.refusal = self._took(len(message.get("body", b"")))
            if self.refusal is None and not message.get("more_body", False):
                self.complete = True
                self.refusal = on_complete()
            if self.refusal is not None:
                return
            if not self._is_unwanted:
                await self._pieces.put(message)

    def _took(self, count: int) -> Refusal | None:
        if self._count + count > self._limits.body_bytes:
            return Refusal.too_large(self._limits.body_bytes)
        if not self._store.take(self.client, count):
            return Refusal.busy("as many bytes are in work as are allowed")
        self._count += count
        return None
