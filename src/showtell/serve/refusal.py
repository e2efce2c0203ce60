"""An answer that is no: one JSON shape for all of them, and a code that a program can rely on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.types import Send

from showtell.errors import ShowtellError
from showtell.serve.batcher import QueueFull, Stopping

LONGEST = 300
"""Characters of a message: some quote what was sent, and that may be megabytes."""


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
    def busy(cls, why: str) -> Refusal:
        return cls(503, "busy", why, {"Retry-After": "1"})

    @classmethod
    def of(cls, error: ShowtellError) -> Refusal:
        """What to tell a client of an error that is meant for users."""
        if isinstance(error, QueueFull):
            return cls(503, "queue_full", str(error), {"Retry-After": str(error.retry_after)})
        if isinstance(error, Stopping):
            return cls(503, "stopping", str(error), {"Retry-After": "5"})
        text = str(error)
        return cls(422, "invalid", text if len(text) <= LONGEST else f"{text[:LONGEST]}...")

    def content(self) -> dict[str, dict[str, str]]:
        return {"error": {"code": self.code, "message": self.message}}

    async def send(self, send: Send) -> None:
        body = json.dumps(self.content()).encode()
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **self.headers}
        lines = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": lines})
        await send({"type": "http.response.body", "body": body})


INTERNAL = Refusal(500, "internal", "something went wrong here; it is in the server's log")


class RefusedError(Exception):
    """Raised where the app finds a reason to refuse; the client gets `refusal`."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal
