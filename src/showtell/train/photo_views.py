"""Views of photos as pixels: read by threads ahead of the network, augmented, resized. For the cache and for streams.

(photo, view) ... -> file, tar shard, Parquet or object -> RGB -> augmented -> uint8 [H, W, 3], in order
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from showtell.core.image import load_image
from showtell.core.load_ahead import LoadingHangs, load_ahead
from showtell.core.pixels import resize
from showtell.data.parquet import remote_parquet
from showtell.errors import BadData, BadImage, StorageUnreachable
from showtell.loading import LOADER_THREADS
from showtell.records import FeatureRow, Sample
from showtell.remote.opened import ObjectPart
from showtell.settings import PixelSettings
from showtell.train.augment import RandAugment, augment

PATIENCE: Final = 25.0
"""Seconds after which a photo that does not arrive is an error. Decoding the largest one takes two."""
REMOTE_PATIENCE: Final = 600.0
"""The same for photos in object storage: a request is made again seven times, and of a Parquet file a whole group of
rows is fetched."""
REMOTE_THREADS: Final = 8
"""For photos in tar shards there: each thread waits for a request of its own."""
_SAME_COMMAND: Final = "check its disk or network; the same command goes on"
Key = tuple[int, int]
"""Photo and view."""


@dataclass(frozen=True)
class PhotoViews:
    samples: Sequence[Sample]
    settings: PixelSettings
    seed: int
    rand: RandAugment
    mirror: bool

    def pixels(self, key: Key) -> np.ndarray:
        """uint8 `[H, W, 3]`. Raises BadData, naming the photo, for one that cannot be read, and StorageUnreachable for
        one that cannot be fetched now."""
        photo, view = key
        source, name = self.samples[photo].image, self.samples[photo].name
        assert not isinstance(source, FeatureRow)
        try:
            image = load_image(source)
        except BadImage as error:
            if error.code == "url_failed":
                raise StorageUnreachable(f"{name}: {error.detail}; {_SAME_COMMAND}") from error
            problem = f"{error.code} ({error.detail})"
            raise BadData(name, problem, "an image; `showtell data check` lists all that are not") from error
        return resize(augment(image, self.seed, photo, view, self.rand, self.mirror), self.settings)

    @cached_property
    def _patience_and_threads(self) -> tuple[float, int]:
        """Once: a stream calls `ahead` for every batch of validation."""
        if any(isinstance(sample.image, ObjectPart) for sample in self.samples):
            return REMOTE_PATIENCE, REMOTE_THREADS
        return REMOTE_PATIENCE if remote_parquet(self.samples) else PATIENCE, LOADER_THREADS

    def ahead(self, keys: Iterator[Key], at_once: int) -> Generator[list[np.ndarray], None, None]:
        """The pixels of each key, in order, `at_once` at a time; twice as many are read ahead. Raises as `pixels`."""
        patience, threads = self._patience_and_threads
        try:
            for batch in load_ahead(keys, self.pixels, at_once, patience, threads):
                loaded: list[np.ndarray] = []
                for _, outcome in batch:
                    if isinstance(outcome, BaseException):
                        raise outcome
                    loaded.append(outcome)
                yield loaded
        except LoadingHangs as hang:
            name = self.samples[hang.image[0]].name
            raise StorageUnreachable(
                f"{name}: the photo was not read within {patience:.0f} s; {_SAME_COMMAND}"
            ) from hang
