"""Error answers: one JSON shape for all of them, and a code that a program can rely on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.types import Send

from showtell.errors import BadImage, MissingExtra, ShowtellError
from showtell.image_formats import expected_formats
from showtell.serve.queue_errors import QueueFull, ShuttingDown, TooManyImages

MAX_MESSAGE = 300
"""Characters of a message: some quote what was sent, and that may be megabytes."""


@dataclass(frozen=True)
class ErrorResponse:
    status: int
    code: str
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def too_large(cls, limit: int) -> ErrorResponse:
        return cls(413, "body_too_large", f"the request has more than {limit / 2**20:.3g} MiB, which is the limit")

    @classmethod
    def busy(cls, why: str) -> ErrorResponse:
        return cls(503, "busy", why, {"Retry-After": "1"})

    @classmethod
    def from_error(cls, error: ShowtellError) -> ErrorResponse:
        """The answer to an error whose message is meant for users."""
        if isinstance(error, QueueFull):
            return cls(503, "queue_full", str(error), {"Retry-After": str(error.retry_after)})
        if isinstance(error, TooManyImages):
            return cls(422, "too_many_images", str(error))
        if isinstance(error, ShuttingDown):
            return cls(503, "stopping", str(error), {"Retry-After": "5"})
        text = str(error)
        return cls(422, "invalid", text if len(text) <= MAX_MESSAGE else f"{text[:MAX_MESSAGE]}...")

    def content(self) -> dict[str, dict[str, str]]:
        return {"error": {"code": self.code, "message": self.message}}

    async def send(self, send: Send) -> None:
        body = json.dumps(self.content()).encode()
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **self.headers}
        lines = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": lines})
        await send({"type": "http.response.body", "body": body})


def image_message(error: BadImage) -> str:
    """What a client is told of its image. How to install what the server lacks is not for clients: it has paths."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ImportError | MissingExtra):
            return f"{error.detail.partition(';')[0]} on this server; {expected_formats()}"
        cause = cause.__cause__
    return error.detail


INTERNAL = ErrorResponse(500, "internal", "something went wrong here; it is in the server's log")


class RequestRejected(Exception):
    """Raised where the app finds a reason not to answer a request; the client gets `response`."""

    def __init__(self, response: ErrorResponse) -> None:
        super().__init__(response.message)
        self.response = response
