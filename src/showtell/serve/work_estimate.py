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
RECENT_SECONDS: Final = 60.0


class _Average:
    """Seconds per image, of which the last ones weigh most."""

    def __init__(self, images: int, seconds_per_image: float) -> None:
        self._images, self._seconds = float(images), images * seconds_per_image

    def add(self, images: int, seconds: float, decay: float) -> None:
        self._images = decay * self._images + images
        self._seconds = decay * self._seconds + seconds

    def including(self, images: int, seconds: float) -> float:
        return (self._seconds + seconds) / (self._images + images)


class WorkEstimate:
    """Not thread-safe: the batcher calls it within its lock."""

    def __init__(self, clock: Callable[[], float], batch_size: int, loaders: int) -> None:
        """`clock` gives monotonic seconds; `loaders`: threads that load images beside the model."""
        self._clock, self._batch_size, self._loaders = clock, batch_size, loaders
        self._in_model = _Average(batch_size, INITIAL_SECONDS_PER_IMAGE)
        self._in_loader = _Average(batch_size, 0.0)
        self._measured_at: float | None = None
        self._begun_at, self._running = 0.0, 0

    def begin_batch(self, images: int) -> None:
        self._begun_at, self._running = self._clock(), images

    def end_batch(self) -> float:
        """Seconds that it took."""
        seconds = self._clock() - self._begun_at
        if self._measured_at is None:  # with the weight of a full batch, whatever its size
            self._in_model = _Average(self._batch_size, seconds / self._running)
        else:
            self._in_model.add(self._running, seconds, DECAY)
        self._measured_at = self._clock()
        self._running = 0
        return seconds

    def fail_batch(self) -> None:
        """It ended without a result, and says nothing of how long one takes."""
        self._running = 0

    def image_loaded(self, seconds: float) -> None:
        self._in_loader.add(1, seconds, DECAY ** (1 / self._batch_size))

    @property
    def is_recent(self) -> bool:
        """Whether a batch has ended within the last minute. Else whatever made the last one slow may be over."""
        return self._measured_at is not None and self._clock() - self._measured_at < RECENT_SECONDS

    @property
    def seconds_per_image(self) -> float:
        """Of the slower stage: images are loaded while the model works on others."""
        so_far = self._clock() - self._begun_at if self._running else 0.0
        in_model = max(self._in_model.including(0, 0.0), self._in_model.including(self._running, so_far))
        return max(in_model, self._in_loader.including(0, 0.0) / self._loaders)

    def seconds_until_done(self, images: int, waiting: int) -> float:
        """Until `images` of those that are waiting have left, those of the running batch first, a whole batch at a
        time."""
        per_image, seconds = self.seconds_per_image, 0.0
        if self._running:
            seconds = max(0.0, self._begun_at + self._running * per_image - self._clock())
        batches = math.ceil(max(0, images - self._running) / self._batch_size)
        return seconds + min(batches * self._batch_size, max(0, waiting - self._running)) * per_image
