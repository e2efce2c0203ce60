"""Features without a cache (`train.cache_features=false`): photos are read, augmented and encoded anew in every epoch.

For data whose features no disk holds: a photo of 20 kB has features of 200 kB in every view. A view has the same pixels
as in the cache, so that a run is the same but for rounding, and resumes in mid-epoch like any other; here a view costs
nothing, and there may be a thousand. Photos are read by threads, ahead of the network, from wherever the data has them:
files, tar shards here or in object storage, Parquet.

Rejected: a shuffle window over shards read from their beginning, as WebDataset has it. Photos of a tar or Parquet file
are stretches that can be read in any order, and an order that is a function of seed and epoch alone is what resuming
counts on.
"""

from __future__ import annotations

import contextlib
import itertools
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from showtell.core.pixels import normalise
from showtell.nets.encoder import Encoder
from showtell.records import Sample
from showtell.train.augment import RandAugment
from showtell.train.batch_source import Wanted
from showtell.train.photo_views import Key, PhotoViews

AT_ONCE = 16
"""Photos that the threads take from the plan together; twice as many are read ahead."""


class StreamedFeatures:
    def __init__(self, encoder: Encoder, samples: Sequence[Sample], seed: int, rand: RandAugment, mirror: bool) -> None:
        self._encoder = encoder
        self._photos = PhotoViews(samples, encoder.pixels, seed, rand, mirror)
        self._plan: deque[Wanted] = deque()
        """The batches that come next; their photos are being read, in this order."""
        self._pixels: Iterator[np.ndarray] = iter(())

    def __len__(self) -> int:
        return len(self._photos.samples)

    @contextlib.contextmanager
    def ahead(self, plan: Iterable[Wanted]) -> Iterator[None]:
        wanted = tuple(plan)
        keys = (key for images, views in wanted for key in _keys(images, views))
        with contextlib.closing(self._read(keys)) as self._pixels:
            self._plan.extend(wanted)
            try:
                yield
            finally:
                self._plan.clear()

    def batch(self, images: np.ndarray, views: np.ndarray | int = 0) -> Tensor:
        keys = _keys(images, np.broadcast_to(views, images.shape))
        if self._plan and _keys(*self._plan[0]) == keys:
            self._plan.popleft()
            pixels = list(itertools.islice(self._pixels, len(keys)))
        else:
            with contextlib.closing(self._read(iter(keys))) as read:
                pixels = list(read)
        normalised = torch.from_numpy(normalise(np.stack(pixels), self._encoder.pixels))
        return self._encode(normalised) if len(self._encoder.frozen) else normalised

    @torch.no_grad()
    def _encode(self, pixels: Tensor) -> Tensor:
        """Rounded as in the cache."""
        device = next(self._encoder.parameters()).device
        return self._encoder.forward_frozen(pixels.to(device)).half().float()

    def _read(self, keys: Iterator[Key]) -> Generator[np.ndarray, None, None]:
        """The pixels of each photo `[H, W, 3]`, in order."""
        with contextlib.closing(self._photos.ahead(keys, AT_ONCE)) as batches:
            yield from itertools.chain.from_iterable(batches)


def _keys(images: np.ndarray, views: np.ndarray) -> list[Key]:
    return [(int(image), int(view)) for image, view in zip(images, views, strict=True)]
