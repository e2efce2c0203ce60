"""Additive and dot-product attention, from their equations."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from showtell.nets.dropout import dropout as drop


def dot_product_attention(
    queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None, dropout: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Scaled dot-product attention (Vaswani et al. 2017, equation 1): softmax(Q K^T / sqrt(d)) V.

    queries [..., Q, d], keys and values [..., S, d], mask [Q, S] true where attending is allowed
    -> [..., Q, d] and the weights [..., Q, S]. `dropout` is the rate on the weights; 0 outside training.
    """
    scores = queries @ keys.transpose(-2, -1) / math.sqrt(queries.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    weights = scores.softmax(-1)
    return drop(weights, dropout) @ values, weights


def prefixed_attention(
    queries: Tensor,
    prefix_keys: Tensor,
    prefix_values: Tensor,
    keys: Tensor,
    values: Tensor,
    mask: Tensor | None = None,
    dropout: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Dot-product attention over an image's keys, which its K rows share, and each row's own, in one softmax.

    queries [B, K, heads, Q, d]; prefix keys and values [B, heads, S, d]; keys and values [B, K, heads, T, d]; mask
    [Q, T] on the own keys as in `dot_product_attention` -> [B, K, heads, Q, d] and the weights on the prefix
    [B, K, heads, Q, S]. Prefix and own keys are multiplied apart: together, the prefix would be copied for every row.
    """
    rows, length, regions = queries.shape[1], queries.shape[3], prefix_keys.shape[2]
    on_prefix = _by_row(_by_image(queries) @ prefix_keys.transpose(-2, -1), rows, length)
    on_own = queries @ keys.transpose(-2, -1)
    if mask is not None:
        on_own = on_own.masked_fill(~mask, -torch.inf)
    weights = (torch.cat([on_prefix, on_own], -1) / math.sqrt(queries.shape[-1])).softmax(-1)
    dropped = drop(weights, dropout)
    from_prefix = _by_row(_by_image(dropped[..., :regions]) @ prefix_values, rows, length)
    return from_prefix + dropped[..., regions:] @ values, weights[..., :regions]


def _by_image(x: Tensor) -> Tensor:
    """[B, K, heads, Q, d] -> [B, heads, K * Q, d]"""
    return x.transpose(1, 2).flatten(2, 3)


def _by_row(x: Tensor, rows: int, length: int) -> Tensor:
    """[B, heads, K * Q, d] -> [B, K, heads, Q, d]"""
    return x.reshape(*x.shape[:2], rows, length, x.shape[3]).transpose(1, 2)


class AttentionOutput(NamedTuple):
    context: Tensor
    """[B, K, C]"""
    weights: Tensor
    """[B, K, S]"""
    region_log_prob: Tensor | None
    """[B, K]: log-probability of the sampled region; None unless attention is hard and in training."""


class AdditiveAttention(nn.Module):
    """Bahdanau et al. 2015; Xu et al. 2015, equations 4 to 6.

    soft:  e_i = v . f(a_i, h),  alpha = softmax(e),  context = sum_i alpha_i a_i
    hard:  context = a_s, with s sampled from alpha in training (their section 4.1), the argmax otherwise
    """

    def __init__(self, channels: int, width: int, attention_dim: int, energy: str = "relu", hard: bool = False) -> None:
        """`energy`: f is relu(W_a a + b + W_h h + b'), or tanh(W [a; h] + b), where W = [W_a W_h] is kept in two parts
        because W_a a is the same at every step."""
        super().__init__()
        self.encoder_att = nn.Linear(channels, attention_dim)
        self.decoder_att = nn.Linear(width, attention_dim, bias=energy == "relu")
        self.energy = nn.Linear(attention_dim, 1)
        self.activation = torch.relu if energy == "relu" else torch.tanh
        self.hard = hard

    def keys(self, regions: Tensor) -> Tensor:
        """[B, S, C] -> [B, S, A]: once per image."""
        keys: Tensor = self.encoder_att(regions)
        return keys

    def forward(self, hidden: Tensor, keys: Tensor, regions: Tensor) -> AttentionOutput:
        """hidden [B, K, D], keys [B, S, A], regions [B, S, C]"""
        queries = self.decoder_att(hidden).unsqueeze(2)  # [B, K, 1, A]
        energies = self.energy(self.activation(queries + keys.unsqueeze(1))).squeeze(-1)  # [B, K, S]
        weights = energies.softmax(-1)
        if not self.hard:
            return AttentionOutput(weights @ regions, weights, None)
        if not self.training:
            return AttentionOutput(_gather_regions(regions, weights.argmax(-1)), weights, None)
        sampled = torch.multinomial(weights.detach().flatten(0, 1), 1).view(weights.shape[:2])
        log_prob = energies.float().log_softmax(-1).gather(-1, sampled.unsqueeze(-1)).squeeze(-1)
        return AttentionOutput(_gather_regions(regions, sampled), weights, log_prob)


def _gather_regions(regions: Tensor, index: Tensor) -> Tensor:
    """regions [B, S, C], index [B, K] -> [B, K, C]"""
    return regions.gather(1, index.unsqueeze(-1).expand(-1, -1, regions.shape[-1]))
