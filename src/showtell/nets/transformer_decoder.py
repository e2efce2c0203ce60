"""Transformer decoder with cross-attention and cached keys and values, and an optional encoder over the regions
(Vaswani et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence
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

    def __init__(
        self,
        settings: TransformerSettings,
        channels: int,
        regions: int,
        vocab_size: int,
        max_length: int,
        tags: int = 0,
    ):
        super().__init__(settings, channels, max_length)
        image_width = self._add_regions(channels, regions, tags)
        self.encoder_layers = nn.ModuleList(EncoderLayer(settings) for _ in range(settings.encoder_layers))
        has_norm = settings.final_norm if settings.encoder_norm is None else settings.encoder_norm
        self.encoder_norm = layer_norm(has_norm, image_width, settings.norm_eps)
        self._add_tokens(vocab_size)
        self.layers = nn.ModuleList(DecoderLayer(settings, image_width) for _ in range(settings.layers))
        self._add_output(vocab_size)

    @classmethod
    def from_settings(cls, settings: TransformerSettings, sizes: Sizes) -> TransformerDecoder:
        assert sizes.max_length is not None, "TransformerSettings limit the number of positions"
        return cls(settings, sizes.channels, sizes.regions, sizes.vocab_size, sizes.max_length, sizes.tags)

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
        return self._read([tokens], memory)[0]

    def forward_slots(self, slots: Sequence[Tensor], memory: Tensors) -> list[DecoderOutput]:
        if len({tokens.shape[1] for tokens in slots}) > 1:
            return super().forward_slots(slots, memory)
        return self._read(slots, memory)

    def _read(self, slots: Sequence[Tensor], memory: Tensors) -> list[DecoderOutput]:
        """Captions [B, N, T] of several slots one behind the other, [B, N, sum of T]: only self-attention has to tell
        them apart, and every other layer is one operation instead of one for each slot."""
        batch, captions = slots[0].shape[:2]
        lengths = [tokens.shape[2] for tokens in slots]
        device = slots[0].device
        tokens = slots[0]
        positions: slice | Tensor = slice(lengths[0])
        if len(slots) > 1:
            tokens = torch.cat(list(slots), 2)
            positions = torch.cat([torch.arange(length, device=device) for length in lengths])
        x = self.embed_tokens(tokens, positions)  # [B, N, sum of T, D]
        causal = torch.ones(max(lengths), max(lengths), dtype=torch.bool, device=device).tril()
        for i, layer in enumerate(self._layers):
            parts = zip(
                *(torch.split(rows, lengths, 3) for rows in layer.project(x)), strict=True
            )  # [B, N, heads, T, d]
            attended = [
                dot_product_attention(q, k, v, causal[: q.shape[3], : q.shape[3]], layer.attention_dropout)[0]
                for q, k, v in parts
            ]
            x = layer.add_attended(x, torch.cat(attended, 3) if len(attended) > 1 else attended[0])
            flat, weights = layer.cross_attend(
                x.view(batch, captions * sum(lengths), -1), memory[f"keys.{i}"], memory[f"values.{i}"]
            )
            x = layer.feed_forward(flat.view(batch, captions, sum(lengths), -1))
        hidden = torch.split(self.norm(x), lengths, 2)
        attention = torch.split(weights.mean(1).view(batch, captions, sum(lengths), -1), lengths, 2)
        return [DecoderOutput(*of_slot) for of_slot in zip(hidden, attention, strict=True)]

    @property
    def _layers(self) -> list[DecoderLayer]:
        return cast("list[DecoderLayer]", list(self.layers))
