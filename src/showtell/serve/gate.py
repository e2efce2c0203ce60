"""One gate in front of everything, the mounted page included: nobody gets further who is too large, too slow, too many,
without the key, or comes from another site.

    safe headers -> CORS, if asked for -> path, host, origin, key, length -> room -> body and deadline -> the app

An ASGI layer and not FastAPI's middleware: what is mounted, and whatever an app answers before its routes are asked,
lies behind it, too. What only the connection shows (a head that does not end, a reader that does not read) is stopped
in `connection`.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from showtell.errors import BadConfig
from showtell.serve.batcher import Stopping
from showtell.serve.body import Body
from showtell.serve.clients import Room, client_of
from showtell.serve.limits import Limits
from showtell.serve.meters import Meters
from showtell.serve.refusal import INTERNAL, Refusal

LOG = logging.getLogger("showtell.serve")

HEALTH = ("/healthz", "/readyz")
"""Answered whoever asks and however full it is; they cost nothing."""
LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")

PAGE_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' blob:; connect-src 'self' data: blob:; font-src 'self' data:; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors {}"
)
"""What Gradio's page needs, and nothing that is not from here: a photo cannot be sent elsewhere even by a script that
got in. Its scripts are inline and compile templates, hence the two `unsafe`."""
API_POLICY = "default-src 'none'; frame-ancestors 'none'"

BODY = "showtell.body"
"""Under which a request's body passes through the CORS layer, which answers some requests by itself."""


@dataclass(frozen=True)
class Rules:
    """Who may come in."""

    methods: Callable[[str], Sequence[str]]
    """By which this path may be asked; none: there is nothing behind it."""
    is_stream: Callable[[str], bool] = lambda path: False
    """Whether this path answers with events for as long as a page is open."""
    key: str | None = None
    """Asked for as bearer token, X-API-Key, or password of Basic authentication, with which browsers ask their user."""
    hosts: tuple[str, ...] = ()
    """Names by which the server may be called; none: any. Without this, a page elsewhere whose name is made to lead to
    127.0.0.1 (DNS rebinding) would be of the same origin as a server meant for this machine only."""
    origins: tuple[str, ...] = ()
    """Other sites whose scripts may use the API (CORS)."""
    frames: tuple[str, ...] = ()
    """Other sites that may show the page in a frame."""


class _Place:
    """One request's place in a room."""

    def __init__(self, room: Room, client: str) -> None:
        self._room, self._client, self._taken = room, client, 0

    def take(self) -> Refusal | None:
        if not self._room.take(self._client):
            return Refusal.busy("as many requests are in work as are allowed")
        self._taken = 1
        return None

    def give_back(self) -> None:
        self._room.give_back(self._client, self._taken)
        self._taken = 0


class _Cors(CORSMiddleware):
    def preflight_response(self, request_headers: Headers) -> Response:
        response = super().preflight_response(request_headers)
        if response.status_code == 200:
            return response
        refusal = Refusal(403, "cross_site", "this site's page may not ask that; see --cors")
        return JSONResponse(refusal.content(), refusal.status, {"Vary": "Origin"})


