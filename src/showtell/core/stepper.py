"""The interface between search and network: one decoding step at a time, for many images and several hypotheses each.

Rows form a grid `[B, K]`, images by beams. Rejected: one list of `R = B*K` rows. In the grid the keys and values of an
image are shared by its beams without copies, and neither numpy nor an ONNX graph has to divide R by B.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ids = NDArray[np.int64]

POOLED: Final = "pooled"
"""The name in a memory, where it is a dictionary, of what a reranker reads: the mean of the image regions, `[B, C]`."""


@dataclass(frozen=True)
class Step:
    """The outcome of one decoding step."""

    log_probs: Floats
    """`[B, K, V]`: natural logarithms of the probabilities of the next token; where only the best were asked for, the
    N of those, `[B, K, N]`, best first. The search may write into it."""
    state: Any
    attention: Floats | None
    """`[B, K, S]`: attention over the image regions; `None` for a network without attention."""
    tokens: Ids | None = None
    """`[B, K, N]`: the ids of the best tokens; of equal ones the lower comes first. `None`: all V, in their order."""


class Stepper(Protocol):
    """A captioning network, whatever runs it: ONNX Runtime, torch, or a script in a test."""

    def encode(self, pixels: Any) -> Any:
        """`[B, 3, H, W]` float32 -> the memory of B images: everything that is computed once per image."""
        ...

    def init_state(self, memory: Any) -> Any:
        """The state before the first token: B images, one row each."""
        ...

    def step(self, tokens: Ids, state: Any, best: int | None = None) -> Step:
        """Read `tokens` `[B, K]`, the newest token of every row (first the start token of the language).

        `best`: only so many tokens of each row are asked for (all, where there are fewer); None: all in their order. A
        search needs some twenty of many thousands, and what is not asked for need not leave the device.
        """
        ...

    def reorder(self, state: Any, images: Ids, beams: Ids) -> Any:
        """The state whose row `[b, k]` is the old row `[images[b], beams[b, k]]`.

        `images` `[B']` ascending, without repetition; `beams` `[B', K']`: one operation reorders beams, expands one row
        to K, and drops finished images.
        """
        ...
