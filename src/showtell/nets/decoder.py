"""What every decoder offers: the seam between a network, its training, its export and its search.

`Tensors` are named tensors whose first dimension is the image: a memory is computed once per image, a state has the
rows `[B, K]` (images by beams) in front. A decoder sees memory and tokens and nothing else, so any encoder meets any
decoder.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from torch import Tensor, nn

Tensors = dict[str, Tensor]


class Taught(NamedTuple):
    """The outcome of a teacher-forced pass over N captions of each image."""

    hidden: Tensor
    """[B, N, T, D]: `logits` makes words of it; apart, so that padding costs no vocabulary."""
    attention: Tensor | None
    """[B, N, T, S]"""


class Decoder(nn.Module):
    """Base of all decoders."""

    growing: ClassVar[dict[str, tuple[int, ...]]] = {}
    """Of each tensor of the state, the dimensions that count the words so far."""

    def memory(self, regions: Tensor) -> Tensors:
        """[B, S, C] -> all that depends on the image alone."""
        raise NotImplementedError

    def start(self, memory: Tensors) -> Tensors:
        """The state before the first word: rows [B, 1]."""
        raise NotImplementedError

    def step(self, tokens: Tensor, memory: Tensors, state: Tensors) -> tuple[Tensor, Tensors, Tensor | None]:
        """One word per row: tokens [B, K] -> logits [B, K, V], the next state, attention [B, K, S] or None."""
        raise NotImplementedError

    def teach(self, tokens: Tensor, memory: Tensors) -> Taught:
        """The true words [B, N, T] all at once, padded behind their end."""
        raise NotImplementedError

    def logits(self, hidden: Tensor) -> Tensor:
        """[..., D] -> [..., V]"""
        raise NotImplementedError
