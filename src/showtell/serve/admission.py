"""Admission middleware, in front of the API and the page: a request is rejected here when it is too large, too slow,
one too many, without the key, or comes from another site.

    safe headers -> CORS, if asked for -> host, path, origin, key, length -> fair limiter -> body, deadline -> the app

An ASGI layer and not FastAPI's middleware: whatever an app answers before its routes are asked is covered, too. What
only the connection shows (a head that does not end, a reader that does not read) is stopped in `connection`.
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
from showtell.serve.body import RequestBody
from showtell.serve.client_key import client_key
from showtell.serve.error_response import INTERNAL, ErrorResponse
from showtell.serve.fair_limiter import FairLimiter
from showtell.serve.limits import Limits
from showtell.serve.queue_errors import ShuttingDown
from showtell.serve.server_metrics import ServerMetrics

LOG = logging.getLogger("showtell.serve")

HEALTH_PATHS = ("/healthz", "/readyz")
"""Answered for every client and under any load; they cost nothing."""
ADMITTED_STATUSES = (500, 504)
"""Errors of requests that were admitted."""
LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")

PAGE_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors {}"
)
"""Content-Security-Policy of the page. A script that got in could load nothing and send a photo nowhere else. `blob:`
is a photo that the visitor has chosen, before it is sent."""
API_CSP = "default-src 'none'; frame-ancestors 'none'"

BODY_KEY = "showtell.body"
"""Under which a request's body passes through the CORS layer, which answers some requests by itself."""


@dataclass(frozen=True)
class AccessPolicy:
    """Which requests are admitted."""

    allowed_methods: Callable[[str], Sequence[str]]
    """The methods of a path; none: there is nothing at it."""
    api_key: str | None = None
    """Expected as bearer token, X-API-Key, or password of Basic authentication, for which browsers ask their user."""
    allowed_hosts: tuple[str, ...] = ()
    """Names by which the server may be called; none: any. Without this, a page elsewhere whose name is made to lead to
    127.0.0.1 (DNS rebinding) would be of the same origin as a server meant for this machine only."""
    allowed_origins: tuple[str, ...] = ()
    """Other sites whose scripts may use the API (CORS)."""
    frame_ancestors: tuple[str, ...] = ()
    """Other sites that may show the page in a frame."""


class _Slot:
    """One request's place among those in work."""

    def __init__(self, limiter: FairLimiter, client: str) -> None:
        self._limiter, self._client, self._taken = limiter, client, 0

    def acquire(self) -> ErrorResponse | None:
        if not self._limiter.try_acquire(self._client):
            return ErrorResponse.busy("as many requests are in work as are allowed")
        self._taken = 1
        return None

    def release(self) -> None:
        self._limiter.release(self._client, self._taken)
        self._taken = 0


class _CORS(CORSMiddleware):
    def preflight_response(self, request_headers: Headers) -> Response:
        response = super().preflight_response(request_headers)
        if response.status_code == 200:
            return response
        error = ErrorResponse(403, "cross_site", "this site's page may not ask that; see --cors")
        return JSONResponse(error.content(), error.status, {"Vary": "Origin"})


