"""Layers of the Transformer decoders: multi-head attention, feed-forward, residual connections and norms.

Norms are applied before each sublayer (pre-norm: Xiong et al. 2020) or after it (post-norm: Vaswani et al. 2017).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from showtell.nets.attention import dot_product_attention
from showtell.nets.dropout import Dropout
from showtell.settings import PrefixTransformerSettings, TransformerSettings

AnySettings = TransformerSettings | PrefixTransformerSettings


class Layer(nn.Module):
    """Shared by all layers: self-attention's projections, placement of norms, residual connections, feed-forward
    sublayer."""

    def __init__(self, settings: AnySettings) -> None:
        super().__init__()
        width = settings.width
        self.norm_first = settings.norm == "pre"
        self.activation = ACTIVATIONS[settings.activation]
        self.self_attention_norm = nn.LayerNorm(width, settings.norm_eps)
        self.self_attention = MultiHeadAttention(width, settings.heads)
        self.ffn_norm = nn.LayerNorm(width, settings.norm_eps)
        self.fc1 = nn.Linear(width, settings.ffn_dim)
        self.fc2 = nn.Linear(settings.ffn_dim, width)
        self.dropout = Dropout(settings.dropout)

    @property
    def attention_dropout(self) -> float:
        """The dropout rate on attention weights; 0 outside training."""
        return self.dropout.p if self.training else 0.0

    def pre_norm(self, x: Tensor, norm: nn.Module) -> Tensor:
        """The input of a sublayer."""
        normed: Tensor = norm(x) if self.norm_first else x
        return normed

    def add_residual(self, x: Tensor, update: Tensor, norm: nn.Module) -> Tensor:
        """`x` plus the sublayer's output; post-norm normalises the sum."""
        added: Tensor = x + self.dropout(update)
        return added if self.norm_first else norm(added)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[..., Q, D] -> self-attention's queries, keys and values, each [..., heads, Q, d]."""
        return self.self_attention.project(self.pre_norm(x, self.self_attention_norm))

    def add_attended(self, x: Tensor, attended: Tensor) -> Tensor:
        """`x` [..., Q, D] plus what self-attention gave, [..., heads, Q, d]."""
        return self.add_residual(x, self.self_attention.merge(attended), self.self_attention_norm)

    def project_token(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As `project`, of one token per row: [R, D] -> three times [R, heads, 1, d].

        A product with two dimensions is one node of an exported graph, its bias included; with more, adding the biases
        took a tenth of a step.
        """
        normed = self.pre_norm(x, self.self_attention_norm)
        attention, split = self.self_attention, self.self_attention.split_token
        return split(attention.query(normed)), split(attention.key(normed)), split(attention.value(normed))

    def add_attended_token(self, x: Tensor, attended: Tensor) -> Tensor:
        """`x` [R, D] plus what self-attention gave, [R, heads, 1, d]."""
        return self.add_residual(x, self.self_attention.output(attended.flatten(1)), self.self_attention_norm)

    def feed_forward(self, x: Tensor) -> Tensor:
        hidden = self.activation(self.fc1(self.pre_norm(x, self.ffn_norm)))
        return self.add_residual(x, self.fc2(self.dropout(hidden)), self.ffn_norm)


class EncoderLayer(Layer):
    """Self-attention over the regions, feed-forward."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, S, D] -> [B, S, D]"""
        q, k, v = self.project(x)
        attended, _ = dot_product_attention(q, k, v, dropout=self.attention_dropout)
        return self.feed_forward(self.add_attended(x, attended))


class DecoderLayer(Layer):
    """Causal self-attention over the tokens, cross-attention over the image, feed-forward."""

    def __init__(self, settings: TransformerSettings, image_width: int) -> None:
        """`image_width`: of the regions that cross-attention reads."""
        super().__init__(settings)
        self.cross_attention_norm = nn.LayerNorm(settings.width, settings.norm_eps)
        self.cross_attention = MultiHeadAttention(settings.width, settings.heads, image_width)

    def cross_attend(self, x: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """x [B, Q, D] over the image's keys and values [B, heads, S, d] -> [B, Q, D], weights [B, heads, Q, S]."""
        queries = self.cross_attention.queries(self.pre_norm(x, self.cross_attention_norm))
        attended, weights = dot_product_attention(queries, keys, values, dropout=self.attention_dropout)
        return self.add_residual(x, self.cross_attention.merge(attended), self.cross_attention_norm), weights

    def cross_attend_token(self, x: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """As `cross_attend`, with x [R, D], the K rows of an image one after another."""
        attention, rows = self.cross_attention, x.shape[0]
        queries = attention.query(self.pre_norm(x, self.cross_attention_norm))
        queries = queries.view(keys.shape[0], -1, attention.heads, keys.shape[3]).transpose(1, 2)  # [B, heads, K, d]
        attended, weights = dot_product_attention(queries, keys, values, dropout=self.attention_dropout)
        update = attention.output(attended.transpose(1, 2).reshape(rows, -1))
        return self.add_residual(x, update, self.cross_attention_norm), weights


class MultiHeadAttention(nn.Module):
    """The projections of multi-head attention (Vaswani et al. 2017, section 3.2.2); `dot_product_attention` comes
    between `project` and `merge`, so that a cache can."""

    def __init__(self, width: int, heads: int, memory_width: int | None = None) -> None:
        """`memory_width`: of what keys and values are made from; None: `width`."""
        super().__init__()
        self.heads = heads
        memory_width = width if memory_width is None else memory_width
        self.query = nn.Linear(width, width)
        self.key, self.value = nn.Linear(memory_width, width), nn.Linear(memory_width, width)
        self.output = nn.Linear(width, width)

    def queries(self, x: Tensor) -> Tensor:
        """[..., Q, D] -> [..., heads, Q, d]"""
        return self._split(self.query(x))

    def keys_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[..., S, memory_width] -> twice [..., heads, S, d]"""
        return self._split(self.key(x)), self._split(self.value(x))

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.queries(x), *self.keys_values(x)

    def split_token(self, x: Tensor) -> Tensor:
        """[R, D] -> [R, heads, 1, d]"""
        return x.view(x.shape[0], self.heads, 1, -1)

    def merge(self, x: Tensor) -> Tensor:
        """[..., heads, Q, d] -> [..., Q, D]"""
        merged: Tensor = self.output(x.transpose(-3, -2).flatten(-2))
        return merged

    def _split(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:-1], self.heads, -1).transpose(-3, -2)


class OutputTransform(nn.Module):
    """What BERT has between its last layer and the output layer (`cls.predictions.transform` of its checkpoints)."""

    def __init__(self, settings: AnySettings) -> None:
        super().__init__()
        self.linear = nn.Linear(settings.width, settings.width)
        self.activation = ACTIVATIONS[settings.activation]
        self.norm = nn.LayerNorm(settings.width, settings.norm_eps)

    def forward(self, x: Tensor) -> Tensor:
        """[..., D] -> [..., D]"""
        transformed: Tensor = self.norm(self.activation(self.linear(x)))
        return transformed


def gelu_tanh(x: Tensor) -> Tensor:
    """GPT-2's approximation of GELU (Hendrycks & Gimpel 2016, section 2), `gelu_new` in transformers."""
    return functional.gelu(x, approximate="tanh")


def quick_gelu(x: Tensor) -> Tensor:
    """CLIP's approximation of GELU (Hendrycks & Gimpel 2016, section 2), with their factor rounded to 1.702."""
    return x * torch.sigmoid(1.702 * x)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": functional.gelu,
    "gelu_tanh": gelu_tanh,
    "quick_gelu": quick_gelu,
    "relu": functional.relu,
    "silu": functional.silu,
}


def layer_norm(enabled: bool, width: int, eps: float) -> nn.Module:
    return nn.LayerNorm(width, eps) if enabled else nn.Identity()


def sinusoids(count: int, width: int) -> Tensor:
    """Position embeddings `[count, width]` (Vaswani et al. 2017, section 3.5): sines at even indices, cosines at odd
    ones."""
    positions = torch.arange(count, dtype=torch.float32).unsqueeze(1)
    frequencies = torch.exp(torch.arange(0, width, 2, dtype=torch.float32) * (-math.log(10000.0) / width))
    table = torch.zeros(count, width)
    table[:, 0::2] = torch.sin(positions * frequencies)
    table[:, 1::2] = torch.cos(positions * frequencies[: width // 2])
    return table
