"""The pooled features of photos, which a reranker reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from showtell.core.captioner import Captioner, PreprocessedImage
from showtell.core.load_ahead import load_ahead
from showtell.core.stepper import POOLED
from showtell.errors import BadImage


def pooled_features(
    captioner: Captioner, images: Iterable[object], batch_size: int, advance: Callable[[int], None]
) -> tuple[NDArray[np.float32], list[bool]]:
    """`[N, C]` of the images that can be used, and of each image whether it can; `images` are what `Captioner.caption`
    takes. `advance` is told of the images of each batch."""
    features: list[Any] = []
    usable: list[bool] = []
    for batch in load_ahead(iter(images), captioner.preprocess, batch_size):
        good: list[PreprocessedImage] = []
        for _, pixels in batch:
            if isinstance(pixels, BaseException) and not isinstance(pixels, BadImage):
                raise pixels
            if not isinstance(pixels, BaseException):
                good.append(pixels)
        if good:
            features.append(captioner.encode(good)[POOLED])
        usable += [not isinstance(pixels, BadImage) for _, pixels in batch]
        advance(len(batch))
    return np.concatenate(features or [np.empty((0, 0), np.float32)]), usable
