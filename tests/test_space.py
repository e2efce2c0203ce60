"""space/app.py, as a Hugging Face Space runs it."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

httpx = pytest.importorskip("httpx", reason="the server is an extra")
pytest.importorskip("gradio", reason="the page is an extra")

SPACE = Path(__file__).parents[1] / "space"


def test_the_space_shows_the_page_inside_hugging_faces_site() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {**os.environ, "GRADIO_SERVER_PORT": str(port)}
    process = subprocess.Popen([sys.executable, SPACE / "app.py"], env=environment, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None and "page and API" in process.stderr.readline()
        for _ in range(100):
            try:
                page = httpx.get(f"http://127.0.0.1:{port}/", headers={"Host": "someone-showtell.hf.space"})
                break
            except httpx.ConnectError:
                time.sleep(0.1)
        assert page.status_code == 200 and "showtell" in page.text
        assert "frame-ancestors https://huggingface.co" in page.headers["content-security-policy"]
        assert "x-frame-options" not in page.headers
        process.terminate()
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.communicate()
