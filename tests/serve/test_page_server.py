"""What the server gives to a page and to those who are none: its files, settings and previews, and nothing else."""

import contextlib
import io
import json
import re
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from tests.builtin_model import BEAM
from tests.serve.page_window import Running, Scripted, a_photo
from tests.serve.running import RED

from showtell.serve import page
from showtell.serve.page import PAGE_METHODS, STATIC_FILES
from showtell.serve.server import ServerConfig

STATIC = Path(page.__file__).parent / "static"
EXAMPLES = Path(page.__file__).parent / "examples"
HTML = (STATIC / "index.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def client(server: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


# ---- files ----


def test_every_file_is_served_as_it_is_and_asked_for_again_only_when_it_changed(client: httpx.Client) -> None:
    types = {
        ".html": "text/html",
        ".css": "text/css",
        ".js": "text/javascript",
        ".svg": "image/svg",
        ".jpg": "image/jpeg",
    }
    for path, file in STATIC_FILES.items():
        answer = client.get(path)
        assert (answer.status_code, answer.content) == (200, file.read_bytes()), path
        assert answer.headers["content-type"].startswith(types[file.suffix]), path
        assert answer.headers["cache-control"] == "no-cache" and answer.headers["x-content-type-options"] == "nosniff"
        tag = answer.headers["etag"]
        for known in (tag, f'"other", W/{tag}'):
            again = client.get(path, headers={"If-None-Match": known})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
            policy = "content-security-policy"  # the browser replaces the one that it has
            assert again.headers[policy] == answer.headers[policy], path
        assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200
        head = client.head(path)
        assert (head.status_code, head.content) == (200, b"")


def test_what_the_page_names_is_there_and_everything_there_is_named() -> None:
    named = set(re.findall(r'(?:href|src)="(page/[^"]+)"', HTML))
    for script in STATIC.glob("*.js"):
        named |= {f"page/{name}" for name in re.findall(r'from "\./([^"]+)"', script.read_text(encoding="utf-8"))}
    served = {path[1:] for path in STATIC_FILES if path not in ("/",) and "/examples/" not in path}
    assert named == served
    preloaded = set(re.findall(r'modulepreload" href="page/([^"]+)"', HTML))
    assert preloaded == {script.name for script in STATIC.glob("*.js")} - {"main.js"}


def test_nothing_points_elsewhere() -> None:
    for file in STATIC.iterdir():
        text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.findall(r"https?:|@import|@font-face|[\"'(]//", text), file.name
        # From the root of the host, an address would not pass through a proxy that serves the page below a path.
        assert not re.findall(r"(?:href|src|action)=\"/|fetch\(\"/|url\(/", text), file.name


class Inline(HTMLParser):
    """Whatever a Content-Security-Policy without 'unsafe-inline' would block."""

    def __init__(self) -> None:
        super().__init__()
        self.blocked: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = {name for name, _ in attrs}
        if tag == "style" or (tag == "script" and "src" not in names):
            self.blocked.append(tag)
        self.blocked += [name for name in names if name == "style" or name.startswith("on")]


def test_the_policy_lets_only_files_of_the_server_run(client: httpx.Client) -> None:
    policy = client.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script-src 'self';" in policy and "style-src 'self';" in policy
    assert "unsafe" not in policy and "*" not in policy
    parser = Inline()
    parser.feed(HTML)
    assert parser.blocked == []
    assert "default-src 'none'; frame" in client.get("/page/main.js").headers["content-security-policy"]


def test_an_injected_script_does_not_run(lone: Callable[..., Any], server: Running) -> None:
    window = lone(server)
    window.page.evaluate("""() => {
        const script = document.createElement("script"), image = document.createElement("img");
        script.textContent = "window.injected = true";
        image.setAttribute("onerror", "window.injected = true");
        image.src = "page/none.jpg";
        document.body.append(script, image);
        return new Promise((resolve) => image.addEventListener("error", resolve));
    }""")
    assert window.page.evaluate("window.injected") is None
    assert any("Content Security Policy" in text for text in window.complaints)


HOSTILE = [
    "//",
    "/\n",
    "/index.html",
    "/page",
    "/page/",
    "/page/index.html",
    "/page/../page.py",
    "/page/..%2fpage.py",
    "/page/%2e%2e/page.py",
    "/page/static/main.js",
    "/page/main.js/",
    "/page/main.js\0",
    "/page/Main.js",
    "/page//etc/passwd",
    "/page/examples/",
    "/page/examples/credits.json",
    "/page/examples/README.md",
    "/page/examples/../../page.py",
    "/static/main.js",
    "/config",
    "/gradio_api/info",
    "/docs",
]


@pytest.mark.parametrize("path", HOSTILE)
def test_everything_else_is_closed(server: Running, path: str) -> None:
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), timeout=60) as plain:
        # Not by httpx, which would put the path in order.
        plain.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: plain.recv(65536), b""))
    assert re.match(rb"HTTP/1.1 40[04] ", answer), answer[:80]


