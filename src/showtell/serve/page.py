"""The page of `showtell serve`: one component of our own inside Gradio, which carries its questions and answers.

Gradio's own image component is not used. It would write each photo to disk, serve it again by its path and open it with
any of Pillow's parsers; what the page does not use of Gradio can stay closed (`page_routes`).
"""

from __future__ import annotations

import atexit
import base64
import json
import os
import re
import shutil
import tempfile
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI
from PIL import Image
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from showtell.core.captioner import Captioner
from showtell.errors import MissingExtra
from showtell.serve.clients import client_of
from showtell.serve.page_answers import PageAnswers, examples, largest_photo, picture_url
from showtell.serve.page_sessions import PageSessions
from showtell.serve.service import Service
from showtell.view import maps

# Before Gradio is imported, which would otherwise make /tmp/gradio, whose owner another user may be. It stays empty.
os.environ["GRADIO_TEMP_DIR"] = tempfile.mkdtemp(prefix="showtell-page-")
atexit.register(shutil.rmtree, os.environ["GRADIO_TEMP_DIR"], ignore_errors=True)
try:
    import gradio as gr
    import httpx
except ImportError as error:
    raise MissingExtra("gradio", "serve") from error

_ASSETS: Final = Path(__file__).parent / "assets"
_SCRIPTS: Final = ("attention.js", "words.js", "others.js", "photo.js", "picture.js", "reach.js", "page.js")
_THUMBNAIL: Final = 160
"""Pixels of the longer side: 80 on a screen, twice for those that are finer."""
_PATIENCE: Final = 5.0
"""Seconds after the server's deadline at which the page no longer hopes for an answer."""
_SESSIONS: Final = 1
"""Pages whose last answer, up to a megabyte, Gradio remembers, although nobody asks; it cannot be told to keep none."""
_HOST: Final = re.compile(r"[A-Za-z0-9._-]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?")
_OUTSIDE: Final = re.compile(
    r"""<meta\s+(?:property|name)="(?:og|twitter):[^>]*>"""
    r"""|<link\s+rel="(?:manifest|preconnect)"[^>]*>"""
    r"""|<script>(?:(?!</script>).)*iframeResizer\.contentWindow(?:(?!</script>).)*</script>""",
    re.DOTALL,
)
"""In Gradio's page: addresses of other sites, an app's manifest that there is not, a script for pages inside others."""


def build_page(service: Service) -> gr.Blocks:
    """The page by itself; `mount_page` puts it into an application. No request of it leaves the server."""
    answers = PageAnswers(service)
    # For a dashboard, which is closed, Gradio would make a table of the last 10,000 events after each one.
    os.environ.update(GRADIO_ANALYTICS_MAX_EVENTS="1", GRADIO_ANALYTICS_CACHE_FREQUENCY=str(10**12))

    # Gradio finds these two by their annotations.
    async def ask(event: gr.EventData, request: gr.Request) -> dict[str, Any]:
        return await answers.answer(
            event._data, str(request.session_hash), client_of(request.client and request.client.host)
        )

    html = _text("page.html").replace("/* page.css */", _text("page.css"))
    page: gr.Blocks = gr.Blocks(title="showtell", analytics_enabled=False, fill_width=True)
    with page:
        # What is in `props` is JSON; the script builds the page from it as text, never as HTML.
        component = gr.HTML(
            None,
            html_template=html,
            js_on_load="\n".join(_text(name) for name in _SCRIPTS),
            apply_default_css=False,
            settings=_settings(service),
        )
        asked = component.caption(
            ask,
            None,
            component,
            show_progress="hidden",
            trigger_mode="multiple",
            concurrency_limit=None,
            api_visibility="private",
        )
        # The question did not arrive, or no answer came back: the page has to be told.
        asked.failure(None, js="() => { window.dispatchEvent(new Event('showtell-failed')); }")
    # Gradio sets these two from arguments of `launch` only. Questions meet in our batcher, not in Gradio's queue.
    page.max_threads = service.limits.requests
    page.state_session_capacity = _SESSIONS
    page.queue(max_size=service.limits.requests)
    return page


