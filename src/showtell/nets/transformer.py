"""Transformer decoder with cached keys and values, and an encoder over the regions (Vaswani et al. 2017).

Norms stand before each part (pre: Xiong et al. 2020) or behind it (post: the original). Positions of words are learned
or sinusoidal; regions may have positions as well, for a relation such as "left of" is nowhere else in the features.
"""

from __future__ import annotations

import math
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from showtell.errors import BadConfig
from showtell.nets.attention import dot_product_attention
from showtell.nets.decoder import Advanced, Decoder, Taught, Tensors
from showtell.settings import TransformerSettings


class TransformerDecoder(Decoder):
    """`max_length` is the longest sequence, start token included.

    The attention that it gives (`Advanced.attention`, and so the exported graph's `attention`) is the last layer's, the
    mean of its heads: what the word was chosen with. What earlier layers look at is not in it.
    """

    growing: ClassVar[dict[str, tuple[int, ...]]] = {"word_keys": (4,), "word_values": (4,)}
    positions: Tensor
    region_positions: Tensor

    def __init__(self, settings: TransformerSettings, channels: int, regions: int, vocabulary: int, max_length: int):
        super().__init__()
        width = settings.width
        if width % settings.heads:
            raise BadConfig(f"model.decoder: width {width} is no multiple of heads {settings.heads}")
        self.dropout = nn.Dropout(settings.dropout)
        self.regions = nn.Sequential(_norm(settings.input_norm, channels), nn.Linear(channels, width))
        self._place("region_positions", settings.region_positions, regions, width)
        self.region_layers = nn.ModuleList(EncoderLayer(settings) for _ in range(settings.encoder_layers))
        self.region_norm = _norm(settings.final_norm, width)
        self.words = nn.Embedding(vocabulary, width)
        self._place("positions", settings.positions, max_length, width)
        self.layers = nn.ModuleList(DecoderLayer(settings) for _ in range(settings.layers))
        self.norm = _norm(settings.final_norm, width)
        # Sinusoids have values around 1, so embeddings are scaled to them (Vaswani et al., section 3.4). Otherwise
        # they begin small: at a std of 1 a network whose embedding is its output layer as well would, untrained, be
        # sure that every word repeats the one before.
        self.scale = math.sqrt(width) if settings.positions == "sinusoidal" else 1.0
        nn.init.normal_(self.words.weight, std=1 / self.scale if self.scale > 1 else 0.02)
        self.output = None if settings.tied else nn.Linear(width, vocabulary)
        self.output_bias = nn.Parameter(torch.zeros(vocabulary)) if settings.tied else None

    def memory(self, regions: Tensor) -> Tensors:
        """[B, S, C] -> keys and values [B, layers, heads, S, d]."""
        seen = self.dropout(self.regions(regions)) + self.region_positions
        for layer in self.region_layers:
            seen = layer(seen)
        seen = self.region_norm(seen)
        pairs = [layer.image_attention.keys_values(seen) for layer in self._layers]
        return {"keys": torch.stack([k for k, _ in pairs], 1), "values": torch.stack([v for _, v in pairs], 1)}

    def start(self, memory: Tensors) -> Tensors:
        """Keys and values of no words yet: [B, 1, layers, heads, 0, d]."""
        batch, layers, heads, _, d = memory["keys"].shape
        nothing = memory["keys"].new_zeros(batch, 1, layers, heads, 0, d)
        return {"word_keys": nothing, "word_values": nothing}

    def advance(self, tokens: Tensor, memory: Tensors, state: Tensors) -> Advanced:
        batch, beams = tokens.shape
        past = state["word_keys"].shape[4]
        x = self.dropout(self.words(tokens) * self.scale + self.positions[past])  # [B, K, D]
        keys, values = [], []
        for i, layer in enumerate(self._layers):
            inside = layer.enter(x, layer.self_norm).view(batch, beams, 1, -1)
            q, k, v = layer.self_attention.project(inside)  # [B, K, heads, 1, d]
            keys.append(torch.cat([state["word_keys"][:, :, i], k], 3))
            values.append(torch.cat([state["word_values"][:, :, i], v], 3))
            attended, _ = dot_product_attention(q, keys[-1], values[-1], dropout=layer.dropped)
            x = layer.leave(x, layer.self_attention.merge(attended).view(batch, beams, -1), layer.self_norm)
            x, weights = layer.look(x, memory["keys"][:, i], memory["values"][:, i])
            x = layer.think(x)
        state = {"word_keys": torch.stack(keys, 2), "word_values": torch.stack(values, 2)}
        return Advanced(self.norm(x), state, weights.mean(1))

    def teach(self, tokens: Tensor, memory: Tensors) -> Taught:
        batch, captions, length = tokens.shape
        x = self.dropout(self.words(tokens) * self.scale + self.positions[:length])  # [B, N, T, D]
        causal = torch.ones(length, length, dtype=torch.bool, device=tokens.device).tril()
        for i, layer in enumerate(self._layers):
            q, k, v = layer.self_attention.project(layer.enter(x, layer.self_norm))  # [B, N, heads, T, d]
            attended, _ = dot_product_attention(q, k, v, causal, layer.dropped)
            x = layer.leave(x, layer.self_attention.merge(attended), layer.self_norm)
            flat, weights = layer.look(
                x.view(batch, captions * length, -1), memory["keys"][:, i], memory["values"][:, i]
            )
            x = layer.think(flat.view(batch, captions, length, -1))
        return Taught(self.norm(x), weights.mean(1).view(batch, captions, length, -1))

    def logits(self, hidden: Tensor) -> Tensor:
        if self.output is not None:
            scores: Tensor = self.output(hidden)
            return scores
        return functional.linear(hidden, self.words.weight, self.output_bias)

    def _place(self, name: str, kind: str, count: int, width: int) -> None:
        """Give this module positions `[count, width]`, learned ones as a parameter."""
        if kind == "learned":
            self.register_parameter(name, nn.Parameter(torch.randn(count, width) * 0.02))
        else:
            fixed = sinusoids(count, width) if kind == "sinusoidal" else torch.zeros(count, width)
            self.register_buffer(name, fixed, persistent=False)

    @property
    def _layers(self) -> list[DecoderLayer]:
        return cast("list[DecoderLayer]", list(self.layers))


