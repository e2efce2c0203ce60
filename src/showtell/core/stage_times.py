"""The time of each stage from a file to a row, for `showtell bench` and the benchmarks.

The stages run one after another here, so that each has the machine for itself. `Captioner.caption_many` reads, decodes
and resizes the next photos while the network works on a batch: it takes less time than the sum.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from showtell.core.decode import decode
from showtell.core.image import load_image
from showtell.core.pixels import normalise, resize, resized_side
from showtell.core.to_caption import to_caption
from showtell.records import CaptionRow

if TYPE_CHECKING:
    from showtell.core.captioner import Captioner

STAGES = ("read", "decode", "resize", "encode", "search", "write")
"""`read` the file, `decode` it, `resize` and normalise the pixels, `encode` them, `search` captions, `write` a row."""

Clock = Callable[[], float]


class Stopwatch:
    """Adds up seconds by name."""

    def __init__(self, clock: Clock = time.perf_counter) -> None:
        self.seconds: dict[str, float] = {}
        self._clock = clock

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        begin = self._clock()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + self._clock() - begin


def stage_times(
    captioner: Captioner,
    photos: Sequence[Path],
    batch_size: int,
    write: Callable[[CaptionRow], object],
    clock: Clock = time.perf_counter,
) -> dict[str, float]:
    """Seconds per photo of each of `STAGES`, in the captioner's first language and with its decode settings.

    Of one model, no ensemble. Raises BadImage for a photo that cannot be used.
    """
    watch = Stopwatch(clock)
    for begin in range(0, len(photos), batch_size):
        _one_batch(captioner, photos[begin : begin + batch_size], write, watch)
    return {stage: watch.seconds[stage] / len(photos) for stage in STAGES}


def _one_batch(
    captioner: Captioner, photos: Sequence[Path], write: Callable[[CaptionRow], object], watch: Stopwatch
) -> None:
    bundle, language = captioner.bundle, captioner.languages[0]
    tokenizer, pixel_settings = bundle.tokenizer, bundle.manifest.pixels
    with watch.measure("read"):
        files = [photo.read_bytes() for photo in photos]
    with watch.measure("decode"):
        images = [load_image(file, hint_size=resized_side(pixel_settings)) for file in files]
    with watch.measure("resize"):
        pixels = normalise(np.stack([resize(image, pixel_settings) for image in images]), pixel_settings)
    with watch.measure("encode"):
        memory = captioner.stepper.encode(pixels)
    with watch.measure("search"):
        found = decode(
            *(captioner.stepper, memory, len(photos), tokenizer, language, captioner.settings()),
            reranker=captioner.reranker,
        )
    prompt, curve = tokenizer.prompt_ids(language), bundle.manifest.calibration.get(language)
    with watch.measure("write"):
        for photo, hypotheses in zip(photos, found, strict=True):
            captions = tuple(to_caption(hypothesis, bundle, language, prompt, curve) for hypothesis in hypotheses)
            write(CaptionRow(str(photo), captions))
