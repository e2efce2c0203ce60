"""Transformer decoder with cached keys and values (Vaswani et al. 2017), pre-norm (Xiong et al. 2020).

The words' embedding is also the output layer (Press & Wolf 2017). Each image region has a learned position, for a
relation such as "left of" is nowhere else in the features.
"""

from __future__ import annotations

from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from showtell.config import TransformerSettings
from showtell.errors import BadConfig
from showtell.nets.attention import dot_product_attention
from showtell.nets.decoder import Decoder, Taught, Tensors


class TransformerDecoder(Decoder):
    """`max_length` is the longest sequence, start token included."""

    growing: ClassVar[dict[str, tuple[int, ...]]] = {"word_keys": (4,), "word_values": (4,)}

    def __init__(self, settings: TransformerSettings, channels: int, regions: int, vocabulary: int, max_length: int):
        super().__init__()
        width = settings.width
        if width % settings.heads:
            raise BadConfig(f"model.decoder: width {width} is no multiple of heads {settings.heads}")
        self.dropout = nn.Dropout(settings.dropout)
        self.regions = nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, width))
        self.region_positions = nn.Parameter(torch.randn(regions, width) * 0.02)
        self.region_norm = nn.LayerNorm(width)
        self.words = nn.Embedding(vocabulary, width)
        self.positions = nn.Parameter(torch.randn(max_length, width) * 0.02)
        self.layers = nn.ModuleList(DecoderLayer(settings) for _ in range(settings.layers))
        self.norm = nn.LayerNorm(width)
        self.output_bias = nn.Parameter(torch.zeros(vocabulary))
        # Small, since the embedding is the output layer as well: at the usual std of 1 the untrained network would be
        # sure that every word repeats the one before.
        nn.init.normal_(self.words.weight, std=0.02)

    def memory(self, regions: Tensor) -> Tensors:
        """[B, S, C] -> keys and values [B, layers, heads, S, d]."""
        seen = self.region_norm(self.dropout(self.regions(regions)) + self.region_positions)
        pairs = [layer.image_attention.keys_values(seen) for layer in self._layers]
        return {"keys": torch.stack([k for k, _ in pairs], 1), "values": torch.stack([v for _, v in pairs], 1)}

    def start(self, memory: Tensors) -> Tensors:
        """Keys and values of no words yet: [B, 1, layers, heads, 0, d]."""
        batch, layers, heads, _, d = memory["keys"].shape
        nothing = memory["keys"].new_zeros(batch, 1, layers, heads, 0, d)
        return {"word_keys": nothing, "word_values": nothing}

    def step(self, tokens: Tensor, memory: Tensors, state: Tensors) -> tuple[Tensor, Tensors, Tensor]:
        batch, beams = tokens.shape
        past = state["word_keys"].shape[4]
        x = self.words(tokens) + self.positions[past]  # [B, K, D]
        keys, values = [], []
        for i, layer in enumerate(self._layers):
            q, k, v = layer.word_attention.project(layer.word_norm(x).view(batch, beams, 1, -1))  # [B, K, heads, 1, d]
            keys.append(torch.cat([state["word_keys"][:, :, i], k], 3))
            values.append(torch.cat([state["word_values"][:, :, i], v], 3))
            attended, _ = dot_product_attention(q, keys[-1], values[-1])
            x = x + layer.word_attention.merge(attended).view(batch, beams, -1)
            x, weights = layer.look(x, memory["keys"][:, i], memory["values"][:, i])
            x = x + layer.think(x)
        state = {"word_keys": torch.stack(keys, 2), "word_values": torch.stack(values, 2)}
        return self.logits(self.norm(x)), state, weights.mean(1)

    def teach(self, tokens: Tensor, memory: Tensors) -> Taught:
        batch, captions, length = tokens.shape
        x = self.dropout(self.words(tokens) + self.positions[:length])  # [B, N, T, D]
        causal = torch.ones(length, length, dtype=torch.bool, device=tokens.device).tril()
        for i, layer in enumerate(self._layers):
            q, k, v = layer.word_attention.project(layer.word_norm(x))  # [B, N, heads, T, d]
            attended, _ = dot_product_attention(q, k, v, causal, layer.dropped)
            x = x + self.dropout(layer.word_attention.merge(attended))
            flat, weights = layer.look(
                x.view(batch, captions * length, -1), memory["keys"][:, i], memory["values"][:, i]
            )
            x = flat.view(batch, captions, length, -1)
            x = x + self.dropout(layer.think(x))
        return Taught(self.norm(x), weights.mean(1).view(batch, captions, length, -1))

    @property
    def _layers(self) -> list[DecoderLayer]:
        return cast("list[DecoderLayer]", list(self.layers))

    def logits(self, hidden: Tensor) -> Tensor:
        return functional.linear(hidden, self.words.weight, self.output_bias)


class DecoderLayer(nn.Module):
    """Attention over the words so far, attention over the image, feed-forward; a norm before each."""

    def __init__(self, settings: TransformerSettings) -> None:
        super().__init__()
        width = settings.width
        self.word_norm = nn.LayerNorm(width)
        self.word_attention = MultiHeadAttention(width, settings.heads)
        self.image_norm = nn.LayerNorm(width)
        self.image_attention = MultiHeadAttention(width, settings.heads)
        self.think_norm = nn.LayerNorm(width)
        self.inner = nn.Linear(width, settings.feed_forward)
        self.outer = nn.Linear(settings.feed_forward, width)
        self.dropout = nn.Dropout(settings.dropout)

    @property
    def dropped(self) -> float:
        """The rate at which attention weights are dropped, now."""
        return self.dropout.p if self.training else 0.0

    def look(self, x: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Queries [B, Q, D] over the regions' keys and values [B, heads, S, d] -> [B, Q, D], weights [B, heads, Q,
        S]."""
        queries = self.image_attention.queries(self.image_norm(x))
        attended, weights = dot_product_attention(queries, keys, values, dropout=self.dropped)
        return x + self.dropout(self.image_attention.merge(attended)), weights

    def think(self, x: Tensor) -> Tensor:
        thought: Tensor = self.outer(self.dropout(functional.gelu(self.inner(self.think_norm(x)))))
        return thought


class MultiHeadAttention(nn.Module):
    """The projections of multi-head attention (Vaswani et al. 2017, section 3.2.2); the product itself is outside."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.output = (nn.Linear(width, width) for _ in range(4))

    def queries(self, x: Tensor) -> Tensor:
        """[..., Q, D] -> [..., heads, Q, d]"""
        return self._split(self.query(x))

    def keys_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[..., S, D] -> twice [..., heads, S, d]"""
        return self._split(self.key(x)), self._split(self.value(x))

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.queries(x), *self.keys_values(x)

    def merge(self, x: Tensor) -> Tensor:
        """[..., heads, Q, d] -> [..., Q, D]"""
        merged: Tensor = self.output(x.transpose(-3, -2).flatten(-2))
        return merged

    def _split(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:-1], self.heads, -1).transpose(-3, -2)
