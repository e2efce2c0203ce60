"""Transformer without cross-attention: the image's regions come before the tokens in one self-attention (Wang et al.
2022, GIT, section 3.1).

Regions attend to each other and never to tokens, so their keys and values are computed once per image. A token attends
to all regions and to the tokens up to itself.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from showtell.nets.attention import dot_product_attention, prefixed_attention
from showtell.nets.decoder import DecoderOutput, Sizes, StepOutput, Tensors
from showtell.nets.transformer_base import TransformerBase
from showtell.nets.transformer_layers import EncoderLayer
from showtell.settings import PrefixTransformerSettings


class PrefixTransformerDecoder(TransformerBase):
    """`max_length` is the longest sequence of tokens, start token included; positions of tokens begin at 0.

    The returned attention is the last layer's weights on regions, averaged over heads. It does not sum to 1: the rest
    is on tokens, in the same softmax.
    """

    def __init__(
        self,
        settings: PrefixTransformerSettings,
        channels: int,
        regions: int,
        vocab_size: int,
        max_length: int,
        tags: int = 0,
    ):
        super().__init__(settings, channels, max_length)
        self._add_regions(channels, regions, tags)
        self._add_tokens(vocab_size)
        self.layers = nn.ModuleList(EncoderLayer(settings) for _ in range(settings.layers))
        self._add_output(vocab_size)

    @classmethod
    def from_settings(cls, settings: PrefixTransformerSettings, sizes: Sizes) -> PrefixTransformerDecoder:
        assert sizes.max_length is not None, "PrefixTransformerSettings limit the number of positions"
        return cls(settings, sizes.channels, sizes.regions, sizes.vocab_size, sizes.max_length, sizes.tags)

    def encode_memory(self, regions: Tensor) -> Tensors:
        """[B, S, C] -> for each layer its keys and values [B, heads, S, d]."""
        x = self.embed_regions(regions)
        memory: Tensors = {}
        for i, layer in enumerate(self._layers):
            q, k, v = layer.project(x)
            memory[f"keys.{i}"], memory[f"values.{i}"] = k, v
            if i + 1 < len(self.layers):  # tokens see the last layer's keys and values, nobody its output
                attended, _ = dot_product_attention(q, k, v, dropout=layer.attention_dropout)
                x = layer.feed_forward(layer.add_attended(x, attended))
        return memory

    def decode_step(self, tokens: Tensor, memory: Tensors, state: Tensors) -> StepOutput:
        grid = tokens.shape  # [B, K]
        x = self.embed_tokens(tokens, state["past_keys.0"].shape[3]).flatten(0, 1)  # [R, D]
        cache: Tensors = {}
        for i, layer in enumerate(self._layers):
            q, k, v = (part.view(*grid, *part.shape[1:]) for part in layer.project_token(x))  # [B, K, heads, 1, d]
            keys = cache[f"past_keys.{i}"] = torch.cat([state[f"past_keys.{i}"], k], 3)
            values = cache[f"past_values.{i}"] = torch.cat([state[f"past_values.{i}"], v], 3)
            image = memory[f"keys.{i}"], memory[f"values.{i}"]
            attended, weights = prefixed_attention(q, *image, keys, values, dropout=layer.attention_dropout)
            x = layer.feed_forward(layer.add_attended_token(x, attended.flatten(0, 1)))
        return StepOutput(self.norm(x).view(*grid, -1), cache, weights.mean(2).squeeze(2))

    def forward(self, tokens: Tensor, memory: Tensors) -> DecoderOutput:
        length = tokens.shape[2]
        x = self.embed_tokens(tokens, slice(length))  # [B, N, T, D]
        causal = torch.ones(length, length, dtype=torch.bool, device=tokens.device).tril()
        for i, layer in enumerate(self._layers):
            q, k, v = layer.project(x)  # [B, N, heads, T, d]
            image = memory[f"keys.{i}"], memory[f"values.{i}"]
            attended, weights = prefixed_attention(q, *image, k, v, causal, layer.attention_dropout)
            x = layer.feed_forward(layer.add_attended(x, attended))
        return DecoderOutput(self.norm(x), weights.mean(2))

    @property
    def _layers(self) -> list[EncoderLayer]:
        return cast("list[EncoderLayer]", list(self.layers))