class Gate:
    def __init__(self, app: ASGIApp, limits: Limits, rules: Rules, meters: Meters) -> None:
        self.app, self.limits, self.rules, self.meters = app, limits, rules, meters
        self._requests, self._streams = Room(limits.requests), Room(limits.streams)
        self._store = Room(limits.bytes_in_work, little=limits.body_bytes)
        self._in_work: dict[Body, tuple[anyio.CancelScope, bool]] = {}
        check_origins(rules.origins)
        self._key = None if rules.key is None else _digest(rules.key)
        self._page_policy = PAGE_POLICY.format(" ".join(rules.frames) or "'none'")
        self._checked: ASGIApp = self._check
        if rules.origins:
            self._checked = _Cors(
                self._check,
                allow_origins=rules.origins,
                allow_methods=["GET", "POST"],
                allow_headers=["Authorization", "X-API-Key", "Content-Type"],
                expose_headers=["Retry-After"],
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    def end_uploads(self) -> None:
        """Turn away whoever is still sending: the server stops, and would not do what they ask for."""
        self._end(body for body in self._in_work if body.unread)

    def end_streams(self) -> None:
        """Let go of the pages that are open, so that the server can stop."""
        self._end(body for body, (_, is_stream) in self._in_work.items() if is_stream)

    def end_all(self) -> None:
        """Turn away whoever has no answer by now, and break off what is not told to its end."""
        self._end(self._in_work)

    def _end(self, bodies: Iterable[Body]) -> None:
        for body in list(bodies):
            body.refusal = body.refusal or Refusal.of(Stopping())
            self._in_work[body][0].cancel()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        begin, status = time.monotonic(), 0
        client = client_of((scope.get("client") or [None])[0])
        body = Body(receive, Headers(scope=scope), self.limits, self._store, client)

        async def send_safely(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message.setdefault("headers", [])
                headers = MutableHeaders(scope=message)
                self._make_safe(headers, scope["path"])
                if body.unread:
                    # The server would read on, for ever if the body does not end, to find the next request.
                    headers["Connection"] = "close"
            elif body.unread and not message.get("more_body", False):
                await send({**message, "more_body": True})
                await body.look_away()
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        try:
            await self._checked({**scope, BODY: body}, receive, send_safely)
        except Exception as error:
            if status:
                raise
            LOG.error("%s %r failed", scope["method"], scope["path"], exc_info=error)
            await INTERNAL.send(send_safely)
        finally:
            body.release()
            self.meters.answered(scope["path"], status, time.monotonic() - begin)

    def _make_safe(self, headers: MutableHeaders, path: str) -> None:
        is_page = headers.get("content-type", "").startswith("text/html")
        headers["Content-Security-Policy"] = self._page_policy if is_page else API_POLICY
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Referrer-Policy"] = "no-referrer"
        headers["Cross-Origin-Opener-Policy"] = "same-origin"
        headers["Cross-Origin-Resource-Policy"] = "cross-origin" if self.rules.origins else "same-origin"
        headers["Permissions-Policy"] = "camera=(self), microphone=(), geolocation=(), payment=(), usb=()"
        if not self.rules.frames:
            headers["X-Frame-Options"] = "DENY"
        if path.startswith("/v1/"):
            headers["Cache-Control"] = "no-store"

    async def _check(self, scope: Scope, receive: Receive, send: Send) -> None:
        body: Body = scope.pop(BODY)
        refusal = self._refusal(scope["method"], scope["path"], Headers(scope=scope))
        if refusal is None:
            refusal = await self._run(scope, body, send)
        if refusal is not None:
            self.meters.refused(refusal.code)
            await refusal.send(send)

    def _refusal(self, method: str, path: str, headers: Headers) -> Refusal | None:
        if path in HEALTH and method in ("GET", "HEAD"):
            return None
        if not self._is_host(headers.get("host", "")):
            return Refusal(421, "wrong_host", "this server does not go by the name in the Host header; see --host-name")
        methods = self.rules.methods(path)
        if not methods:
            return Refusal(404, "not_found", "there is nothing at this address")
        if method not in methods:
            allowed = {"Allow": ", ".join(methods)}
            return Refusal(405, "method_not_allowed", f"expected {' or '.join(methods)}", allowed)
        if method not in ("GET", "HEAD") and not self._is_from_here(headers):
            return Refusal(403, "cross_site", "the request comes from another site's page, which was not allowed to")
        if self._key is not None and not self._has_key(headers):
            # Only a person who opens the page is asked by the browser; a program gets no dialogue.
            scheme = "Basic" if "text/html" in headers.get("accept", "") else "Bearer"
            asking = {"WWW-Authenticate": f'{scheme} realm="showtell"'}
            return Refusal(401, "unauthorized", "expected the API key, as bearer token or X-API-Key header", asking)
        if int(headers.get("content-length", "0")) > self.limits.body_bytes:
            return Refusal.too_large(self.limits.body_bytes)
        return None

    def _is_host(self, host: str) -> bool:
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        return not self.rules.hosts or name.lower() in self.rules.hosts

    def _is_from_here(self, headers: Headers) -> bool:
        """Browsers send the origin with whatever they post; other clients have none, and no user's credentials."""
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if origin is None or site == "same-origin":
            return site in (None, "none", "same-origin")
        # Browsers say so only where the page came by https or from this machine; else the names are compared. A proxy
        # may put its own name for this server into Host. No other site's page can set the second header: it would have
        # to ask first (CORS).
        here = {headers.get(name, "").lower() for name in ("host", "x-forwarded-host")} - {""}
        return origin in self.rules.origins or origin.lower().partition("://")[2] in here

    def _has_key(self, headers: Headers) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            encoded, given = given, ""
            with contextlib.suppress(binascii.Error, ValueError):
                given = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")[2]
        # Both: what a proxy wants of the client may be in the first, and pass through.
        keys = [_digest(each) for each in (given.strip(), headers.get("x-api-key", ""))]
        return self._key is not None and any([hmac.compare_digest(each, self._key) for each in keys])

    async def _run(self, scope: Scope, body: Body, send: Send) -> Refusal | None:
        """Give the request to the app; what to say in place of the app's answer, if anything."""
        path = scope["path"]
        is_stream = self.rules.is_stream(path)
        room = Room(1) if path in HEALTH else self._streams if is_stream else self._requests
        place = _Place(room, body.client)
        # Who is still sending takes no place yet: otherwise a few who send slowly keep all others out.
        if not body.unread and (refusal := place.take()):
            return refusal
        try:
            return await self._run_in_time(scope, body, place, send, is_stream)
        finally:
            place.give_back()

    async def _run_in_time(
        self, scope: Scope, body: Body, place: _Place, send: Send, is_stream: bool
    ) -> Refusal | None:
        started = complete = False
        mistake: Exception | None = None
        on_complete = place.take if body.unread else lambda: None

        async def send_unless_refused(message: Message) -> None:
            nonlocal started, complete
            if body.refusal is not None and not started:
                return  # the app's own idea of why its body broke off
            started = started or message["type"] == "http.response.start"
            complete = message["type"] == "http.response.body" and not message.get("more_body", False)
            await send(message)

        async with anyio.create_task_group() as group:
            work = group.cancel_scope
            work.deadline = float("inf") if is_stream else anyio.current_time() + self.limits.deadline
            with self._ending(work, body, is_stream):
                group.start_soon(body.pump, work, on_complete)
                try:
                    await self.app(scope, body.receive, send_unless_refused)
                except Exception as error:  # noqa: BLE001  # whatever it is, the client learns nothing of it
                    mistake = error
                finally:
                    late = anyio.current_time() >= work.deadline
            work.cancel()
        if body.refusal is None and mistake is not None:
            # A stream breaks off with whoever listens, and as often as they like: a line, not a page of the log.
            details = None if is_stream or isinstance(mistake, HTTPException) else mistake
            LOG.error("%s %r failed: %r", scope["method"], scope["path"], type(mistake), exc_info=details)
        if started:
            if not complete and not body.left and not is_stream:
                LOG.warning("%s %r was cut off", scope["method"], scope["path"])
            return None
        if body.refusal is not None or body.left:
            return body.refusal
        if late:
            return Refusal(504, "deadline", f"no answer within {self.limits.deadline:g} s; ask for less, or later")
        return INTERNAL

    @contextlib.contextmanager
    def _ending(self, work: anyio.CancelScope, body: Body, is_stream: bool) -> Iterator[None]:
        """Within, `end_uploads` and its like know of the request."""
        self._in_work[body] = work, is_stream
        try:
            yield
        finally:
            del self._in_work[body]


def _digest(key: str) -> bytes:
    """Of one length, whatever the key's, so that comparing takes one time."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def check_origins(origins: Sequence[str]) -> None:
    """Raises BadConfig for what no browser would send as its origin, and so would never match."""
    for each in origins:
        if not re.fullmatch(r"https?://[a-z0-9.-]+(:\d+)?|https?://\[[0-9a-f:]+\](:\d+)?", each):
            raise BadConfig(f"found the site {each!r}; expected one such as https://example.org, without a path")


def host_names(host: str, names: Sequence[str]) -> tuple[str, ...]:
    """The names that a server bound to `host` may be called by: those given and this machine's own; none given, and
    bound to a network: any, which is nothing.

    Raises BadConfig for what is no name.
    """
    for each in names:
        if not re.fullmatch(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f:.]+\]", each.lower()):
            raise BadConfig(f"--host-name {each}: expected a name such as captions.example.org, and nothing around it")
    if names:
        return (*(name.lower() for name in names), *LOCAL_NAMES)
    return LOCAL_NAMES if host in ("127.0.0.1", "localhost", "::1") else ()
