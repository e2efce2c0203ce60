"""Dropout (Srivastava et al. 2014) with cheap random numbers on a CPU.

torch draws one number of the Mersenne Twister per element there, and one after the other: a seventh of a training step
of the built-in model. Here one draw of 64 bits serves four elements, each of which compares 16 bits with the rate. The
generator is torch's, so that a saved state of it repeats the masks.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

LEVELS = 1 << 16


def dropout(x: Tensor, rate: float, training: bool = True) -> Tensor:
    """`x` with a share `rate` of its elements set to zero and the others scaled up, so that the mean stays; `x` itself
    outside training. On a CPU the rate is rounded to a multiple of 2^-16."""
    threshold = round(rate * LEVELS)
    is_ours = x.device.type == "cpu" and 0 < threshold < LEVELS and not torch.compiler.is_compiling()
    if not training or not is_ours:
        return functional.dropout(x, rate, training)
    bits = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
    is_kept = bits[: x.numel()].view(x.shape) >= threshold - LEVELS // 2
    return x * is_kept.to(x.dtype).mul_(LEVELS / (LEVELS - threshold))


class Dropout(nn.Dropout):
    """`dropout` as a layer."""

    def forward(self, input: Tensor) -> Tensor:
        return dropout(input, self.p, self.training)
