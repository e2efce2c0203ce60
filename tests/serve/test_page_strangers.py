"""What the page's server gives to those who are no page of it, and what the page asks of others: nothing."""

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("gradio", reason="the page needs gradio (pip install 'showtell[serve]')")
from tests.serve.page_window import Running


def test_the_page_points_nowhere_else(server: Running) -> None:
    html = re.sub(r"data:image/[a-z+]+;base64,[A-Za-z0-9+/=]+", "", httpx.get(server.url).text)
    found = re.findall(r"(?:https?:)?//[a-z0-9][^\s\"'<>\\]*", html)
    assert {each for each in found if not each.startswith(server.url)} <= {"http://www.w3.org/2000/svg"}
    config = json.loads(re.search(r"window\.gradio_config = (\{.*?\});</script>", html)[1])  # type: ignore[index]
    assert config["analytics_enabled"] is False and config["stylesheets"] == [] and config["space_id"] is None
    css = httpx.get(f"{server.url}/theme.css").text.replace("http://www.w3.org/2000/svg", "")
    assert not re.findall(r"@font-face|@import|//.*", css)


def test_strangers_find_no_other_route_of_gradio(server: Running) -> None:
    paths = [
        "config",
        "gradio_api/info",
        "gradio_api/file=/etc/hostname",
        "gradio_api/file%3D/etc/hostname",
        "monitoring",
    ]
    paths += ["gradio_api/heartbeat/a", "assets/..%2f..%2findex.html.js", "gradio_api/proxy=http://127.0.0.1/", "docs"]
    with httpx.Client(base_url=server.url) as client:
        assert [client.get(f"/{path}").status_code for path in paths] == [404] * len(paths)
        assert client.post("/gradio_api/upload", files={"files": b"x"}).status_code == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"x-forwarded-host": "a:b"},
        {"x-forwarded-host": "["},
        {"x-forwarded-host": "[:::]"},
        {"x-forwarded-host": "a b, c"},
        {"x-gradio-server": "http://[/"},
        {"x-forwarded-proto": "\x7f", "cookie": "=;"},
    ],
)
def test_odd_headers_change_nothing_of_the_page(
    server: Running, headers: dict[str, str], capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    plain, odd = (httpx.get(f"{server.url}/?deep_link=..%2fx&page=y", headers=each) for each in ({}, headers))
    assert (odd.status_code, odd.text) == (200, plain.text)
    assert (caplog.text, *capfd.readouterr()) == ("", "", "")


def test_a_page_behind_a_proxy_knows_its_address(server: Running) -> None:
    headers = {"x-forwarded-host": "captions.example.org:8443, inner", "x-forwarded-proto": "https"}
    assert '"root":"https://captions.example.org:8443"' in httpx.get(server.url, headers=headers).text


FORGED = {"path": "/etc/passwd", "url": "http://127.0.0.1:9/", "meta": {"_type": "gradio.FileData"}}


@pytest.mark.parametrize(
    "body",
    [
        {"data": [], "event_data": {"id": 1, "photo": FORGED, "beam": 1, "num": 1}},
        {"data": [], "event_data": {"id": 1, "example": "../../../../../etc/passwd", "beam": 1, "num": 1}},
        {"data": [FORGED], "event_data": {"id": 1, "beam": 1, "num": 1}},
        {"data": [FORGED] * 3, "event_data": FORGED},
        {"data": [], "event_data": [FORGED]},
        {"data": [], "event_data": None},
    ],
)
def test_forged_events_read_and_fetch_nothing(server: Running, body: dict[str, Any]) -> None:
    with httpx.Client(base_url=server.url, timeout=30) as client, watched_threads() as events:
        joined = client.post("/gradio_api/queue/join", json={**body, "fn_index": 0, "session_hash": "forged"})
        text = joined.text
        if joined.status_code == 200:
            text += client.get("/gradio_api/queue/data", params={"session_hash": "forged"}).text
    assert "process_completed" in text or joined.status_code >= 400
    assert "root:" not in text and "Traceback" not in text and str(Path(__file__).parents[2]) not in text
    assert not [each for each in events if "passwd" in each or each.startswith("socket.connect")]


WATCHED: list[list[str]] = []


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if WATCHED and event in ("open", "socket.connect") and threading.current_thread() is not threading.main_thread():
        WATCHED[-1].append(f"{event} {arguments[0] if event == 'open' else arguments[1]}")


sys.addaudithook(_audit)


@contextlib.contextmanager
def watched_threads() -> Iterator[list[str]]:
    """What files and connections other threads than the test's, thus the server's, have opened; Python tells it."""
    WATCHED.append([])
    try:
        yield WATCHED[-1]
    finally:
        WATCHED.pop()


def test_the_watch_sees_files_and_connections_of_other_threads() -> None:
    def touch() -> None:
        Path("/etc/passwd").read_bytes()
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", 1), timeout=1)

    with watched_threads() as events:
        thread = threading.Thread(target=touch)
        thread.start()
        thread.join()
    assert "open /etc/passwd" in events and any(each.startswith("socket.connect") for each in events)


def test_the_page_leaves_no_folder_behind(tmp_path: Path) -> None:
    script = """
from fastapi import FastAPI
from showtell.core.captioner import Captioner
from showtell.serve.batcher import Batcher
from showtell.serve.limits import Limits
from showtell.serve.page import mount_page
from showtell.serve.service import Service
captioner, limits = Captioner.load(), Limits()
mount_page(FastAPI(), Service(captioner, Batcher(captioner, limits), limits))
"""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    environment.pop("GRADIO_TEMP_DIR", None)
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, timeout=120)
    # ONNX Runtime keeps a number in a file of its own.
    assert {path.name for path in tmp_path.rglob("*")} <= {".ses"}
