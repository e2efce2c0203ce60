"""How long the photos in the queue will take, from how long others took.

Seconds over images of the last batches, older ones with less and less weight. What runs at the moment counts as soon as
it takes longer. Rejected: the slowest of them, since one photo alone that had to wait for a core would then make the
server refuse dozens; an average over batches, in which that photo weighs as much as a full batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

INITIAL_SECONDS_PER_IMAGE: Final = 0.1
"""Until the first batch has been timed."""
DECAY: Final = 0.8
"""Of the weight of earlier batches, with each one."""


class WorkEstimate:
    """Not thread-safe: the batcher calls it within its lock."""

    def __init__(self, clock: Callable[[], float], batch_size: int, loaders: int) -> None:
        """`clock` gives monotonic seconds; `loaders`: threads that load images beside the model."""
        self._clock, self._batch_size, self._loaders = clock, batch_size, loaders
        self._images, self._seconds = float(batch_size), batch_size * INITIAL_SECONDS_PER_IMAGE
        self._is_measured = False
        self._in_loader = 0.0
        self._begun_at, self._running = 0.0, 0

    def begin_batch(self, images: int) -> None:
        self._begun_at, self._running = self._clock(), images

    def end_batch(self) -> float:
        """Seconds that it took."""
        seconds = self._clock() - self._begun_at
        if self._is_measured:
            self._images = DECAY * self._images + self._running
            self._seconds = DECAY * self._seconds + seconds
        else:  # with the weight of a full batch, whatever its size
            self._seconds = self._images * seconds / self._running
            self._is_measured = True
        self._running = 0
        return seconds

    def fail_batch(self) -> None:
        """It ended without a result, and says nothing of how long one takes."""
        self._running = 0

    def image_loaded(self, seconds: float) -> None:
        self._in_loader += (1 - DECAY) * (seconds - self._in_loader)

    @property
    def seconds_per_image(self) -> float:
        """Of the slower stage: images are loaded while the model works on others."""
        in_model = self._seconds / self._images
        if self._running:
            so_far = self._clock() - self._begun_at
            in_model = max(in_model, (self._seconds + so_far) / (self._images + self._running))
        return max(in_model, self._in_loader / self._loaders)

    def seconds_until_done(self, images: int) -> float:
        """Until so many of the waiting images have left, those of the running batch first: a whole batch at a time."""
        per_image, seconds = self.seconds_per_image, 0.0
        if self._running:
            seconds = max(0.0, self._begun_at + self._running * per_image - self._clock())
            images -= self._running
        return seconds + math.ceil(max(0, images) / self._batch_size) * self._batch_size * per_image
