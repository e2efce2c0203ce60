"""Servers, and windows for the tests of the page. What they need is imported within, for others do without it."""

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest


@pytest.fixture
def run() -> Iterator[Callable[..., Any]]:
    """Starts servers of the API, with a ServerConfig and limits; timeouts are hours unless a test says otherwise."""
    from tests.serve.running import Running

    with contextlib.ExitStack() as stack:

        def run(config: Any = None, **limits: Any) -> Running:
            running = Running(config, **limits)
            stack.callback(running.stop)
            return running

        yield run


@pytest.fixture(scope="module")
def serve() -> Iterator[Callable[..., Any]]:
    """Starts servers with the page, which end with the tests of a file."""
    from tests.serve.page_window import Running

    from showtell.serve.limits import Limits

    with contextlib.ExitStack() as stack:

        def serve(captioner: Any, **limits: Any) -> Running:
            running = Running(captioner, Limits(**{"batch_delay": 0, **limits}))
            stack.callback(running.stop)
            return running

        yield serve


@pytest.fixture(scope="module")
def server(serve: Callable[..., Any]) -> Any:
    from tests.serve.page_window import Scripted

    return serve(Scripted())


@pytest.fixture(scope="module")
def left(browser: Any) -> Iterator[list[Any]]:
    """The browser's pages that tests have left: a new one is a new process, which takes longer than most tests."""
    pages: list[Any] = []
    yield pages
    for page in pages:
        page.context.close()


@pytest.fixture
def lone(browser: Any, left: list[Any]) -> Iterator[Callable[..., Any]]:
    """Opens pages which may complain, for their server fails."""
    from tests.serve.page_window import Page

    with contextlib.ExitStack() as stack:

        def lone(running: Any, **options: Any) -> Page:
            if options:
                window = Page(browser, running, **options)
                stack.callback(window.context.close)
            else:
                window = Page(browser, running, window=left.pop() if left else None)
                stack.callback(lambda: left.append(window.leave()))
            return window

        yield lone


@pytest.fixture
def visit(lone: Callable[..., Any], server: Any) -> Iterator[Callable[..., Any]]:
    """Opens pages, and sees in the end that they asked only for what is theirs and that nobody complained."""
    from tests.serve.page_window import Page

    from showtell.serve.api_routes import API_METHODS
    from showtell.serve.page import PAGE_METHODS

    windows: list[Page] = []
    methods = {**API_METHODS, **PAGE_METHODS}

    def visit(running: Any = server, **options: Any) -> Page:
        windows.append(lone(running, **options))
        return windows[-1]

    yield visit
    for window in windows:
        for method, url in window.requests:
            if not url.startswith("blob:"):
                assert url.startswith(f"{window.server.url}/"), url
                assert method in methods[url.removeprefix(window.server.url)], url
        # The browser's own word on a photo that cannot be previewed, since it is none.
        expected = re.compile(r"error: Failed to load resource: .* status of 422")
        assert [text for text in window.complaints if not expected.match(text)] == []
