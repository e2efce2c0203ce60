"""What the Transformer decoders share: regions in, tokens in, logits out.

Position embeddings of tokens are learned or sinusoidal; regions may have some too, since the features do not encode
where a region is.
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from showtell.errors import BadConfig
from showtell.nets.decoder import Decoder, Tensors
from showtell.nets.dropout import Dropout
from showtell.nets.transformer_layers import AnySettings, OutputTransform, layer_norm, sinusoids


class TransformerBase(Decoder):
    """A subclass's constructor calls `_add_regions`, `_add_tokens` and `_add_output` with its layers in between. Their
    order is that of the parameters, which a resumed optimiser counts on, and of the random numbers at the beginning."""

    compiled_method: ClassVar[Literal["forward", "decode_step"]] = "forward"
    position_embedding: Tensor
    region_position_embedding: Tensor

    def __init__(self, settings: AnySettings, channels: int, max_length: int) -> None:
        """Raises BadConfig for settings that contradict each other, the encoder or the longest sequence."""
        super().__init__()
        self.settings = settings
        names = (f"{kind}.{i}" for i in range(settings.layers) for kind in ("past_keys", "past_values"))
        self.cache_axes = dict.fromkeys(names, (3,))
        self.positions = _positions(settings, max_length)
        _check_widths(settings, channels)
        self.dropout = Dropout(settings.dropout)
        # Sinusoids have values around 1, so embeddings are scaled to them (Vaswani et al., section 3.4).
        is_scaled = settings.scale_embedding
        is_scaled = settings.position_embedding == "sinusoidal" if is_scaled is None else is_scaled
        self.scale = math.sqrt(settings.width) if is_scaled else 1.0

    def embed_regions(self, regions: Tensor) -> Tensor:
        """[B, S, C] -> [B, S, D], or [B, S, C] without a projection."""
        embedded: Tensor = self.region_projection(regions[:, self.tags :] if self.tags else regions)
        if self.tags:
            embedded = torch.cat([self.tag_projection(regions[:, : self.tags]), embedded], 1)
        embedded = self.dropout(embedded)
        if self.settings.region_position_embedding == "none":
            return embedded
        return embedded + self.region_position_embedding

    def embed_tokens(self, tokens: Tensor, positions: int | slice | Tensor) -> Tensor:
        """[...] or [..., T] -> [..., D] or [..., T, D]; `positions` is the place of the token, or of all T."""
        embedded = self.token_embedding(tokens) * self.scale + self.position_embedding[positions]
        dropped: Tensor = self.dropout(self.embedding_norm(embedded))
        return dropped

    def init_state(self, memory: Tensors) -> Tensors:
        """An empty cache: for each layer keys and values [B, 1, heads, 0, d]."""
        batch, heads, _, d = memory["keys.0"].shape
        return dict.fromkeys(self.cache_axes, memory["keys.0"].new_zeros(batch, 1, heads, 0, d))

    def logits(self, hidden: Tensor) -> Tensor:
        hidden = self.output_transform(hidden)
        if self.output is not None:
            logits: Tensor = self.output(hidden)
            return logits
        return functional.linear(hidden, self.token_embedding.weight, self.output_bias)

    def _add_regions(self, channels: int, regions: int, tags: int) -> int:
        """Returns the width of the embedded regions, the first `tags` of which are tags."""
        settings, self.tags = self.settings, tags
        parts = [layer_norm(settings.input_norm, channels, settings.input_norm_eps or settings.norm_eps)]
        if settings.region_projection:
            parts.append(nn.Linear(channels, settings.width))
        if settings.projection_norm:
            parts.append(nn.LayerNorm(settings.width, settings.projection_norm_eps or settings.norm_eps))
        self.region_projection = nn.Sequential(*parts)
        width = settings.width if settings.region_projection else channels
        if tags:  # no norm: a tag's length is how sure the classifier is of it
            self.tag_projection = nn.Linear(channels, width)
        self._add_positions("region_position_embedding", settings.region_position_embedding, regions, width)
        return width

    def _add_tokens(self, vocab_size: int) -> None:
        settings = self.settings
        self.token_embedding = nn.Embedding(vocab_size, settings.width)
        self._add_positions("position_embedding", settings.position_embedding, self.positions, settings.width)
        self.embedding_norm = layer_norm(settings.embedding_norm, settings.width, settings.norm_eps)

    def _add_output(self, vocab_size: int) -> None:
        settings = self.settings
        self.norm = layer_norm(settings.final_norm, settings.width, settings.norm_eps)
        # Embeddings that are not scaled start small: with a std of 1 and tied weights, an untrained network would
        # predict with certainty that every token repeats the one before.
        nn.init.normal_(self.token_embedding.weight, std=1 / self.scale if self.scale > 1 else 0.02)
        self.output_transform = OutputTransform(settings) if settings.output_transform else nn.Identity()
        tied, bias = settings.tie_weights, settings.output_bias
        self.output = None if tied else nn.Linear(settings.width, vocab_size, bias=bias)
        self.output_bias = nn.Parameter(torch.zeros(vocab_size)) if tied and bias else None

    def _add_positions(self, name: str, kind: str, count: int, width: int) -> None:
        """Register position embeddings `[count, width]`; learned ones are a parameter."""
        if kind == "learned":
            self.register_parameter(name, nn.Parameter(torch.randn(count, width) * 0.02))
        elif kind == "sinusoidal":
            self.register_buffer(name, sinusoids(count, width), persistent=False)


def _positions(settings: AnySettings, max_length: int) -> int:
    """The number of token positions."""
    if settings.max_positions is None:
        return max_length
    if settings.max_positions < max_length:
        raise BadConfig(
            f"model.decoder.max_positions is {settings.max_positions}, but captions may have {max_length} tokens with "
            "the start token; expected as many positions at least, or a smaller text.max_length and decode.max_length"
        )
    return settings.max_positions


def _check_widths(settings: AnySettings, channels: int) -> None:
    if settings.width % settings.heads:
        raise BadConfig(f"model.decoder: width {settings.width} is no multiple of heads {settings.heads}")
    if settings.region_projection:
        return
    if settings.projection_norm:
        raise BadConfig(
            "model.decoder.projection_norm is true without a region_projection; expected region_projection=true, or "
            "input_norm=true for a norm on the encoder's features"
        )
    needs_width = settings.kind == "prefix_transformer" or settings.encoder_layers > 0
    if needs_width and channels != settings.width:
        raise BadConfig(
            f"model.decoder.region_projection is false, but the encoder's features have {channels} channels and the "
            f"layers on them width {settings.width}; expected region_projection=true, or equal numbers"
        )