def test_methods(client: httpx.Client) -> None:
    for path, methods in PAGE_METHODS.items():
        for method in {"GET", "POST", "PUT", "DELETE"} - set(methods):
            answer = client.request(method, path)
            assert (answer.status_code, answer.headers["allow"]) == (405, ", ".join(methods)), (method, path)


def test_without_a_page_there_is_none(run: Callable[..., Any]) -> None:
    server = run(ServerConfig(page=False))
    assert {httpx.get(f"{server.url}{path}").status_code for path in PAGE_METHODS} == {404}


@pytest.mark.parametrize(
    "headers",
    [
        {"x-forwarded-host": "["},
        {"x-forwarded-host": "a b, c"},
        {"x-forwarded-proto": "\x7f", "cookie": "=;"},
        {"if-none-match": ",,W/"},
    ],
)
def test_odd_headers_change_nothing_of_the_page(
    client: httpx.Client, headers: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    plain, odd = (client.get("/?path=..%2fx", headers=sent) for sent in ({}, headers))
    assert (odd.status_code, odd.content, caplog.text) == (200, plain.content, "")


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


def test_no_request_of_a_page_opens_a_file_or_a_connection(client: httpx.Client) -> None:
    def touch() -> None:
        Path("/etc/passwd").read_bytes()

    with watched_threads() as seen:
        thread = threading.Thread(target=touch)
        thread.start()
        thread.join()
    assert seen == ["open /etc/passwd"], "the watch sees other threads"
    for path in STATIC_FILES:
        client.get(path)
    client.post("/page/preview", content=RED)  # Pillow has loaded its plugins by now
    with watched_threads() as seen:
        for path in (*STATIC_FILES, "/page/settings.json"):
            assert client.get(path).status_code == 200
        assert client.post("/page/preview", content=RED).status_code == 200
    assert seen == []


# ---- settings ----


def test_the_settings_are_those_of_model_and_limits(client: httpx.Client, server: Running) -> None:
    answer = client.get("/page/settings.json")
    assert answer.headers["cache-control"] == "no-cache" and answer.headers["etag"]
    settings = answer.json()
    assert settings["model"] == client.get("/v1/models").json()["models"][0]["id"]
    assert settings["languages"] == [
        {"code": "en", "name": "English", "direction": "ltr", "calibrated": True},
        {"code": "ar", "name": "العربية", "direction": "rtl", "calibrated": True},
        {"code": "de", "name": "Deutsch", "direction": "ltr", "calibrated": True},
    ]
    assert (settings["beam"], settings["max_beam"]) == (BEAM, 10) and settings["has_attention"] is True
    assert 0.99 * server.site.limits.body_bytes < settings["max_photo_bytes"] < server.site.limits.body_bytes


@pytest.mark.parametrize("has_heif", [True, False])
def test_the_page_asks_for_heic_only_where_it_is_read(monkeypatch: pytest.MonkeyPatch, has_heif: bool) -> None:
    """iPhones send a JPEG in its place unless they are asked for it."""
    monkeypatch.setattr(page, "find_spec", lambda name: {"pillow_heif": True}[name] if has_heif else None)
    accepted = page.accepted_files().split(",")
    assert accepted[:3] == ["image/*", ".jpg", ".jpeg"] and {".tif", ".avif", ".jfif"} <= set(accepted)
    assert (".heic" in accepted, ".heif" in accepted, ".hif" in accepted) == (has_heif,) * 3


def test_every_setting_is_described_and_used(client: httpx.Client) -> None:
    described = (STATIC / "settings.js").read_text(encoding="utf-8")
    scripts = "".join(file.read_text(encoding="utf-8") for file in STATIC.glob("*.js") if file.name != "settings.js")
    for name in client.get("/page/settings.json").json():
        assert re.search(rf"@property {{.+}} {name}\b", described), name
        assert re.search(rf"\bsettings\.{name}\b", scripts), name


def test_the_largest_photo_that_the_page_sends_is_taken(serve: Callable[..., Running]) -> None:
    running = serve(Scripted(), body_bytes=50_000)
    largest = httpx.get(f"{running.url}/page/settings.json").json()["max_photo_bytes"]
    photo = RED + bytes(largest - len(RED))  # PNG ends at its end, whatever follows
    options = {"language": "en", "beam": 10, "num": 10, "attention": "true"}
    files = {"images": ("n" * 255 + ".png", photo, "image/png")}
    assert httpx.post(f"{running.url}/v1/caption", files=files, data=options, timeout=60).status_code == 200


def test_the_examples_are_small_and_have_credits(client: httpx.Client) -> None:
    examples = client.get("/page/settings.json").json()["examples"]
    files = sorted(EXAMPLES.glob("*.jpg"))
    assert sorted(example["name"] for example in examples) == [file.name for file in files]
    assert len(files) == 5 and sum(file.stat().st_size for file in files) < 250_000
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    for example in examples:
        row = next(line for line in readme.splitlines() if line.startswith(f"| `{example['name']}`"))
        assert example["author"] in row
        assert (example["licence"] or "public domain") in row
        size = Image.open(io.BytesIO(client.get(f"/{example['url']}").content)).size
        assert size == (example["width"], example["height"])


def test_the_settings_are_json_that_says_nothing_of_the_servers_inside(client: httpx.Client) -> None:
    text = client.get("/page/settings.json").text
    assert str(Path(page.__file__).parents[2]) not in text and json.loads(text)


# ---- behind a proxy, and a key ----


@contextlib.contextmanager
def proxied(running: Running, prefix: str) -> Iterator[str]:
    """A reverse proxy at a port of its own, which serves the page below a path."""

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.forward()

        def do_POST(self) -> None:
            self.forward()

        def forward(self) -> None:
            assert self.path.startswith(prefix), self.path
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
            url = running.url + "/" + self.path.removeprefix(prefix)
            answer = httpx.request(self.command, url, content=body, headers=headers, timeout=60)
            self.send_response(answer.status_code)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}{prefix}"
        server.shutdown()
        thread.join()


def test_the_page_works_behind_a_proxy_below_a_path(lone: Callable[..., Any], server: Running) -> None:
    with proxied(server, "/captions/") as url:
        window = lone(server, url=url)
        window.page.locator(".thumbnail").first.click()
        assert window.captioned() == ["two", "dogs", "run"]
        assert not window.complaints and all(address.startswith((url, "blob:")) for _, address in window.requests)


def test_the_page_asks_for_the_key_as_browsers_do(browser: Any) -> None:
    from tests.serve.page_window import Page

    from showtell.serve.limits import Limits

    running = Running(Scripted(), Limits(batch_delay=0), ServerConfig(api_key="sesame"))
    try:
        locked = httpx.get(running.url, headers={"Accept": "text/html"})
        assert locked.status_code == 401 and locked.headers["www-authenticate"].startswith("Basic")
        assert httpx.get(f"{running.url}/page/main.js").status_code == 401
        window = Page(browser, running, http_credentials={"username": "anyone", "password": "sesame"})
        window.choose(a_photo())
        assert window.captioned() == ["two", "dogs", "run"]
        window.context.close()
    finally:
        running.stop()
