"""Fast models for the server's tests, which a test can hold up."""

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from tests.clocks import HANG_SECONDS, FakeClock
from tests.fake_stepper import FakeStepper

from showtell.core.bundle import builtin, load_bundle
from showtell.core.captioner import Captioner, GenerationOptions
from showtell.core.image import load_image
from showtell.errors import BadImage
from showtell.records import Caption, Word


class FakeModel:
    """Images are words, and a caption is the word in the requested language; `broken` ones are BadImages.

    `go` holds it up while it is cleared; `batches` and `loaded` are what it was given, in order. A batch takes
    `seconds` of the clock's time.
    """

    def __init__(self) -> None:
        self.go = threading.Event()
        self.go.set()
        self.running = threading.Event()
        self.batches: list[list[str]] = []
        self.loaded: list[str] = []
        self.fails_on: str | None = None
        self.clock, self.seconds = FakeClock(), 0.0

    def preprocess(self, image: Any, max_pixels: int) -> Any:
        self.loaded.append(image)
        if image.startswith("broken"):
            raise BadImage("truncated", image)
        if image == "bug":
            raise RuntimeError("a bug in loading")
        return (image,)

    def caption_preprocessed(self, photos: Sequence[Any], ask: GenerationOptions) -> list[tuple[Caption, ...]]:
        words = [photo[0] for photo in photos]
        self.batches.append(words)
        self.running.set()
        assert self.go.wait(HANG_SECONDS)
        self.clock.advance(self.seconds)
        if self.fails_on in words:
            raise RuntimeError("a bug in the model")
        return [(caption(word, ask.language),) for word in words]


def caption(text: str, language: str = "en", attention: bool = False) -> Caption:
    maps = np.full((1, 7, 7), 1 / 49, np.float32) if attention else None
    return Caption(text, -0.5, 0.6, (Word(text, -0.5),), language, maps)


class QuickCaptioner(Captioner):
    """The built-in model's settings and languages and the real loading of photos, but no model: the caption is the
    photo's mean colour. `go` holds it up while it is cleared."""

    def __init__(self) -> None:
        super().__init__(load_bundle(builtin()), FakeStepper([]))
        self.go = threading.Event()
        self.go.set()
        self.photos = 0
        self.running = threading.Event()

    def caption_preprocessed(self, photos: Sequence[Any], ask: GenerationOptions) -> list[tuple[Caption, ...]]:
        self.running.set()
        assert self.go.wait(HANG_SECONDS)
        self.photos += len(photos)
        means = [" ".join(str(round(float(c))) for c in views[0].mean(axis=(0, 1))) for views in photos]
        return [(caption(mean, ask.language, ask.attention),) * ask.num for mean in means]


def mean_colour(data: bytes) -> str:
    """What QuickCaptioner says of a photo of one colour."""
    return " ".join(map(str, load_image(data).getpixel((0, 0))))  # type: ignore[arg-type]
