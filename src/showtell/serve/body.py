"""The body of a request on its way to the app: counted, timed, and watched for the client's leaving."""

from __future__ import annotations

import asyncio

import anyio
from starlette.types import Message, Receive

from showtell.serve.limits import Limits
from showtell.serve.refusal import Refusal


class Body:
    """Between the server's `receive` and the app's.

    A task reads ahead by one message, so that it sees the client leave even where the app never asks, and then cancels
    what is done for it.
    """

    def __init__(self, receive: Receive, limits: Limits, is_expected: bool) -> None:
        """`is_expected`: the head says that a body follows."""
        self._receive, self._limits, self._is_expected = receive, limits, is_expected
        self._pieces: asyncio.Queue[Message] = asyncio.Queue(1)
        self.complete = self.left = False
        self.refusal: Refusal | None = None

    @property
    def unread(self) -> bool:
        """Whether more of it may be on its way."""
        return self._is_expected and not self.complete

    async def receive(self) -> Message:
        """What the app calls. After the body it waits: an app whose client left is cancelled, and need not ask."""
        return await self._pieces.get()

    async def pump(self, work: anyio.CancelScope) -> None:
        """Read all; cancel `work` when there is a reason not to go on."""
        await self._read_body()
        if self.refusal is None and not self.left:
            await self._receive()  # nothing comes after the body, except that the client leaves
            self.left = True
        work.cancel()

    async def _read_body(self) -> None:
        rest, count = self._limits.upload_seconds, 0
        while not self.complete:
            begin = anyio.current_time()
            with anyio.move_on_after(rest) as waiting:
                message = await self._receive()
            if waiting.cancelled_caught:
                text = f"the body was not complete after {self._limits.upload_seconds:g} s"
                self.refusal = Refusal(408, "slow_upload", text)
                return
            # Only the sender's time counts, not that of an app which is slow to take it.
            rest = max(0.0, rest - (anyio.current_time() - begin))
            if message["type"] == "http.disconnect":
                self.left = True
                return
            count += len(message.get("body", b""))
            if count > self._limits.body_bytes:
                self.refusal = Refusal.too_large(self._limits.body_bytes)
                return
            self.complete = not message.get("more_body", False)
            await self._pieces.put(message)
