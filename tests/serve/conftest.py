"""Servers, and windows for the tests of the page. What they need is imported within, for others do without it."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest


@pytest.fixture
def run() -> Iterator[Callable[..., Any]]:
    """Starts servers of the API, with limits and an `access` as a test needs them."""
    from tests.serve.running import Running

    from showtell.serve.limits import Limits

    with contextlib.ExitStack() as stack:

        def run(access: Any = None, **limits: Any) -> Running:
            running = Running(Limits(**{"wait": 0, **limits}), access)
            stack.callback(running.stop)
            return running

        yield run


@pytest.fixture(scope="module")
def serve() -> Iterator[Callable[..., Any]]:
    """Starts servers, which end with the tests of a file."""
    pytest.importorskip("gradio", reason="the page needs gradio (pip install 'showtell[serve]')")
    from tests.serve.page_window import Running

    from showtell.serve.limits import Limits

    with contextlib.ExitStack() as stack:

        def serve(captioner: Any, **limits: Any) -> Running:
            running = Running(captioner, Limits(**{"wait": 0, **limits}))
            stack.callback(running.stop)
            return running

        yield serve


@pytest.fixture(scope="module")
def server(serve: Callable[..., Any]) -> Any:
    from tests.serve.page_window import Scripted

    return serve(Scripted())


@pytest.fixture
def visit(browser: Any, server: Any) -> Iterator[Callable[..., Any]]:
    """Opens pages, and sees in the end that they asked only for what is theirs and that nobody complained."""
    from tests.serve.page_window import Page

    from showtell.serve.page_routes import is_page_request

    pages: list[Page] = []

    def visit(running: Any = server, **options: Any) -> Page:
        pages.append(Page(browser, running, **options))
        return pages[-1]

    yield visit
    for each in pages:
        asked = [(method, url) for method, url in each.requests if not url.startswith(("data:", "blob:"))]
        each.context.close()
        for method, url in asked:
            assert url.startswith(f"{each.server.url}/"), url
            path = url.removeprefix(each.server.url).partition("?")[0]
            assert is_page_request(method, path) or (method, path) == ("GET", "/readyz"), url
        assert not each.complaints
