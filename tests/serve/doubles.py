"""Networks for the server's tests: quick, and stopped or slowed down as a test needs."""

import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from tests.fake_stepper import FakeStepper

from showtell.core.bundle import builtin, load_bundle
from showtell.core.captioner import Ask, Captioner
from showtell.core.image import load_image
from showtell.errors import BadImage
from showtell.records import Caption, Word


class FakeNetwork:
    """Images are words, and a caption is the word with what was asked; `broken` ones are BadImages.

    `go` holds it up while it is cleared; `batches` and `loaded` tell what it was given, in order.
    """

    def __init__(self) -> None:
        self.go = threading.Event()
        self.go.set()
        self.running = threading.Event()
        self.batches: list[list[str]] = []
        self.loaded: list[str] = []
        self.fails_on: str | None = None

    def prepare(self, image: Any, max_pixels: int) -> Any:
        self.loaded.append(image)
        if image.startswith("broken"):
            raise BadImage("truncated", image)
        if image == "bug":
            raise RuntimeError("a bug in loading")
        return (image,)

    def caption_prepared(self, photos: Sequence[Any], ask: Ask) -> list[tuple[Caption, ...]]:
        words = [photo[0] for photo in photos]
        self.batches.append(words)
        self.running.set()
        assert self.go.wait(30)
        if self.fails_on in words:
            raise RuntimeError("a bug in the network")
        return [(caption(word, ask.language),) for word in words]


def caption(text: str, language: str = "en", attention: bool = False) -> Caption:
    maps = np.full((1, 7, 7), 1 / 49, np.float32) if attention else None
    return Caption(text, -0.5, 0.6, (Word(text, -0.5),), language, maps)


class QuickCaptioner(Captioner):
    """The built-in model's settings and languages and the real loading of photos, but no network: the caption is the
    photo's mean colour. `go` and `seconds` hold it up."""

    def __init__(self) -> None:
        super().__init__(load_bundle(builtin()), FakeStepper([]))
        self.go = threading.Event()
        self.go.set()
        self.seconds = 0.0
        self.photos = 0
        self.running = threading.Event()

    def caption_prepared(self, photos: Sequence[Any], ask: Ask) -> list[tuple[Caption, ...]]:
        self.running.set()
        assert self.go.wait(60)
        time.sleep(self.seconds * len(photos))
        self.photos += len(photos)
        means = [" ".join(str(round(float(c))) for c in views[0].mean(axis=(0, 1))) for views in photos]
        return [(caption(mean, ask.language, ask.attention),) * ask.num for mean in means]


def mean_colour(data: bytes) -> str:
    """What QuickCaptioner says of a photo of one colour."""
    return " ".join(map(str, load_image(data).getpixel((0, 0))))  # type: ignore[arg-type]
