"""How long the photos in the queue will take, from how long others took.

An estimate rises at once, and falls by a fifth of the difference with each batch: too high, it refuses a request that
could have been answered, who asks again; too low, it admits one that ends without an answer. What runs at the moment
counts as soon as it takes longer than the estimate.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

INITIAL_SECONDS_PER_IMAGE: Final = 0.1
"""Until the first batch has been timed."""
FALL: Final = 0.2


class WorkEstimate:
    """Not thread-safe: the batcher calls it within its lock."""

    def __init__(self, clock: Callable[[], float], batch_size: int, loaders: int) -> None:
        """`clock` gives monotonic seconds; `loaders`: threads that load images beside the model."""
        self._clock, self._batch_size, self._loaders = clock, batch_size, loaders
        self._in_model: float | None = None
        self._in_loader = 0.0
        self._begun_at, self._running = 0.0, 0

    def begin_batch(self, images: int) -> None:
        self._begun_at, self._running = self._clock(), images

    def end_batch(self) -> float:
        """Seconds that it took."""
        seconds = self._clock() - self._begun_at
        sample = seconds / self._running
        known = sample if self._in_model is None else self._in_model
        self._in_model = max(sample, known + FALL * (sample - known))
        self._running = 0
        return seconds

    def fail_batch(self) -> None:
        """It ended without a result, and says nothing of how long one takes."""
        self._running = 0

    def image_loaded(self, seconds: float) -> None:
        """An average: a thread that had to wait for a core makes one photo look slow."""
        self._in_loader += FALL * (seconds - self._in_loader)

    @property
    def seconds_per_image(self) -> float:
        """Of the slower stage: images are loaded while the model works on others."""
        in_model = INITIAL_SECONDS_PER_IMAGE if self._in_model is None else self._in_model
        if self._running:
            in_model = max(in_model, (self._clock() - self._begun_at) / self._running)
        return max(in_model, self._in_loader / self._loaders)

    def seconds_until_done(self, images: int) -> float:
        """Until so many of the waiting images have left, those of the running batch first: a whole batch at a time."""
        per_image, seconds = self.seconds_per_image, 0.0
        if self._running:
            seconds = max(0.0, self._begun_at + self._running * per_image - self._clock())
            images -= self._running
        return seconds + math.ceil(max(0, images) / self._batch_size) * self._batch_size * per_image
