"""The documentation site: it builds without a warning, has every command and setting, and asks no other host."""

import functools
import http.server
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import skips
from typer.main import get_command

from showtell.cli.app import app

ROOT = Path(__file__).parents[1]
LOADS = re.compile(
    r"<(?:script|img|source|iframe|video|audio|embed|object)\b[^>]*\b(?:src|srcset|data)=\"?(https?:)?//[^\s\">]+"
    r"|<link\b(?![^>]*rel=\"?(?:canonical|next|prev)\b)[^>]*\bhref=\"?(https?:)?//[^\s\">]+"
)
STYLE_LOADS = re.compile(r"(?:url\(\s*[\"']?|@import\s*[\"'])(?:https?:)?//[^)\"']+")
LATE = {
    "https://unpkg.com/mermaid@": "loaded for diagrams: no page has the class mermaid",
    "https://unpkg.com/resize-observer-polyfill": "loaded where the browser lacks ResizeObserver: none since 2020",
    "https://clipboardjs.com/": "a comment",
    "https://api.github.com/": "asked for stars of repo_url: no page has a source component",
}
"""Addresses in the theme's scripts."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("material", reason=skips.PACKAGES)
    pytest.importorskip("mkdocstrings", reason=skips.PACKAGES)
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    return folder


def pages(site: Path) -> dict[Path, str]:
    return {path: path.read_text(encoding="utf-8") for path in sorted(site.rglob("*.html"))}


def test_every_command_and_option_has_its_line(site: Path) -> None:
    text = (site / "reference/commands.html").read_text(encoding="utf-8")
    sections = {
        m[1]: m[2] for m in re.finditer(r'<h2 id="showtell-([\w-]+)">(.*?)(?=<h2 |</article>)', text, re.DOTALL)
    }
    root = get_command(app)
    data = root.commands["data"].commands  # type: ignore[attr-defined]
    commands = {**root.commands, **{f"data {name}": command for name, command in data.items()}}  # type: ignore[attr-defined]
    del commands["data"]
    assert len(commands) > 12
    for name, command in commands.items():
        section = sections[name.replace(" ", "-")]
        for param in command.params:
            if param.param_type_name == "option" and not param.hidden:
                assert all(option in section for option in param.opts), (name, param.opts)


def test_settings_and_python_are_there(site: Path) -> None:
    settings = (site / "reference/settings.html").read_text(encoding="utf-8")
    for key in ("model.encoder.name", "train.self_critical.start_epoch", "decode.beam_size", "model.decoder.ffn_dim"):
        assert f"<code>{key}</code>" in settings
    captioner = (site / "reference/python/captioner.html").read_text(encoding="utf-8")
    for member in ("load", "caption", "caption_many", "score_captions"):
        assert f'id="showtell.core.captioner.Captioner.{member}"' in captioner
    assert 'id="showtell.core.captioner.Captioner._rows"' not in captioner


def test_nothing_of_other_hosts_is_loaded(site: Path) -> None:
    html = pages(site)
    assert len(html) > 25
    for path, text in html.items():
        assert not LOADS.search(text), (path, LOADS.search(text))
        assert 'class="mermaid' not in text and 'data-md-component="source"' not in text
    for path in site.rglob("*.css"):
        assert not STYLE_LOADS.search(path.read_text(encoding="utf-8")), path
    for path in site.rglob("assets/javascripts/bundle*.js"):
        found = re.findall(r"https://(?!\$)[\w.-]+/[\w@.-]*", path.read_text(encoding="utf-8"))
        assert {address for address in found if not address.startswith(tuple(LATE))} <= set(), path


@pytest.mark.parametrize(
    ("tag", "loads"),
    [
        ('<script src="https://cdn.example.org/a.js">', True),
        ('<link rel="stylesheet" href="https://fonts.example.org/css">', True),
        ('<link rel="preconnect" href="//fonts.example.org">', True),
        ('<link rel="canonical" href="https://showtell.example.org/">', False),
        ('<a href="https://example.org/">', False),
        ('<img src="examples.jpg">', False),
    ],
)
def test_what_counts_as_loading(tag: str, loads: bool) -> None:
    assert bool(LOADS.search(tag)) == loads


@pytest.fixture
def address(site: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_in_a_browser_it_asks_nobody_else_and_fits_a_phone(browser: Any, address: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    page = context.new_page()
    for name in ("index.html", "metrics.html", "reference/commands.html"):
        page.goto(f"{address}/{name}")
        # Wide tables and code scroll inside the page.
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.locator("label[for=__search]").first.click()
    # Typed: the page looks at what is there when a key is released, or just after the field has got the focus.
    page.locator("input[name=query]").press_sequentially("self-CIDEr")
    page.locator(".md-search-result__item").first.wait_for()
    context.close()
    assert len(asked) > 8
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []
