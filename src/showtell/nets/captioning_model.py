"""Encoder and decoder, assembled from the settings of a recipe."""

from __future__ import annotations

from typing import Any, cast

from torch import Tensor, nn

from showtell.errors import BadConfig
from showtell.nets.attention_decoder import AttentionDecoder
from showtell.nets.decoder import Decoder, Sizes, Tensors
from showtell.nets.encoder import Encoder
from showtell.nets.precomputed import PrecomputedFeatures
from showtell.nets.prefix_transformer_decoder import PrefixTransformerDecoder
from showtell.nets.recurrent_decoder import RecurrentDecoder
from showtell.nets.transformer_decoder import TransformerDecoder
from showtell.settings import PRECOMPUTED, DecoderSettings, EncoderSettings, ModelSettings

DECODERS: dict[str, Any] = {
    "transformer": TransformerDecoder,
    "prefix_transformer": PrefixTransformerDecoder,
    "recurrent": RecurrentDecoder,
    "attention": AttentionDecoder,
}
"""By the `kind` of the decoder's settings; each class has a constructor `from_settings(settings, sizes)`."""


class CaptioningModel(nn.Module):
    """Pixels and the tokens so far -> the next token."""

    def __init__(
        self,
        settings: ModelSettings,
        vocab_size: int,
        max_positions: int | None,
        trainable_stages: int = 0,
        load: bool = True,
    ) -> None:
        """`max_positions`: see `settings.max_positions`. `load=False` leaves the encoder random, for a caller that
        loads a whole model."""
        super().__init__()
        self.encoder = build_encoder(settings.encoder, trainable_stages, load)
        max_length = None if max_positions is None else max_positions + 1  # the start token has a position, too
        sizes = Sizes(self.encoder.channels, self.encoder.num_regions, vocab_size, max_length, self.encoder.num_tags)
        self.decoder = build_decoder(settings.decoder, sizes)

    def encode(self, pixels: Tensor) -> Tensors:
        """[B, 3, H, W] -> the decoder's memory of B images."""
        return self.decoder.encode_memory(self.encoder(pixels))


def build_encoder(settings: EncoderSettings, trainable_stages: int = 0, load: bool = True) -> Encoder:
    """A timm encoder, or its stand-in where features are precomputed."""
    if settings.name == PRECOMPUTED:
        return cast(Encoder, PrecomputedFeatures(settings))
    return Encoder(settings, trainable_stages, load)


def build_decoder(settings: DecoderSettings, sizes: Sizes) -> Decoder:
    """The decoder of these settings for features `[B, S, C]`. Raises BadConfig for tags that it cannot take."""
    if sizes.tags and not settings.takes_tags:
        raise BadConfig(f"model.encoder.companion.tags: no decoder of kind {settings.kind!r} takes any; expected null")
    decoder: Decoder = DECODERS[settings.kind].from_settings(settings, sizes)
    return decoder
