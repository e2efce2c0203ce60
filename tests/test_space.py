"""The Hugging Face Spaces in space/: what they run, and that their front matter names it."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

httpx = pytest.importorskip("httpx", reason="the server is an extra")

ROOT = Path(__file__).parents[1]
SPACE = ROOT / "space"


def front_matter(folder: str) -> dict[str, Any]:
    matter: dict[str, Any] = yaml.safe_load(
        (SPACE / folder / "README.md").read_text(encoding="utf-8").split("---\n")[1]
    )
    return matter


def test_a_gradio_space_runs_the_example() -> None:
    matter = front_matter("gradio")
    assert matter["sdk"] == "gradio" and (ROOT / "examples" / matter["app_file"]).is_file()
    assert (SPACE / "gradio" / "requirements.txt").read_text() == "showtell\n"


def test_a_docker_space_shows_the_page_inside_hugging_faces_site() -> None:
    docker = (SPACE / "docker" / "Dockerfile").read_text(encoding="utf-8")
    matter = front_matter("docker")
    assert matter["sdk"] == "docker" and f"EXPOSE {matter['app_port']}\n" in docker
    command = yaml.safe_load(re.search(r"^CMD (.+)$", docker, re.MULTILINE)[1])  # type: ignore[index]
    variables = dict(re.findall(r"(\w+)=(\S+)", re.search(r"^ENV (.+)$", docker, re.MULTILINE)[1]))  # type: ignore[index]
    assert command[0] == "showtell"
    process = subprocess.Popen(
        [sys.executable, "-m", *command, "--port", "0"],
        env={**os.environ, "FORWARDED_ALLOW_IPS": variables["FORWARDED_ALLOW_IPS"]},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        port = re.search(r"page and API .+:(\d+) ", process.stderr.readline())[1]  # type: ignore[index]
        headers = {"Host": "someone-showtell.hf.space"}
        page = httpx.get(f"http://127.0.0.1:{port}/", headers=headers, timeout=60)  # the port listens by now
        assert page.status_code == 200 and "showtell" in page.text
        assert "frame-ancestors https://huggingface.co" in page.headers["content-security-policy"]
        assert "x-frame-options" not in page.headers
        process.terminate()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.communicate()