class _Layer(nn.Module):
    """What layers of encoder and decoder share: where the norms stand, and the feed-forward part."""

    def __init__(self, settings: TransformerSettings) -> None:
        super().__init__()
        width = settings.width
        self.norm_first = settings.norm == "pre"
        self.activation = functional.gelu if settings.activation == "gelu" else functional.relu
        self.self_norm = nn.LayerNorm(width)
        self.self_attention = MultiHeadAttention(width, settings.heads)
        self.think_norm = nn.LayerNorm(width)
        self.inner = nn.Linear(width, settings.feed_forward)
        self.outer = nn.Linear(settings.feed_forward, width)
        self.dropout = nn.Dropout(settings.dropout)

    @property
    def dropped(self) -> float:
        """The rate at which attention weights are dropped, now."""
        return self.dropout.p if self.training else 0.0

    def enter(self, x: Tensor, norm: nn.Module) -> Tensor:
        """What a part of the layer reads."""
        inside: Tensor = norm(x) if self.norm_first else x
        return inside

    def leave(self, x: Tensor, update: Tensor, norm: nn.Module) -> Tensor:
        """`x` with what the part says of it added."""
        added: Tensor = x + self.dropout(update)
        return added if self.norm_first else norm(added)

    def think(self, x: Tensor) -> Tensor:
        inside = self.inner(self.enter(x, self.think_norm))
        return self.leave(x, self.outer(self.dropout(self.activation(inside))), self.think_norm)


class EncoderLayer(_Layer):
    """Attention of the regions over each other, feed-forward."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, S, D] -> [B, S, D]"""
        q, k, v = self.self_attention.project(self.enter(x, self.self_norm))
        attended, _ = dot_product_attention(q, k, v, dropout=self.dropped)
        return self.think(self.leave(x, self.self_attention.merge(attended), self.self_norm))


class DecoderLayer(_Layer):
    """Attention over the words so far, attention over the image, feed-forward."""

    def __init__(self, settings: TransformerSettings) -> None:
        super().__init__(settings)
        self.image_norm = nn.LayerNorm(settings.width)
        self.image_attention = MultiHeadAttention(settings.width, settings.heads)

    def look(self, x: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Words [B, Q, D] over the regions' keys and values [B, heads, S, d] -> [B, Q, D], weights [B, heads, Q, S]."""
        queries = self.image_attention.queries(self.enter(x, self.image_norm))
        attended, weights = dot_product_attention(queries, keys, values, dropout=self.dropped)
        return self.leave(x, self.image_attention.merge(attended), self.image_norm), weights


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


def _norm(wanted: bool, width: int) -> nn.Module:
    return nn.LayerNorm(width) if wanted else nn.Identity()


def sinusoids(count: int, width: int) -> Tensor:
    """Positions `[count, width]` (Vaswani et al. 2017, section 3.5): sines in even places, cosines in odd ones."""
    places = torch.arange(count, dtype=torch.float32).unsqueeze(1)
    rates = torch.exp(torch.arange(0, width, 2, dtype=torch.float32) * (-math.log(10000.0) / width))
    table = torch.zeros(count, width)
    table[:, 0::2] = torch.sin(places * rates)
    table[:, 1::2] = torch.cos(places * rates[: width // 2])
    return table
