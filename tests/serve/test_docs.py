"""What docs/serving.md tells a program to do, done."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.serve.running import RED, Running

from showtell.serve.app import STATUS_CODES
from showtell.serve.server import ServerConfig

DOCS = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    running = Running(ServerConfig(page=False, api_key="sesame"))
    yield running
    running.stop()


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names that the documented client defines, without its last line, which asks for a photo of the reader's."""
    (code,) = re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code[: code.rindex("\n\n\nprint(")], names)
    return names


def test_the_client(server: Running, client: dict[str, Any], tmp_path: Path) -> None:
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    good.write_bytes(RED)
    bad.write_bytes(b"no image")
    captions = client["captions"]
    assert captions([good, bad, good], server.url, key="sesame") == ["255 0 0", "not_an_image", "255 0 0"]
    with pytest.raises(RuntimeError, match="found language 'xx'"):
        captions([good], server.url, key="sesame", language="xx")
    with pytest.raises(RuntimeError, match="expected the API key"):
        captions([good], server.url)


def test_the_client_comes_back_when_it_is_told_to(
    client: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [httpx.Response(503, headers={"Retry-After": "3"}), httpx.Response(200, json={"results": []})]
    slept: list[int] = []
    monkeypatch.setattr(httpx, "post", lambda *args, **kwargs: answers.pop(0))
    monkeypatch.setattr(client["time"], "sleep", slept.append)
    assert client["captions"]([]) == [] and slept == [3]


def test_every_code_that_is_answered_is_in_the_table() -> None:
    source = Path(__file__).parents[2] / "src" / "showtell" / "serve"
    text = "".join(file.read_text(encoding="utf-8") for file in source.glob("*.py"))
    codes = set(re.findall(r"(?:ErrorResponse|cls)\(\s*\d+,\s*\"(\w+)\"", text))
    codes |= set(STATUS_CODES.values())
    assert len(codes) >= 19
    assert {code for code in codes if f"`{code}`" not in DOCS} == set()
