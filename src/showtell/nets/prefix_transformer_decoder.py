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
        self, settings: PrefixTransformerSettings, channels: int, regions: int, vocab_size: int, max_length: int
    ):
        super().__init__(settings, channels, max_length)
        self._add_regions(channels, regions)
        self._add_tokens(vocab_size)
        self.layers = nn.ModuleList(EncoderLayer(settings) for _ in range(settings.layers))
        self._add_output(vocab_size)

    @classmethod
    def from_settings(cls, settings: PrefixTransformerSettings, sizes: Sizes) -> PrefixTransformerDecoder:
        assert sizes.max_length is not None, "PrefixTransformerSettings limit the number of positions"
        return cls(settings, sizes.channels, sizes.regions, sizes.vocab_size, sizes.max_length)

    def encode_memory(self, regions: Tensor) -> Tensors:
        """[B, S, C] -> keys and values [B, layers, heads, S, d]."""
        x = self.embed_regions(regions)
        keys, values = [], []
        for layer in self._layers:
            q, k, v = layer.project(x)
            keys.append(k)
            values.append(v)
            if len(keys) < len(self.layers):  # tokens see the last layer's keys and values, nobody its output
                attended, _ = dot_product_attention(q, k, v, dropout=layer.attention_dropout)
                x = layer.feed_forward(layer.add_attended(x, attended))
        return {"keys": torch.stack(keys, 1), "values": torch.stack(values, 1)}

    def decode_step(self, tokens: Tensor, memory: Tensors, state: Tensors) -> StepOutput:
        x = self.embed_tokens(tokens, state["past_keys"].shape[4]).unsqueeze(2)  # [B, K, 1, D]
        keys, values = [], []
        for i, layer in enumerate(self._layers):
            q, k, v = layer.project(x)  # [B, K, heads, 1, d]
            keys.append(torch.cat([state["past_keys"][:, :, i], k], 3))
            values.append(torch.cat([state["past_values"][:, :, i], v], 3))
            image = memory["keys"][:, i], memory["values"][:, i]
            attended, weights = prefixed_attention(q, *image, keys[-1], values[-1], dropout=layer.attention_dropout)
            x = layer.feed_forward(layer.add_attended(x, attended))
        state = {"past_keys": torch.stack(keys, 2), "past_values": torch.stack(values, 2)}
        return StepOutput(self.norm(x.squeeze(2)), state, weights.mean(2).squeeze(2))

    def forward(self, tokens: Tensor, memory: Tensors) -> DecoderOutput:
        length = tokens.shape[2]
        x = self.embed_tokens(tokens, slice(length))  # [B, N, T, D]
        causal = torch.ones(length, length, dtype=torch.bool, device=tokens.device).tril()
        for i, layer in enumerate(self._layers):
            q, k, v = layer.project(x)  # [B, N, heads, T, d]
            image = memory["keys"][:, i], memory["values"][:, i]
            attended, weights = prefixed_attention(q, *image, k, v, causal, layer.attention_dropout)
            x = layer.feed_forward(layer.add_attended(x, attended))
        return DecoderOutput(self.norm(x), weights.mean(2))

    @property
    def _layers(self) -> list[EncoderLayer]:
        return cast("list[EncoderLayer]", list(self.layers))