class AdmissionMiddleware:
    def __init__(
        self,
        app: ASGIApp,
        limits: Limits,
        policy: AccessPolicy,
        metrics: ServerMetrics,
        is_crowded: Callable[[], bool] = lambda: False,
    ) -> None:
        """`is_crowded`: whether connections should end with their response, to make room for others."""
        self.app, self.limits, self.policy, self.metrics, self._is_crowded = app, limits, policy, metrics, is_crowded
        self._requests = FairLimiter(limits.concurrent_requests)
        self._body_bytes = FairLimiter(limits.inflight_bytes, reserve_per_client=limits.body_bytes)
        self._bodies: set[RequestBody] = set()
        """Of all requests."""
        self._active: dict[RequestBody, anyio.CancelScope] = {}
        """Of those that the app works on."""
        self._is_draining = False
        check_origins((*policy.allowed_origins, *policy.frame_ancestors))
        self._key_digest = None if policy.api_key is None else _digest(policy.api_key)
        self._page_csp = PAGE_CSP.format(" ".join(policy.frame_ancestors) or "'none'")
        self._checked_app: ASGIApp = self._check
        if policy.allowed_origins:
            self._checked_app = _CORS(
                self._check,
                allow_origins=policy.allowed_origins,
                allow_methods=["GET", "POST"],
                allow_headers=["Authorization", "X-API-Key", "Content-Type"],
                expose_headers=["Retry-After"],
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await self._respond(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    def drain(self) -> None:
        """The server is stopping. Reject requests whose bodies are still arriving, since they would not be processed,
        and let connections end with their response: a proxy that kept one would send another request into its end."""
        self._is_draining = True
        for body in self._bodies:
            body.hurry()
        self._end(body for body in self._active if body.is_unread and not body.is_discarding)

    def end_all(self) -> None:
        """Reject requests without a response so far, and abort responses that are not complete."""
        self._end(self._active)

    def _end(self, bodies: Iterable[RequestBody]) -> None:
        for body in list(bodies):
            body.error_response = body.error_response or ErrorResponse.from_error(ShuttingDown())
            self._active[body].cancel()

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        begin, status = time.monotonic(), 0
        client = client_key((scope.get("client") or [None])[0])
        body = RequestBody(receive, Headers(scope=scope), self.limits, self._body_bytes, client)
        self._bodies.add(body)
        if self._is_draining:
            body.hurry()

        async def send_safely(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message.setdefault("headers", [])
                headers = MutableHeaders(scope=message)
                self._add_security_headers(headers, scope["path"])
                if body.is_unread or self._is_draining or self._is_crowded():
                    # Of an unread body the server would read on, for ever if it does not end, to find the next request.
                    headers["Connection"] = "close"
            elif body.is_unread and not message.get("more_body", False):
                await send({**message, "more_body": True})
                message = {"type": "http.response.body", "body": b""}
                try:
                    await body.drain()
                finally:  # even where the request's time is up meanwhile; uvicorn would take it for a fault of the app
                    with anyio.move_on_after(1, shield=True):
                        await send(message)
                return
            await send(message)

        try:
            await self._checked_app({**scope, BODY_KEY: body}, receive, send_safely)
        except Exception as error:
            if status:
                raise
            LOG.error("%s %r failed", scope["method"], scope["path"], exc_info=error)
            await INTERNAL.send(send_safely)
        finally:
            body.release()
            self._bodies.discard(body)
            self.metrics.observe_request(scope["path"], status, time.monotonic() - begin)

    def _add_security_headers(self, headers: MutableHeaders, path: str) -> None:
        is_page = headers.get("content-type", "").startswith("text/html")
        headers["Content-Security-Policy"] = self._page_csp if is_page else API_CSP
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Referrer-Policy"] = "no-referrer"
        headers["Cross-Origin-Opener-Policy"] = "same-origin"
        headers["Cross-Origin-Resource-Policy"] = "cross-origin" if self.policy.allowed_origins else "same-origin"
        headers["Permissions-Policy"] = "camera=(self), microphone=(), geolocation=(), payment=(), usb=()"
        if not self.policy.frame_ancestors:
            headers["X-Frame-Options"] = "DENY"
        if path.startswith("/v1/"):
            headers["Cache-Control"] = "no-store"

    async def _check(self, scope: Scope, receive: Receive, send: Send) -> None:
        body: RequestBody = scope.pop(BODY_KEY)
        error = self._policy_error(scope["method"], scope["path"], Headers(scope=scope))
        if error is None:
            error = await self._run(scope, body, send)
        if error is not None:
            if error.status not in ADMITTED_STATUSES:
                self.metrics.count_rejection(error.code)
            await error.send(send)

    def _policy_error(self, method: str, path: str, headers: Headers) -> ErrorResponse | None:
        if path in HEALTH_PATHS and method in ("GET", "HEAD"):
            return None
        if not self._is_allowed_host(headers.get("host", "")):
            message = "this server does not go by the name in the Host header; see --host-name"
            return ErrorResponse(421, "wrong_host", message)
        methods = self.policy.allowed_methods(path)
        if not methods:
            return ErrorResponse(404, "not_found", "there is nothing at this address")
        if method not in methods:
            allow = {"Allow": ", ".join(methods)}
            return ErrorResponse(405, "method_not_allowed", f"expected {' or '.join(methods)}", allow)
        if method not in ("GET", "HEAD") and not self._is_same_site(headers):
            message = "the request comes from another site's page, which was not allowed to"
            return ErrorResponse(403, "cross_site", message)
        if self._key_digest is not None and not self._has_key(headers):
            # Only a person who opens the page is asked by the browser; a program gets no dialogue.
            scheme = "Basic" if "text/html" in headers.get("accept", "") else "Bearer"
            challenge = {"WWW-Authenticate": f'{scheme} realm="showtell"'}
            message = "expected the API key, as bearer token or X-API-Key header"
            return ErrorResponse(401, "unauthorized", message, challenge)
        if int(headers.get("content-length", "0")) > self.limits.body_bytes:
            return ErrorResponse.too_large(self.limits.body_bytes)
        return None

    def _is_allowed_host(self, host: str) -> bool:
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        return not self.policy.allowed_hosts or name.lower() in self.policy.allowed_hosts

    def _is_same_site(self, headers: Headers) -> bool:
        """Browsers send the origin with whatever they post; other clients have none, and no user's credentials."""
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if origin is None or site == "same-origin":
            return site in (None, "none", "same-origin")
        # Browsers say so only where the page came by https or from this machine; else the names are compared. A proxy
        # may put its own name for this server into Host. No other site's page can set the second header: it would have
        # to ask first (CORS).
        own_names = {headers.get(name, "").lower() for name in ("host", "x-forwarded-host")} - {""}
        return origin in self.policy.allowed_origins or origin.lower().partition("://")[2] in own_names

    def _has_key(self, headers: Headers) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            encoded, given = given, ""
            with contextlib.suppress(binascii.Error, ValueError):
                given = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")[2]
        # Both: what a proxy wants of the client may be in the first, and pass through.
        digests = [_digest(key) for key in (given.strip(), headers.get("x-api-key", ""))]
        return self._key_digest is not None and any([hmac.compare_digest(key, self._key_digest) for key in digests])

    async def _run(self, scope: Scope, body: RequestBody, send: Send) -> ErrorResponse | None:
        """Give the request to the app; what to send in place of the app's answer, if anything."""
        slot = _Slot(FairLimiter(1) if scope["path"] in HEALTH_PATHS else self._requests, body.client_key)
        # Who is still sending takes no slot yet: otherwise a few who send slowly keep all others out.
        if not body.is_unread and (error := slot.acquire()):
            return error
        try:
            return await self._run_with_deadline(scope, body, slot, send)
        finally:
            slot.release()

    async def _run_with_deadline(
        self, scope: Scope, body: RequestBody, slot: _Slot, send: Send
    ) -> ErrorResponse | None:
        started = complete = False
        app_error: Exception | None = None
        on_complete = slot.acquire if body.is_unread else lambda: None

        async def send_unless_rejected(message: Message) -> None:
            nonlocal started, complete
            if body.error_response is not None and not started:
                return  # the app's own idea of why its body broke off
            started = started or message["type"] == "http.response.start"
            complete = message["type"] == "http.response.body" and not message.get("more_body", False)
            await send(message)

        async with anyio.create_task_group() as group:
            work = group.cancel_scope
            work.deadline = anyio.current_time() + self.limits.request_timeout
            with self._registered(work, body):
                group.start_soon(body.pump, work, on_complete)
                try:
                    await self.app(scope, body.receive, send_unless_rejected)
                except Exception as error:  # noqa: BLE001  # whatever it is, the client learns nothing of it
                    app_error = error
                finally:
                    is_late = anyio.current_time() >= work.deadline
            work.cancel()
        if body.error_response is None and app_error is not None:
            details = None if isinstance(app_error, HTTPException) else app_error
            LOG.error("%s %r failed: %r", scope["method"], scope["path"], type(app_error), exc_info=details)
        if started:
            if not complete and not body.is_disconnected:
                LOG.warning("%s %r was cut off", scope["method"], scope["path"])
            return None
        if body.error_response is not None or body.is_disconnected:
            return body.error_response
        if is_late:
            return ErrorResponse(
                504, "deadline", f"no answer within {self.limits.request_timeout:g} s; ask for less, or later"
            )
        return INTERNAL

    @contextlib.contextmanager
    def _registered(self, work: anyio.CancelScope, body: RequestBody) -> Iterator[None]:
        """Within, `drain` and `end_all` know of the request."""
        self._active[body] = work
        try:
            yield
        finally:
            del self._active[body]


def _digest(key: str) -> bytes:
    """The same length for every key, so that comparing takes the same time."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def check_origins(origins: Sequence[str]) -> None:
    """Raises BadConfig for what no browser would send as its origin, and so would never match."""
    for origin in origins:
        if not re.fullmatch(r"https?://[a-z0-9.-]+(:\d+)?|https?://\[[0-9a-f:]+\](:\d+)?", origin):
            raise BadConfig(f"found the site {origin!r}; expected one such as https://example.org, without a path")


def host_names(host: str, names: Sequence[str]) -> tuple[str, ...]:
    """The names that a server bound to `host` may be called by: those given and this machine's own; none given, and
    bound to a network: any, which is nothing.

    Raises BadConfig for what is no name.
    """
    for name in names:
        if not re.fullmatch(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f:.]+\]", name.lower()):
            raise BadConfig(f"--host-name {name}: expected a name such as captions.example.org, and nothing around it")
    if names:
        return (*(name.lower() for name in names), *LOCAL_HOSTS)
    return LOCAL_HOSTS if host in ("127.0.0.1", "localhost", "::1") else ()
