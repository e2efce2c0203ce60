"""The few of Gradio's routes that our page uses. Everything else of Gradio's is closed by the gate.

What a browser asks for was recorded; `tests/serve/test_page.py` records it again. While an answer is late, it also asks
the API's /readyz. The page sends photos inside its events and gets pictures inside the answers, so that no route that
writes, reads or fetches a file is among these.
"""

from __future__ import annotations

import re
from typing import Final

_JOIN: Final = "/gradio_api/queue/join"
_STREAM: Final = "/gradio_api/queue/data"
_ROUTES: Final = {
    "GET": re.compile(
        rf"/|/theme\.css|/assets/[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.(js|css)|{_STREAM}"
        # Asked for while the server is gone, to see whether it is back.
        r"|/gradio_api/app_id"
    ),
    "POST": re.compile(_JOIN),
}


def is_page_request(method: str, path: str) -> bool:
    """Whether the page may ask for this; `path` is decoded, as ASGI's `scope["path"]`, and without the query."""
    routes = _ROUTES.get("GET" if method == "HEAD" else method)
    return routes is not None and routes.fullmatch(path) is not None


def page_methods(path: str) -> tuple[str, ...]:
    return tuple(method for method in ("GET", "HEAD", "POST") if is_page_request(method, path))


def is_page_join(path: str) -> bool:
    """Whether this path takes the page's questions."""
    return path == _JOIN


def is_page_stream(path: str) -> bool:
    """Whether this path answers with events, for as long as a question of the page is open."""
    return path == _STREAM
