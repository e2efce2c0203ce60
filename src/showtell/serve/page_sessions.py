"""Between the gate and Gradio's queue: only what the page itself asks gets in, and nothing stays that nobody fetches.

    join: one question of a session -> Gradio's queue        data: that session's answers, until none is left

Gradio keeps for ever what a page that left had asked for, holds streams open that wait for nothing, and writes a
traceback into the log for each question that is none. It still does the work; its streams are ours.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qs

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from showtell.serve.limits import Limits
from showtell.serve.page_routes import is_page_join, is_page_stream
from showtell.serve.refusal import Refusal

EVENTS: Final = 8
"""Questions of one session whose answers it has not fetched: each holds up to a megabyte."""
GRACE: Final = 10.0
"""Seconds after the deadline, by which every question has its answer, that a session stays."""
_HEARTBEAT: Final = 15.0
"""Seconds of silence after which a line shows the proxies between that the stream lives."""
_LONG: Final = 2**20
"""Bytes of a question from which parsing it would hold up the others."""
_COMMAS: Final = 64
"""A question has a dozen, and its photo, in base64, none; megabytes of them would become gigabytes of small values."""
_KEYS: Final = {"data", "event_data", "fn_index", "trigger_id", "session_hash"}
_SESSION: Final = re.compile(r"[A-Za-z0-9]{1,32}")


class PageSessions:
    """An ASGI layer around Gradio's app. It runs in one event loop; its timers call `_drop` there."""

    def __init__(self, app: ASGIApp, blocks: Any, limits: Limits) -> None:
        self.app, self._blocks, self._limits = app, blocks, limits
        [self._function] = [number for number, function in blocks.fns.items() if function.fn is not None]
        self._patience = limits.deadline + GRACE
        self._readers: dict[str, anyio.CancelScope] = {}
        self._unread: dict[str, asyncio.TimerHandle] = {}  # sessions without a stream, the longest first

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST" and is_page_join(scope["path"]):
            await self._join(scope, receive, send)
        elif scope["type"] == "http" and scope["method"] == "GET" and is_page_stream(scope["path"]):
            await self._stream(scope, send)
        else:
            await self.app(scope, receive, send)

    @property
    def _open(self) -> dict[str, set[str]]:
        """Gradio's: the numbers of each session's questions whose answers were not fetched."""
        found: dict[str, set[str]] = self._blocks._queue.pending_event_ids_session
        return found

    # ---- questions ----

    async def _join(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _whole(receive)
        if len(body) < _LONG:
            session = session_of(body, self._function)
        else:
            session = await asyncio.to_thread(session_of, body, self._function)
        if session is None:
            await Refusal(400, "bad_request", "expected a question as the page asks it").send(send)
            return
        if not self._make_room(session):
            await Refusal.busy("as many answers of the page wait to be fetched as are allowed").send(send)
            return
        pieces: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
        del body

        async def once() -> Message:
            return pieces.pop() if pieces else await receive()

        # Gradio reads further headers than the question needs, and stumbles over odd ones.
        headers = [(b"content-type", b"application/json")]
        try:
            await self.app({**scope, "query_string": b"", "headers": headers}, once, send)
        finally:
            self._expect_reader(session)

    def _make_room(self, session: str) -> bool:
        """Whether one more question may come; who has fetched nothing for longest makes place for a new session."""
        if len(self._open.get(session, ())) >= EVENTS:
            return False
        while self._is_full(session):
            others = [each for each in self._unread if each != session]
            if not others:
                return False
            self._drop(others[0])
        return True

    def _is_full(self, session: str) -> bool:
        most = self._limits.streams
        is_new = session not in self._open
        return (is_new and len(self._open) >= most) or sum(map(len, self._open.values())) >= 2 * most

    def _expect_reader(self, session: str) -> None:
        if timer := self._unread.pop(session, None):
            timer.cancel()
        if session in self._open and session not in self._readers:
            self._unread[session] = asyncio.get_running_loop().call_later(self._patience, self._drop, session)

    def _drop(self, session: str) -> None:
        """Forget the session's questions and answers; what is in work goes on, and is told to nobody."""
        if timer := self._unread.pop(session, None):
            timer.cancel()
        queue = self._blocks._queue
        queue.pending_messages_per_session.pop(session, None)
        for number in self._open.pop(session, ()):
            event = queue.event_ids_to_events.get(number)
            if event is None:
                continue
            event.alive = False
            waiting = queue.event_queue_per_concurrency_id[event.concurrency_id].queue
            if event in waiting:
                waiting.remove(event)
                del queue.event_ids_to_events[number]

    # ---- answers ----

    async def _stream(self, scope: Scope, send: Send) -> None:
        session = parse_qs(scope["query_string"].decode("latin-1")).get("session_hash", [""])[-1]
        if session not in self._open:
            await Refusal(404, "not_found", "no question of this page is open").send(send)
            return
        if earlier := self._readers.pop(session, None):
            earlier.cancel()  # a page has one stream: its connection broke, and it asks anew
        if timer := self._unread.pop(session, None):
            timer.cancel()
        kind = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]
        with anyio.CancelScope() as reader:
            self._readers[session] = reader
            try:
                await send({"type": "http.response.start", "status": 200, "headers": kind})
                await self._tell(session, send)
            finally:
                if self._readers.get(session) is reader:
                    del self._readers[session]
                    self._drop(session)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _tell(self, session: str, send: Send) -> None:
        """Every message of the session, until it has no open question, or nothing came of one for too long."""
        messages = self._blocks._queue.pending_messages_per_session[session]
        numbers = self._open[session]
        end = anyio.current_time() + self._patience
        while numbers and anyio.current_time() < end:
            message: Any = None
            with anyio.move_on_after(min(_HEARTBEAT, end - anyio.current_time())):
                message = await messages.get()
            if message is None:
                await _say(send, {"msg": "heartbeat"})
                continue
            end = anyio.current_time() + self._patience
            if message.msg == "process_completed":
                numbers.discard(message.event_id)
            await _say(send, message.model_dump())
        if numbers:
            await _say(send, {"msg": "unexpected_error", "message": "no answer", "success": False})
        await _say(send, {"msg": "close_stream"})


def session_of(body: bytes, function: int) -> str | None:
    """The session of a question as the page asks it; None of anything else."""
    if body.count(b",") > _COMMAS:
        return None
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(asked, dict) or not asked.keys() <= _KEYS:
        return None
    session, question = asked.get("session_hash"), asked.get("event_data")
    is_ours = (
        asked.get("data") == []
        and type(asked.get("fn_index")) is int  # True is 1
        and asked["fn_index"] == function
        and _is_number(asked.get("trigger_id", 0))
        and isinstance(question, Mapping)
        and not any(isinstance(each, list | dict) for each in question.values())
        and isinstance(session, str)
        and _SESSION.fullmatch(session)
    )
    return session if is_ours else None


def _is_number(value: object) -> bool:
    """Whether it may be the number of a component, or none."""
    return value is None or (type(value) is int and 0 <= value < 2**31)


async def _whole(receive: Receive) -> bytes:
    """The body, which the gate has bounded. It ends early only where the gate cancels what is done with it."""
    body, more = bytearray(), True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return bytes(body)


async def _say(send: Send, message: Mapping[str, Any]) -> None:
    line = b"data: " + json.dumps(message, default=str).encode() + b"\n\n"
    await send({"type": "http.response.body", "body": line, "more_body": True})
