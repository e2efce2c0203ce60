"""Transformer decoder with cross-attention and cached keys and values, and an optional encoder over the regions
(Vaswani et al. 2017)."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from showtell.nets.attention import dot_product_attention
from showtell.nets.decoder import DecoderOutput, Sizes, StepOutput, Tensors
from showtell.nets.transformer_base import TransformerBase
from showtell.nets.transformer_layers import DecoderLayer, EncoderLayer, layer_norm
from showtell.settings import TransformerSettings


class TransformerDecoder(TransformerBase):
    """`max_length` is the longest sequence, start token included.

    The returned attention is the last layer's cross-attention, averaged over heads; that of earlier layers is not
    returned.
    """

    def __init__(self, settings: TransformerSettings, channels: int, regions: int, vocab_size: int, max_length: int):
        super().__init__(settings, channels, max_length)
        image_width = self._add_regions(channels, regions)
        self.encoder_layers = nn.ModuleList(EncoderLayer(settings) for _ in range(settings.encoder_layers))
        has_norm = settings.final_norm if settings.encoder_norm is None else settings.encoder_norm
        self.encoder_norm = layer_norm(has_norm, image_width, settings.norm_eps)
        self._add_tokens(vocab_size)
        self.layers = nn.ModuleList(DecoderLayer(settings, image_width) for _ in range(settings.layers))
        self._add_output(vocab_size)

    @classmethod
    def from_settings(cls, settings: TransformerSettings, sizes: Sizes) -> TransformerDecoder:
        assert sizes.max_length is not None, "TransformerSettings limit the number of positions"
        return cls(settings, sizes.channels, sizes.regions, sizes.vocab_size, sizes.max_length)

    def encode_memory(self, regions: Tensor) -> Tensors:
        """[B, S, C] -> for each layer its keys and values [B, heads, S, d].

        Rejected: all layers in one tensor. A step would copy each layer's part out of it, and the caches of all layers
        into a new one.
        """
        x = self.embed_regions(regions)
        for layer in self.encoder_layers:
            x = layer(x)
        x = self.encoder_norm(x)
        memory: Tensors = {}
        for i, layer in enumerate(self._layers):
            memory[f"keys.{i}"], memory[f"values.{i}"] = layer.cross_attention.keys_values(x)
        return memory

    def decode_step(self, tokens: Tensor, memory: Tensors, state: Tensors) -> StepOutput:
        grid = tokens.shape  # [B, K]
        x = self.embed_tokens(tokens, state["past_keys.0"].shape[3]).flatten(0, 1)  # [R, D]
        cache: Tensors = {}
        for i, layer in enumerate(self._layers):
            q, k, v = (part.view(*grid, *part.shape[1:]) for part in layer.project_token(x))  # [B, K, heads, 1, d]
            keys = cache[f"past_keys.{i}"] = torch.cat([state[f"past_keys.{i}"], k], 3)
            values = cache[f"past_values.{i}"] = torch.cat([state[f"past_values.{i}"], v], 3)
            attended, _ = dot_product_attention(q, keys, values, dropout=layer.attention_dropout)
            x = layer.add_attended_token(x, attended.flatten(0, 1))
            x, weights = layer.cross_attend_token(x, memory[f"keys.{i}"], memory[f"values.{i}"])
            x = layer.feed_forward(x)
        return StepOutput(self.norm(x).view(*grid, -1), cache, weights.mean(1))

    def forward(self, tokens: Tensor, memory: Tensors) -> DecoderOutput:
        batch, captions, length = tokens.shape
        x = self.embed_tokens(tokens, slice(length))  # [B, N, T, D]
        causal = torch.ones(length, length, dtype=torch.bool, device=tokens.device).tril()
        for i, layer in enumerate(self._layers):
            q, k, v = layer.project(x)  # [B, N, heads, T, d]
            attended, _ = dot_product_attention(q, k, v, causal, layer.attention_dropout)
            x = layer.add_attended(x, attended)
            flat, weights = layer.cross_attend(
                x.view(batch, captions * length, -1), memory[f"keys.{i}"], memory[f"values.{i}"]
            )
            x = layer.feed_forward(flat.view(batch, captions, length, -1))
        return DecoderOutput(self.norm(x), weights.mean(1).view(batch, captions, length, -1))

    @property
    def _layers(self) -> list[DecoderLayer]:
        return cast("list[DecoderLayer]", list(self.layers))
