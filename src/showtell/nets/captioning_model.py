"""Encoder and decoder, put together from the settings of a recipe."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from showtell.nets.attending import AttendingDecoder
from showtell.nets.decoder import Decoder, Tensors
from showtell.nets.encoder import Encoder
from showtell.nets.given import GivenFeatures
from showtell.nets.recurrent import RecurrentDecoder
from showtell.nets.transformer import TransformerDecoder
from showtell.settings import (
    GIVEN,
    DecoderSettings,
    EncoderSettings,
    ModelSettings,
    RecurrentSettings,
    TransformerSettings,
)


class CaptioningModel(nn.Module):
    """Pixels and the words so far -> the next word."""

    def __init__(
        self, settings: ModelSettings, vocabulary: int, max_words: int, trained_stages: int = 0, load: bool = True
    ) -> None:
        """`max_words` bounds a caption; `load=False` leaves the encoder random, for a caller that loads a whole
        model."""
        super().__init__()
        self.encoder = build_encoder(settings.encoder, trained_stages, load)
        height, width = self.encoder.grid
        self.decoder = build_decoder(
            settings.decoder, self.encoder.channels, height * width, vocabulary, max_length=max_words + 1
        )

    def memory(self, pixels: Tensor) -> Tensors:
        """[B, 3, H, W] -> the decoder's memory of B images."""
        return self.decoder.memory(self.encoder(pixels))


def build_encoder(settings: EncoderSettings, trained_stages: int = 0, load: bool = True) -> Encoder:
    """An encoder of photos, or what stands for it where there are only features."""
    if settings.name == GIVEN:
        return cast(Encoder, GivenFeatures(settings))
    return Encoder(settings, trained_stages, load)


def build_decoder(settings: DecoderSettings, channels: int, regions: int, vocabulary: int, max_length: int) -> Decoder:
    """A decoder of features `[B, S, C]`; `max_length` is the longest sequence, start token included."""
    if isinstance(settings, TransformerSettings):
        return TransformerDecoder(settings, channels, regions, vocabulary, max_length)
    if isinstance(settings, RecurrentSettings):
        return RecurrentDecoder(settings, channels, vocabulary)
    return AttendingDecoder(settings, channels, vocabulary)
