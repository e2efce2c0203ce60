"""URLs among the photos of `showtell caption`."""

import functools
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.builtin_model import DOG_WORD
from tests.fetch.fake_web import PHOTO, FakeWeb, answer, fake_web
from typer.testing import CliRunner

from showtell.cli.main import app
from showtell.cli.urls import with_urls
from showtell.core.sources import ImageInput
from showtell.errors import BadImage
from showtell.fetch import fetch
from showtell.fetch.fetch import Fetcher

DOG = str(Path(__file__).parents[2] / "examples" / "dog.jpg")


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeWeb]:
    with fake_web() as web:
        monkeypatch.setattr(fetch, "Fetcher", functools.partial(Fetcher, resolve=web.resolve, connect=web.connect))
        yield web


def test_urls_and_files_are_captioned_in_order(web: FakeWeb, tmp_path: Path) -> None:
    """The first answers after the fourth was asked; one is no photo, one has no host, one must not be asked."""
    later_asked = threading.Event()

    def reply(request: str) -> list[bytes]:
        if "/slow" in request:
            later_asked.wait()
        elif "/bad" in request:
            later_asked.set()
        return [
            answer(b"no photo") if "/bad" in request else answer(status="404 No") if "/none" in request else answer()
        ]

    web.serve("images.example.org", reply)
    inputs = ["http://images.example.org/slow", DOG, "HTTP://IMAGES.example.org", "http://images.example.org/bad"]
    inputs += ["http://images.example.org/none", "http://169.254.169.254/", "https://user:pw@images.example.org/"]
    output = tmp_path / "rows.jsonl"
    done = CliRunner().invoke(app, ["caption", *inputs, "--output", str(output)])
    assert done.exit_code == 1
    rows = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert [row["image"] for row in rows] == inputs
    codes = ["not_an_image", "url_failed", "url_refused", "url_refused"]
    assert [row.get("error") for row in rows] == [None, None, None, *codes]
    assert rows[0]["caption"] == rows[1]["caption"] == rows[2]["caption"] and DOG_WORD in rows[0]["caption"]
    assert set(web.connected) == {"93.184.216.34"} and web.canary.visits == 0


def test_urls_that_are_refused_as_a_user_sees_it() -> None:
    urls = ["http://127.0.0.1/a.jpg", "file:///etc/passwd", "ftp://example.org/a.jpg", "https://localhost/"]
    done = subprocess.run(
        [sys.executable, "-m", "showtell", "caption", "-", DOG], input="\n".join(urls), capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stdout.startswith(f"{DOG}\t") and done.stdout.count("\n") == 1
    *lines, summary = done.stderr.splitlines()
    assert [line.split(": ")[:3] for line in lines] == [["showtell", url, "url_refused"] for url in urls]
    assert lines[0].endswith(": found a host whose address is not public")
    assert summary == "showtell: 1 captioned, 4 failed"


def test_nothing_is_fetched_before_its_photo_is_loaded(web: FakeWeb) -> None:
    web.serve("images.example.org", answer())
    file, url = with_urls([ImageInput("a.jpg"), ImageInput("http://images.example.org/")])
    assert file.read is None and url.read is not None and web.connected == []
    assert url.read() == PHOTO


def test_places_that_failed_and_files_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a URL there is no fetcher: it takes time to load."""
    monkeypatch.delattr(fetch, "Fetcher")
    images = [ImageInput("a.jpg"), ImageInput("b", BadImage("missing", "no images in this folder"))]
    assert list(with_urls(images)) == images
