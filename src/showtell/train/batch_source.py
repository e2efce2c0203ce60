"""Where the features of a training batch come from: the cache, a file of features, or the photos themselves."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Protocol

import numpy as np
from torch import Tensor

Wanted = tuple[np.ndarray, np.ndarray]
"""Images `[B]` and their views `[B]`."""


class BatchSource(Protocol):
    """N photos in several views, by number."""

    def __len__(self) -> int: ...

    def batch(self, images: np.ndarray, views: np.ndarray | int = 0) -> Tensor:
        """`images` `[B]`, `views` `[B]` -> the input of `Encoder.forward_trainable`, float32 `[B, ...]`.

        Raises BadData, naming the photo, for one that cannot be read, StorageUnreachable for one that does not arrive.
        """
        ...

    def ahead(self, plan: Iterable[Wanted]) -> AbstractContextManager[object]:
        """While it lasts, `batch` is called for these in their order, perhaps among other calls."""
        ...
