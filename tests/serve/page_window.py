"""What the tests of the page need: a server in a thread, a network with known attention, and a window of a browser."""

import base64
import dataclasses
import io
import socket
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image
from tests.fake_stepper import FakeStepper

from showtell.core.bundle import builtin, load_bundle
from showtell.core.captioner import Ask, Captioner
from showtell.records import Caption, Word
from showtell.serve.limits import Limits
from showtell.serve.server import Access, Server, Site

SENTENCES = {"en": ("two", "dogs", "run"), "ar": ("كلب", "بني", "يجري")}
CELLS = ((0, 0), (2, 5), (6, 3))
"""Row and column at which the network looks for each word."""


class Scripted(Captioner):
    """Says the same of every photo, looks at one cell for each word, and has the built-in model's settings."""

    def __init__(self, crop: str = "squash", looks: bool = True, calibrated: bool = True) -> None:
        bundle = load_bundle(builtin())
        pixels = bundle.manifest.pixels.model_copy(update={"crop": crop})
        changes: dict[str, Any] = {"pixels": pixels} | ({} if calibrated else {"calibration": {}})
        super().__init__(
            dataclasses.replace(bundle, manifest=bundle.manifest.model_copy(update=changes)), FakeStepper([])
        )
        self.looks = looks
        self.asked: list[Ask] = []
        self.go = threading.Event()
        self.go.set()

    def caption_prepared(self, photos: Sequence[Any], ask: Ask) -> list[tuple[Caption, ...]]:
        self.asked.append(ask)
        assert self.go.wait(60)
        maps = np.zeros((3, 7, 7), np.float32)
        for word, (row, column) in enumerate(CELLS):
            maps[word, row, column] = 1
        return [tuple(self._say(ask, place, maps if self.looks else None) for place in range(ask.num)) for _ in photos]

    def _say(self, ask: Ask, place: int, maps: np.ndarray | None) -> Caption:
        texts = (*SENTENCES[ask.language], *(["again"] * place))[: 3 + place]
        words = tuple(Word(text, float(np.log(max(0.1, 0.9 - 0.2 * at)))) for at, text in enumerate(texts))
        if maps is not None:
            maps = np.concatenate([maps, np.full((place, 7, 7), 1 / 49, np.float32)])
        return Caption(" ".join(texts), -0.5, 0.61 - 0.1 * place, words, ask.language, maps)


class Running:
    def __init__(self, captioner: Captioner, limits: Limits) -> None:
        self.captioner: Any = captioner
        self.site = Site(captioner, limits, Access())
        listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.server = Server(self.site)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [listener]})
        self.thread.start()

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(30)
        assert not self.thread.is_alive() and self.site.close(10)


class Page:
    """One window; what it asked for, and what the browser complained of."""

    def __init__(self, browser: Any, server: Running, **options: Any) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        self.server, self.requests, self.complaints = server, [], []
        self.page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        self.page.on("request", lambda request: self.requests.append((request.method, request.url)))
        self.page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(server.url)
        self.page.wait_for_selector(".st-thumb")

    def choose(self, data: bytes, name: str = "photo.png") -> None:
        file = {"name": name, "mimeType": "image/png", "buffer": data}
        self.page.set_input_files("[data-file=any]", file)

    def captioned(self) -> list[str]:
        """The words, when the caption has come."""
        self.page.wait_for_selector(".st-result[aria-busy=false] .st-word")
        return [each.inner_text() for each in self.page.query_selector_all(".st-word")]

    def photo(self) -> Image.Image:
        return self._opened(self.page.get_attribute(".st-image", "src"))

    def map(self) -> Image.Image:
        self.page.wait_for_selector(".st-map[data-shown=true]")
        return self._opened(self.page.eval_on_selector(".st-map", "canvas => canvas.toDataURL('image/png')"))

    def _opened(self, url: str) -> Image.Image:
        return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB")


def a_photo(width: int = 280, height: int = 140) -> bytes:
    """A PNG of soft colours, that a JPEG changes little."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    pixels = np.stack([60 + 120 * x, 60 + 120 * y, 180 - 100 * x], axis=-1).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def weights(word: int) -> np.ndarray:
    found = np.zeros((7, 7), np.float32)
    found[CELLS[word]] = 1
    return found


def press(page: Any, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)
