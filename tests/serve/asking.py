"""The gate around a small app, called without a socket, in fake time: a test scripts the client's messages and pauses.

No real time passes in pauses and timeouts; see `AutojumpLoop`.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from tests.clocks import run_with_autojump

from showtell.serve.admission import AccessPolicy, AdmissionMiddleware
from showtell.serve.limits import Limits
from showtell.serve.server_metrics import ServerMetrics

METHODS = ("GET", "HEAD", "POST", "OPTIONS")
OPEN = ("/open", "/healthz", "/readyz", "/v1/x")


@dataclass
class Answer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    complete: bool = False
    response_seconds: float = 0
    """Fake seconds from the request to the head of the response."""
    seconds: float = 0
    """Fake seconds from the request to its end."""

    @property
    def code(self) -> str:
        return str(json.loads(self.body)["error"]["code"])


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Responds with the number of bytes of the body."""
    count, more = 0, True
    while more:
        message = await receive()
        count, more = count + len(message.get("body", b"")), message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
    await send({"type": "http.response.body", "body": str(count).encode()})


def admission(app: ASGIApp = echo, limits: Limits | None = None, **policy: Any) -> AdmissionMiddleware:
    known = {"allowed_methods": lambda path: METHODS if path in OPEN else (), **policy}
    return AdmissionMiddleware(app, limits or Limits(), AccessPolicy(**known), ServerMetrics())


Pieces = Iterable[bytes | float | None]
"""Of a body: bytes, seconds to pause, None for a client that disconnects."""


async def ask_async(app: ASGIApp, path: str, method: str, pieces: Pieces, headers: dict[str, str]) -> Answer:
    answer, loop = Answer(), asyncio.get_running_loop()
    done = asyncio.Event()

    async def messages() -> AsyncIterator[Message]:
        for piece in pieces:
            if piece is None:
                yield {"type": "http.disconnect"}
            elif isinstance(piece, bytes):
                yield {"type": "http.request", "body": piece, "more_body": True}
            else:
                await asyncio.sleep(piece)
        yield {"type": "http.request", "body": b"", "more_body": False}
        await done.wait()
        yield {"type": "http.disconnect"}

    source = messages()
    pending: list[asyncio.Task[Message]] = []

    async def receive() -> Message:
        # Cancelling `receive` must not cancel the source: a socket is not closed by it either.
        if not pending:
            pending.append(asyncio.ensure_future(anext(source)))  # type: ignore[arg-type]
        message = await asyncio.shield(pending[0])
        pending.clear()
        return message

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            assert not answer.status
            answer.status, answer.response_seconds = message["status"], loop.time() - started_at
            answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            answer.body += message["body"]
            answer.complete = not message.get("more_body", False)

    all_headers = {"host": "127.0.0.1:7860", **headers}
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "headers": [(name.lower().encode(), value.encode()) for name, value in all_headers.items() if value],
    }
    started_at = loop.time()
    await app(scope, receive, send)
    answer.seconds = loop.time() - started_at
    done.set()
    for task in pending:
        task.cancel()
    return answer


def ask(app: ASGIApp, path: str = "/open", method: str = "POST", pieces: Pieces = (), **headers: str) -> Answer:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return run_with_autojump(ask_async(app, path, method, pieces, names))
