"""What the tests of the page need: a server in a thread, a network with known attention, and a window of a browser."""

import base64
import contextlib
import dataclasses
import io
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tests.fake_stepper import FakeStepper

from showtell.core.bundle import builtin, load_bundle
from showtell.core.captioner import Captioner, GenerationOptions
from showtell.records import Caption, Word
from showtell.serve.limits import Limits
from showtell.serve.server import Application, Server, ServerConfig

SENTENCES = {"en": ("two", "dogs", "run"), "ar": ("كلب", "بني", "يجري"), "de": ("zwei", "Hunde", "rennen")}
CELLS = ((0, 0), (2, 5), (6, 3))
"""Row and column at which the network looks for each word."""


class Scripted(Captioner):
    """Says the same of every photo, looks at one cell for each word, and has the built-in model's settings."""

    def __init__(self, crop: str = "squash", looks: bool = True, calibrated: bool = True) -> None:
        bundle = load_bundle(builtin())
        pixels = bundle.manifest.pixels.model_copy(update={"crop_mode": crop})
        changes: dict[str, Any] = {"pixels": pixels} | ({} if calibrated else {"calibration": {}})
        super().__init__(
            dataclasses.replace(bundle, manifest=bundle.manifest.model_copy(update=changes)), FakeStepper([])
        )
        self.looks = looks
        self.asked: list[GenerationOptions] = []
        self.go = threading.Event()
        self.go.set()

    def caption_preprocessed(self, photos: Sequence[Any], ask: GenerationOptions) -> list[tuple[Caption, ...]]:
        self.asked.append(ask)
        assert self.go.wait(60)
        maps = np.zeros((3, 7, 7), np.float32)
        for word, (row, column) in enumerate(CELLS):
            maps[word, row, column] = 1
        return [tuple(self._say(ask, place, maps if self.looks else None) for place in range(ask.num)) for _ in photos]

    def _say(self, ask: GenerationOptions, place: int, maps: np.ndarray | None) -> Caption:
        texts = (*SENTENCES[ask.language], *(["again"] * place))[: 3 + place]
        words = tuple(Word(text, float(np.log(max(0.1, 0.9 - 0.2 * at)))) for at, text in enumerate(texts))
        if maps is not None:
            maps = np.concatenate([maps, np.full((place, 7, 7), 1 / 49, np.float32)])
        return Caption(" ".join(texts), -0.5, 0.61 - 0.1 * place, words, ask.language, maps)


VIEWPORT = {"width": 1280, "height": 900}
TIMEOUT = 30_000
"""Milliseconds in which a page must do what it is told, on a machine that is busy with other things, too."""


class Running:
    def __init__(self, captioner: Captioner, limits: Limits, access: ServerConfig | None = None) -> None:
        self.captioner: Any = captioner
        self.site = Application(captioner, limits, access or ServerConfig())
        listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.server = Server(self.site)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [listener]})
        self.thread.start()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Within, no caption is written, so that pages are seen waiting."""
        self.captioner.go.clear()
        try:
            yield
        finally:
            self.captioner.go.set()

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(30)
        assert not self.thread.is_alive() and self.site.close(10)


class Page:
    """One window; what it asked for, and what the browser complained of."""

    def __init__(
        self,
        browser: Any,
        server: Running,
        url: str = "",
        clock: bool = False,
        before: Callable[[Any], None] | None = None,
        window: Any = None,
        **options: Any,
    ) -> None:
        """`url`: of a proxy before the server. `clock`: timers run as fast as the test says, with `wait`. `before`: is
        given the browser's page before it opens the server's. `window`: the browser's page of a `Page` that was left;
        it has no options."""
        self.page = (
            window or browser.new_context(**{"viewport": VIEWPORT, "reduced_motion": "reduce", **options}).new_page()
        )
        self.context = self.page.context
        self.server, self.requests, self.complaints = server, [], []
        self.page.set_default_timeout(TIMEOUT)
        self.listeners = {
            "request": lambda request: self.requests.append((request.method, request.url)),
            "console": lambda message: self.complaints.append(f"{message.type}: {message.text}"),
            "pageerror": lambda error: self.complaints.append(str(error)),
        }
        for event, listener in self.listeners.items():
            self.page.on(event, listener)
        if clock:
            self.page.clock.install()
        if before is not None:
            before(self.page)
        self.page.goto(url or server.url)
        self.page.wait_for_selector(".thumbnail")

    def leave(self) -> Any:
        """The browser's page, empty again. The server's page stores nothing in the browser."""
        for event, listener in self.listeners.items():
            self.page.remove_listener(event, listener)
        self.page.unroute_all()
        self.page.mouse.move(0, 0)
        self.page.set_viewport_size(VIEWPORT)
        self.page.goto("about:blank")
        return self.page

    def choose(self, data: bytes, name: str = "photo.png") -> None:
        file = {"name": name, "mimeType": "image/png", "buffer": data}
        self.page.set_input_files("[data-input=file]", file)

    def captioned(self) -> list[str]:
        """The words, when the caption has come."""
        self.page.wait_for_selector(".result[aria-busy=false] .word")
        return [word.inner_text() for word in self.page.query_selector_all(".word")]

    def wait(self, seconds: float) -> None:
        """Not in truth: the page's own clock goes forward."""
        self.page.clock.fast_forward(round(1000 * seconds))

    def set_captions(self, count: int) -> None:
        """As a person drags the slider, which rests then."""
        self.page.get_by_label("Captions", exact=True).fill(str(count))

    def announced(self) -> str:
        """What a screen reader is told."""
        return str(self.page.inner_text(".live"))

    def photo(self) -> Image.Image:
        """What the image shows, in its own size."""
        return self._opened(
            """image => {
            const [width, height] = [image.naturalWidth, image.naturalHeight];
            const canvas = Object.assign(document.createElement("canvas"), { width, height });
            canvas.getContext("2d").drawImage(image, 0, 0);
            return canvas.toDataURL("image/png");
        }""",
            ".image",
        )

    def map(self) -> Image.Image:
        self.page.wait_for_selector(".attention[data-shown=true]")
        return self._opened("canvas => canvas.toDataURL('image/png')", ".attention")

    def _opened(self, script: str, selector: str) -> Image.Image:
        url = self.page.eval_on_selector(selector, script)
        return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB")

    def downloaded(self, button: str) -> tuple[str, bytes]:
        """Name and content of the file that a button gives."""
        with self.page.expect_download() as download, tempfile.TemporaryDirectory() as folder:
            self.page.get_by_role("button", name=button).click()
            download.value.save_as(Path(folder) / "file")
            return download.value.suggested_filename, (Path(folder) / "file").read_bytes()


def a_photo(width: int = 280, height: int = 140) -> bytes:
    """A PNG of soft colours, that a JPEG changes little."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    pixels = np.stack([60 + 120 * x, 60 + 120 * y, 180 - 100 * x], axis=-1).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def weights(word: int) -> np.ndarray:
    grid = np.zeros((7, 7), np.float32)
    grid[CELLS[word]] = 1
    return grid


def isolated(name: str) -> str:
    """As the page writes names, whose direction may be another than that of the sentence around."""
    return f"\u2068{name}\u2069"


def named(name: str, message: str) -> str:
    return f"{isolated(name)}: {message}"


def press(page: Any, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)
