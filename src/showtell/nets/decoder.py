"""What every decoder offers: the seam between a network, its training, its export and its search.

`Tensors` are named tensors whose first dimension is the image: a memory is computed once per image, a state has the
rows `[B, K]` (images by beams) in front. A decoder sees memory and tokens and nothing else, so any encoder meets any
decoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

Tensors = dict[str, Tensor]


class Advanced(NamedTuple):
    """One word further, in every row."""

    hidden: Tensor
    """[B, K, D]: `logits` makes words of it."""
    state: Tensors
    attention: Tensor | None
    """[B, K, S]"""
    chosen: Tensor | None = None
    """[B, K]: log-probability of the one region that hard attention looked at, in training."""


class Taught(NamedTuple):
    """The outcome of a pass over N captions of each image."""

    hidden: Tensor
    """[B, N, T, D]: apart from `logits`, so that padding costs no vocabulary."""
    attention: Tensor | None
    """[B, N, T, S]"""
    chosen: Tensor | None = None
    """[B, N, T], as in `Advanced`."""


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

    def advance(self, tokens: Tensor, memory: Tensors, state: Tensors) -> Advanced:
        """Read one word per row: tokens [B, K]."""
        raise NotImplementedError

    def logits(self, hidden: Tensor) -> Tensor:
        """[..., D] -> [..., V]"""
        raise NotImplementedError

    def step(self, tokens: Tensor, memory: Tensors, state: Tensors) -> tuple[Tensor, Tensors, Tensor | None]:
        """One word per row: tokens [B, K] -> logits [B, K, V], the next state, attention [B, K, S] or None."""
        after = self.advance(tokens, memory, state)
        return self.logits(after.hidden), after.state, after.attention

    def teach(self, tokens: Tensor, memory: Tensors) -> Taught:
        """The true words [B, N, T], padded behind their end. A decoder that can do it all at once overrides this."""
        return self.unroll(tokens, memory, [True] * tokens.shape[2])

    def unroll(self, tokens: Tensor, memory: Tensors, forced: Sequence[bool]) -> Taught:
        """Word by word. Where `forced[t]` is false, every row reads the word that it found likeliest itself, and not
        the t-th of `tokens` [B, N, T] (scheduled sampling, Bengio et al. 2015, with the likeliest word for the sampled
        one). The first word is always given."""
        rows = tokens.shape[1]
        state = {name: row.expand(-1, rows, *row.shape[2:]) for name, row in self.start(memory).items()}
        steps: list[Advanced] = []
        for t, force in enumerate(forced):
            if force or not steps:
                newest = tokens[:, :, t]
            else:
                with torch.no_grad():
                    newest = self.logits(steps[-1].hidden).argmax(-1)
            steps.append(self.advance(newest, memory, state))
            state = steps[-1].state
        return Taught(
            torch.stack([step.hidden for step in steps], 2),
            _stacked([step.attention for step in steps]),
            _stacked([step.chosen for step in steps]),
        )


def _stacked(rows: Sequence[Tensor | None]) -> Tensor | None:
    """[B, N, ...] of every word -> [B, N, T, ...], or None where there is nothing."""
    there = [row for row in rows if row is not None]
    return torch.stack(there, 2) if there else None
