"""An answer that is no: one JSON shape for all of them, and a code that a program can rely on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import anyio
from starlette.types import Receive, Send

from showtell.errors import ShowtellError
from showtell.serve.batcher import QueueFull, Stopping

LINGER_SECONDS = 2.0
LINGER_BYTES = 2**26


@dataclass(frozen=True)
class Refusal:
    status: int
    code: str
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def too_large(cls, limit: int) -> Refusal:
        return cls(413, "body_too_large", f"the request has more than {limit / 2**20:.3g} MiB, which is the limit")

    @classmethod
    def of(cls, error: ShowtellError) -> Refusal:
        """What to tell a client of an error that is meant for users."""
        if isinstance(error, QueueFull):
            return cls(503, "queue_full", str(error), {"Retry-After": str(error.retry_after)})
        if isinstance(error, Stopping):
            return cls(503, "stopping", str(error), {"Retry-After": "5"})
        return cls(422, "invalid", str(error))

    def content(self) -> dict[str, dict[str, str]]:
        return {"error": {"code": self.code, "message": self.message}}

    async def send(self, rest: Receive | None, send: Send) -> None:
        """Answer at once. Where the `rest` of a body is still being sent, look away from it for a while, then close.

        Closing at once, while bytes come in, makes the client's system throw away the answer that it has (RFC 9112,
        9.6).
        """
        body = json.dumps(self.content()).encode()
        headers = {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Connection": "close",
            **self.headers,
        }
        lines = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": lines})
        await send({"type": "http.response.body", "body": body, "more_body": True})
        if rest is not None:
            with anyio.move_on_after(LINGER_SECONDS):
                await _look_away(rest)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _look_away(rest: Receive) -> None:
    seen, more = 0, True
    while more and seen < LINGER_BYTES:
        message = await rest()
        seen += len(message.get("body", b""))
        more = message.get("more_body", False)


class RefusedError(Exception):
    """Raised where the app finds a reason to refuse; the client gets `refusal`."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal
