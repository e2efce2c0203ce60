"""Transformer decoder with cached keys and values, and an optional encoder over the regions (Vaswani et al. 2017).

Norms are applied before each sublayer (pre-norm: Xiong et al. 2020) or after it (post-norm: the original). Position
embeddings of tokens are learned or sinusoidal; regions may have some too, since the features do not encode where a
region is.
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from showtell.errors import BadConfig
from showtell.nets.attention import dot_product_attention
from showtell.nets.decoder import Decoder, DecoderOutput, Sizes, StepOutput, Tensors
from showtell.settings import TransformerSettings


class TransformerDecoder(Decoder):
    """`max_length` is the longest sequence, start token included.

    The returned attention is the last layer's cross-attention, averaged over heads; that of earlier layers is not
    returned.
    """

    cache_axes: ClassVar[dict[str, tuple[int, ...]]] = {"past_keys": (4,), "past_values": (4,)}
    compiled_method: ClassVar[Literal["forward", "decode_step"]] = "forward"
    position_embedding: Tensor
    region_position_embedding: Tensor

    def __init__(self, settings: TransformerSettings, channels: int, regions: int, vocab_size: int, max_length: int):
        super().__init__()
        width = settings.width
        if width % settings.heads:
            raise BadConfig(f"model.decoder: width {width} is no multiple of heads {settings.heads}")
        self.dropout = nn.Dropout(settings.dropout)
        self.region_projection = nn.Sequential(_norm(settings.input_norm, channels), nn.Linear(channels, width))
        self._add_positions("region_position_embedding", settings.region_position_embedding, regions, width)
        self.encoder_layers = nn.ModuleList(EncoderLayer(settings) for _ in range(settings.encoder_layers))
        self.encoder_norm = _norm(settings.final_norm, width)
        self.token_embedding = nn.Embedding(vocab_size, width)
        self._add_positions("position_embedding", settings.position_embedding, max_length, width)
        self.layers = nn.ModuleList(DecoderLayer(settings) for _ in range(settings.layers))
        self.norm = _norm(settings.final_norm, width)
        # Sinusoids have values around 1, so embeddings are scaled to them (Vaswani et al., section 3.4). Otherwise they
        # start small: with a std of 1 and tied weights, an untrained network would predict with certainty that every
        # token repeats the one before.
        self.scale = math.sqrt(width) if settings.position_embedding == "sinusoidal" else 1.0
        nn.init.normal_(self.token_embedding.weight, std=1 / self.scale if self.scale > 1 else 0.02)
        self.output = None if settings.tie_weights else nn.Linear(width, vocab_size)
        self.output_bias = nn.Parameter(torch.zeros(vocab_size)) if settings.tie_weights else None

    @classmethod
    def from_settings(cls, settings: TransformerSettings, sizes: Sizes) -> TransformerDecoder:
        assert sizes.max_length is not None, "TransformerSettings limit the number of positions"
        return cls(settings, sizes.channels, sizes.regions, sizes.vocab_size, sizes.max_length)

    def encode_memory(self, regions: Tensor) -> Tensors:
        """[B, S, C] -> keys and values [B, layers, heads, S, d]."""
        x = self.dropout(self.region_projection(regions)) + self.region_position_embedding
        for layer in self.encoder_layers:
            x = layer(x)
        x = self.encoder_norm(x)
        pairs = [layer.cross_attention.keys_values(x) for layer in self._layers]
        return {"keys": torch.stack([k for k, _ in pairs], 1), "values": torch.stack([v for _, v in pairs], 1)}

    def init_state(self, memory: Tensors) -> Tensors:
        """An empty cache: [B, 1, layers, heads, 0, d]."""
        batch, layers, heads, _, d = memory["keys"].shape
        empty = memory["keys"].new_zeros(batch, 1, layers, heads, 0, d)
        return {"past_keys": empty, "past_values": empty}

    def decode_step(self, tokens: Tensor, memory: Tensors, state: Tensors) -> StepOutput:
        batch, beams = tokens.shape
        position = state["past_keys"].shape[4]
        x = self.dropout(self.token_embedding(tokens) * self.scale + self.position_embedding[position])  # [B, K, D]
        keys, values = [], []
        for i, layer in enumerate(self._layers):
            normed = layer.pre_norm(x, layer.self_attention_norm).view(batch, beams, 1, -1)
            q, k, v = layer.self_attention.project(normed)  # [B, K, heads, 1, d]
            keys.append(torch.cat([state["past_keys"][:, :, i], k], 3))
            values.append(torch.cat([state["past_values"][:, :, i], v], 3))
            attended, _ = dot_product_attention(q, keys[-1], values[-1], dropout=layer.attention_dropout)
            update = layer.self_attention.merge(attended).view(batch, beams, -1)
            x = layer.add_residual(x, update, layer.self_attention_norm)
            x, weights = layer.cross_attend(x, memory["keys"][:, i], memory["values"][:, i])
            x = layer.feed_forward(x)
        state = {"past_keys": torch.stack(keys, 2), "past_values": torch.stack(values, 2)}
        return StepOutput(self.norm(x), state, weights.mean(1))

    def forward(self, tokens: Tensor, memory: Tensors) -> DecoderOutput:
        batch, captions, length = tokens.shape
        x = self.dropout(self.token_embedding(tokens) * self.scale + self.position_embedding[:length])  # [B, N, T, D]
        causal = torch.ones(length, length, dtype=torch.bool, device=tokens.device).tril()
        for i, layer in enumerate(self._layers):
            normed = layer.pre_norm(x, layer.self_attention_norm)
            q, k, v = layer.self_attention.project(normed)  # [B, N, heads, T, d]
            attended, _ = dot_product_attention(q, k, v, causal, layer.attention_dropout)
            x = layer.add_residual(x, layer.self_attention.merge(attended), layer.self_attention_norm)
            flat, weights = layer.cross_attend(
                x.view(batch, captions * length, -1), memory["keys"][:, i], memory["values"][:, i]
            )
            x = layer.feed_forward(flat.view(batch, captions, length, -1))
        return DecoderOutput(self.norm(x), weights.mean(1).view(batch, captions, length, -1))

    def logits(self, hidden: Tensor) -> Tensor:
        if self.output is not None:
            logits: Tensor = self.output(hidden)
            return logits
        return functional.linear(hidden, self.token_embedding.weight, self.output_bias)

    def _add_positions(self, name: str, kind: str, count: int, width: int) -> None:
        """Register position embeddings `[count, width]`; learned ones are a parameter."""
        if kind == "learned":
            self.register_parameter(name, nn.Parameter(torch.randn(count, width) * 0.02))
        else:
            fixed = sinusoids(count, width) if kind == "sinusoidal" else torch.zeros(count, width)
            self.register_buffer(name, fixed, persistent=False)

    @property
    def _layers(self) -> list[DecoderLayer]:
        return cast("list[DecoderLayer]", list(self.layers))


class _Layer(nn.Module):
    """Shared by encoder and decoder layers: placement of norms, residual connections, feed-forward sublayer."""

    def __init__(self, settings: TransformerSettings) -> None:
        super().__init__()
        width = settings.width
        self.norm_first = settings.norm == "pre"
        self.activation = functional.gelu if settings.activation == "gelu" else functional.relu
        self.self_attention_norm = nn.LayerNorm(width)
        self.self_attention = MultiHeadAttention(width, settings.heads)
        self.ffn_norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, settings.ffn_dim)
        self.fc2 = nn.Linear(settings.ffn_dim, width)
        self.dropout = nn.Dropout(settings.dropout)

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

    def feed_forward(self, x: Tensor) -> Tensor:
        hidden = self.activation(self.fc1(self.pre_norm(x, self.ffn_norm)))
        return self.add_residual(x, self.fc2(self.dropout(hidden)), self.ffn_norm)


class EncoderLayer(_Layer):
    """Self-attention over the regions, feed-forward."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, S, D] -> [B, S, D]"""
        q, k, v = self.self_attention.project(self.pre_norm(x, self.self_attention_norm))
        attended, _ = dot_product_attention(q, k, v, dropout=self.attention_dropout)
        return self.feed_forward(self.add_residual(x, self.self_attention.merge(attended), self.self_attention_norm))


class DecoderLayer(_Layer):
    """Causal self-attention over the tokens, cross-attention over the image, feed-forward."""

    def __init__(self, settings: TransformerSettings) -> None:
        super().__init__(settings)
        self.cross_attention_norm = nn.LayerNorm(settings.width)
        self.cross_attention = MultiHeadAttention(settings.width, settings.heads)

    def cross_attend(self, x: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """x [B, Q, D] over the image's keys and values [B, heads, S, d] -> [B, Q, D], weights [B, heads, Q, S]."""
        queries = self.cross_attention.queries(self.pre_norm(x, self.cross_attention_norm))
        attended, weights = dot_product_attention(queries, keys, values, dropout=self.attention_dropout)
        return self.add_residual(x, self.cross_attention.merge(attended), self.cross_attention_norm), weights


class MultiHeadAttention(nn.Module):
    """The projections of multi-head attention (Vaswani et al. 2017, section 3.2.2); `dot_product_attention` comes
    between `project` and `merge`, so that a cache can."""

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


def _norm(enabled: bool, width: int) -> nn.Module:
    return nn.LayerNorm(width) if enabled else nn.Identity()


def sinusoids(count: int, width: int) -> Tensor:
    """Position embeddings `[count, width]` (Vaswani et al. 2017, section 3.5): sines at even indices, cosines at odd
    ones."""
    positions = torch.arange(count, dtype=torch.float32).unsqueeze(1)
    frequencies = torch.exp(torch.arange(0, width, 2, dtype=torch.float32) * (-math.log(10000.0) / width))
    table = torch.zeros(count, width)
    table[:, 0::2] = torch.sin(positions * frequencies)
    table[:, 1::2] = torch.cos(positions * frequencies[: width // 2])
    return table
