"""What of Gradio is open: a short list, and no spelling of a path leads around it."""

import pytest

from showtell.serve.page_routes import is_page_request, is_page_stream

WANTED = [
    ("GET", "/"),
    ("HEAD", "/"),
    ("GET", "/theme.css"),
    ("GET", "/assets/index-DphvyggB.js"),
    ("GET", "/assets/prism-python-B3XC7jTw.chunk.css"),
    ("POST", "/gradio_api/queue/join"),
    ("GET", "/gradio_api/queue/data"),
    ("GET", "/gradio_api/app_id"),
]
HOSTILE = [
    ("POST", "/"),
    ("GET", ""),
    ("GET", "//"),
    ("GET", "/\n"),
    ("GET", "/config"),
    ("GET", "/info"),
    ("GET", "/gradio_api/info"),
    ("GET", "/gradio_api/openapi.json"),
    ("GET", "/gradio_api/file=/etc/passwd"),
    ("GET", "/gradio_api/file=../../../etc/passwd"),
    ("GET", "/gradio_api/file=http://127.0.0.1:22/"),
    ("GET", "/gradio_api/file/etc/passwd"),
    ("GET", "/file=/etc/passwd"),
    ("GET", "/gradio_api/proxy=http://example.org/"),
    ("GET", "/proxy=http://example.org/"),
    ("POST", "/gradio_api/upload"),
    ("GET", "/gradio_api/upload_progress"),
    ("GET", "/gradio_api/heartbeat/abc"),
    ("POST", "/gradio_api/run/ask"),
    ("POST", "/gradio_api/api/ask"),
    ("POST", "/gradio_api/call/ask"),
    ("POST", "/gradio_api/call/v2/ask"),
    ("GET", "/gradio_api/call/ask/1"),
    ("POST", "/gradio_api/component_server"),
    ("POST", "/gradio_api/process_recording"),
    ("GET", "/gradio_api/deep_link"),
    ("POST", "/gradio_api/cancel"),
    ("POST", "/gradio_api/vibe-edit/"),
    ("GET", "/gradio_api/vibe-code"),
    ("GET", "/gradio_api/dev/reload"),
    ("GET", "/gradio_api/runs"),
    ("GET", "/gradio_api/stream/a/b/1/playlist.m3u8"),
    ("GET", "/gradio_api/custom_component/1/client/component/index.js"),
    ("GET", "/custom_component/1/client/component/index.js"),
    ("POST", "/login"),
    ("GET", "/monitoring"),
    ("GET", "/monitoring/summary"),
    ("GET", "/manifest.json"),
    ("GET", "/static/js/iframeResizer.contentWindow.min.js"),
    ("GET", "/svelte/svelte.js"),
    ("GET", "/assets/"),
    ("GET", "/assets/../../../../etc/passwd"),
    ("GET", "/assets/../index.html.js"),
    ("GET", "/assets/..%2findex.js"),
    ("GET", "/assets/a/b.js"),
    ("GET", "/assets//etc/passwd.js"),
    ("GET", "/assets/..js"),
    ("GET", "/assets/a..js"),
    ("GET", "/assets/.js"),
    ("GET", "/assets/a\\b.js"),
    ("GET", "/assets/a.js\n"),
    ("GET", "/assets/a.js\0"),
    ("GET", "/assets/a.py"),
    ("GET", "/theme.css/"),
    ("GET", "/gradio_api/queue/join"),
    ("POST", "/gradio_api/queue/data"),
    ("GET", "/gradio_api/queue/data/.."),
    ("GET", "/gradio_api/queue/status"),
    ("OPTIONS", "/"),
    ("get", "/"),
]


@pytest.mark.parametrize(("method", "path"), WANTED)
def test_what_the_page_asks_for_is_open(method: str, path: str) -> None:
    assert is_page_request(method, path)


@pytest.mark.parametrize(("method", "path"), HOSTILE)
def test_everything_else_is_closed(method: str, path: str) -> None:
    assert not is_page_request(method, path)


def test_only_events_come_as_a_stream() -> None:
    assert is_page_stream("/gradio_api/queue/data")
    assert not any(is_page_stream(path) for path in ("/", "/gradio_api/queue/join", "/gradio_api/queue/data/"))