def mount_page(app: FastAPI, service: Service) -> None:
    """The page at `/`, behind the routes that `app` has by now. It asks for no path but those of `page_routes`."""
    theme = gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    page = build_page(service)
    gr.mount_gradio_app(
        app,
        page,
        "/",
        app_kwargs={"docs_url": None, "redoc_url": None, "openapi_url": None},
        theme=theme,
        footer_links=[],
        show_error=False,
        run_history=False,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
    )
    gradio_app = app.router.routes[-1].app  # type: ignore[attr-defined]  # Gradio gives its own app to nobody
    gradio_app.add_middleware(_Cleaned)
    gradio_app.add_middleware(PageSessions, blocks=page, limits=service.limits)


class _Cleaned:
    """Takes out of Gradio's page what points to other sites, and out of its request what Gradio need not know."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].rstrip("/") != scope.get("root_path", "").rstrip("/"):
            await self.app(scope, receive, send)
            return
        # Uncompressed, for it is to be read here.
        headers = [each for each in scope["headers"] if _is_needed(*each)]
        start: MutableMapping[str, Any] = {}
        body = bytearray()

        async def gather(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
                return
            body.extend(message.get("body", b""))
            if not message.get("more_body", False):
                html = _OUTSIDE.sub("", body.decode("utf-8")).replace("</head>", f"{_HEAD}</head>", 1)
                cleaned = html.replace("<gradio-app", f"{_SCRIPTLESS}<gradio-app", 1).encode()
                kept = [each for each in start["headers"] if each[0] != b"content-length"]
                await send({**start, "headers": [*kept, (b"content-length", b"%d" % len(cleaned))]})
                await send({"type": "http.response.body", "body": cleaned})

        # The query could name files of Gradio's that it would open; what the page's scripts read of it they have.
        await self.app({**scope, "headers": headers, "query_string": b""}, receive, gather)


def _is_needed(name: bytes, value: bytes) -> bool:
    """Whether Gradio's page is made from this header: the page's own address. Of a broken one it writes a traceback."""
    if name == b"x-forwarded-proto":
        return True
    if name not in (b"host", b"x-forwarded-host"):
        return False
    host = value.decode("latin-1").partition(",")[0].strip()
    try:
        return _HOST.fullmatch(host) is not None and bool(httpx.URL(f"http://{host}"))
    except httpx.InvalidURL:
        return False


def _settings(service: Service) -> dict[str, Any]:
    """All that the page has to know before the first photo."""
    captioner: Captioner = service.captioner
    manifest = captioner.bundle.manifest
    credits = json.loads(_text("../examples/credits.json"))
    return {
        "languages": list(captioner.languages),
        "calibrated": list(captioner.calibrated),
        "beam": min(captioner.settings().beam, service.limits.beam),
        "widest": service.limits.beam,
        "largest": largest_photo(service.limits.body_bytes),
        "patience": service.limits.deadline + _PATIENCE,
        "crop": manifest.pixels.crop,
        # An ensemble whose members look at different parts of a photo does not look at all.
        "looks": captioner.has_one_grid and manifest.grid != (1, 1),
        "map": {
            "stops": list(maps.STOPS),
            "even": maps.EVEN,
            "opacity": maps.OPACITY,
            "dimmed": maps.DIMMED,
            "unseen": maps.UNSEEN,
        },
        "examples": [
            {"name": path.name, "thumbnail": picture_url(path, _THUMBNAIL), **_size(path), **credits[path.name]}
            for path in examples()
        ],
    }


def _size(path: Path) -> dict[str, int]:
    with Image.open(path) as image:
        return dict(zip(("width", "height"), image.size, strict=True))


def _text(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


_ICON: Final = base64.b64encode(_text("icon.svg").encode()).decode("ascii")
_HEAD: Final = (
    '<meta name="description" content="A sentence for a photo, and where the model looked for each word.">'
    f'<link rel="icon" href="data:image/svg+xml;base64,{_ICON}">'
)
_SCRIPTLESS: Final = (
    '<noscript><p style="font: 1rem/1.5 system-ui, sans-serif; padding: 1.5rem; color: #1f1b24">'
    "showtell needs JavaScript to caption photos here. Allow it for this address, then reload the page.</p></noscript>"
)
