"""Attention over image regions and over words, from its equations."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


def dot_product_attention(
    queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None, dropout: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Scaled dot-product attention (Vaswani et al. 2017, equation 1): softmax(Q K^T / sqrt(d)) V.

    queries [..., Q, d], keys and values [..., S, d], mask [Q, S] true where looking is allowed
    -> [..., Q, d] and the weights [..., Q, S]. `dropout` is the rate at which weights are dropped, now.
    """
    scores = queries @ keys.transpose(-2, -1) / math.sqrt(queries.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    weights = scores.softmax(-1)
    return functional.dropout(weights, dropout, training=dropout > 0) @ values, weights


class AdditiveAttention(nn.Module):
    """Bahdanau et al. 2015; Xu et al. 2015, equations 4 to 6, with a ReLU as in the field's common code.

    e_i = v . relu(W_a a_i + W_h h),  alpha = softmax(e),  context = sum_i alpha_i a_i
    """

    def __init__(self, channels: int, width: int, attention: int) -> None:
        super().__init__()
        self.of_regions = nn.Linear(channels, attention)
        self.of_hidden = nn.Linear(width, attention)
        self.energy = nn.Linear(attention, 1)

    def keys(self, regions: Tensor) -> Tensor:
        """[B, S, C] -> [B, S, A]: once per image."""
        projected: Tensor = self.of_regions(regions)
        return projected

    def forward(self, hidden: Tensor, keys: Tensor, regions: Tensor) -> tuple[Tensor, Tensor]:
        """hidden [B, K, D], keys [B, S, A], regions [B, S, C] -> context [B, K, C], weights [B, K, S]."""
        queries = self.of_hidden(hidden).unsqueeze(2)  # [B, K, 1, A]
        energies = self.energy(torch.relu(queries + keys.unsqueeze(1))).squeeze(-1)  # [B, K, S]
        weights = energies.softmax(-1)
        return weights @ regions, weights
