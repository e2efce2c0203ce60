"""A gate around a small app, asked without a socket: every message and pause of a client is the test's."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from showtell.serve.gate import Gate, Rules
from showtell.serve.limits import Limits
from showtell.serve.meters import Meters

METHODS = ("GET", "HEAD", "POST", "OPTIONS")
OPEN = ("/open", "/stream", "/healthz", "/readyz", "/v1/x")


@dataclass
class Answer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    complete: bool = False
    seconds: float = 0

    @property
    def code(self) -> str:
        return str(json.loads(self.body)["error"]["code"])


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Says how many bytes it was sent."""
    count, more = 0, True
    while more:
        message = await receive()
        count, more = count + len(message.get("body", b"")), message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
    await send({"type": "http.response.body", "body": str(count).encode()})


def gate(app: ASGIApp = echo, limits: Limits | None = None, **rules: Any) -> Gate:
    known = {
        "methods": lambda path: METHODS if path in OPEN else (),
        "is_stream": lambda path: path == "/stream",
        **rules,
    }
    return Gate(app, limits or Limits(), Rules(**known), Meters())


Pieces = Iterable[bytes | float | None]
"""Of a body: bytes, seconds to wait, None for a client that leaves."""


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
        # Whoever stops waiting shall not break the source off, as a socket is not broken off.
        if not pending:
            pending.append(asyncio.ensure_future(anext(source)))  # type: ignore[arg-type]
        message = await asyncio.shield(pending[0])
        pending.clear()
        return message

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            assert not answer.status
            answer.status = message["status"]
            answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            answer.body += message["body"]
            answer.complete = not message.get("more_body", False)

    lines = {"host": "127.0.0.1:7860", **headers}
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "headers": [(name.lower().encode(), value.encode()) for name, value in lines.items() if value],
    }
    begin = loop.time()
    await app(scope, receive, send)
    answer.seconds = loop.time() - begin
    done.set()
    for task in pending:
        task.cancel()
    return answer


def ask(app: ASGIApp, path: str = "/open", method: str = "POST", pieces: Pieces = (), **headers: str) -> Answer:
    return asyncio.run(ask_async(app, path, method, pieces, {k.replace("_", "-"): v for k, v in headers.items()}))
