"""What search sees of a network: one new word at a time, for many images and several sentences of each.

Rows stand in a grid `[B, K]`, images by beams, rather than in one list of `R = B*K`: the keys and values of an image
are shared by its row of the grid without being copied per beam, and neither numpy nor an ONNX graph has to divide R by
B.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Step:
    """One word further."""

    log_probs: Floats
    """`[B, K, V]`: natural logarithms of the probabilities of the next word. The search may write into it."""
    state: Any
    attention: Floats | None
    """`[B, K, S]`: where the network looked for this word; `None` when it cannot say."""


class Stepper(Protocol):
    """A captioning network, whatever runs it: ONNX Runtime, torch, or a script in a test."""

    def encode(self, pixels: Any) -> Any:
        """`[B, 3, H, W]` float32 -> the memory of B images: all that is computed once per image."""
        ...

    def start(self, memory: Any) -> Any:
        """The state before the first word: B images, one row each."""
        ...

    def step(self, tokens: Ids, state: Any) -> Step:
        """Read `tokens` `[B, K]`, the newest word of every row (at first: the language's start token)."""
        ...

    def select(self, state: Any, images: Ids, beams: Ids) -> Any:
        """The state whose row `[b, k]` is the old row `[images[b], beams[b, k]]`.

        `images` `[B']` ascending, without repetition; `beams` `[B', K']`: one operation reorders beams, widens one row
        to K, and lets finished images leave.
        """
        ...
