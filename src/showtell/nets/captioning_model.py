"""Encoder and decoder, put together from the settings of a recipe."""

from __future__ import annotations

from torch import Tensor, nn

from showtell.config import ModelSettings, TransformerSettings
from showtell.nets.decoder import Decoder, Tensors
from showtell.nets.encoder import Encoder
from showtell.nets.recurrent import AttentionLSTM
from showtell.nets.transformer import TransformerDecoder


class CaptioningModel(nn.Module):
    """Pixels and the words so far -> the next word."""

    def __init__(
        self, settings: ModelSettings, vocabulary: int, max_words: int, trained_stages: int = 0, load: bool = True
    ) -> None:
        """`max_words` bounds a caption; `load=False` leaves the encoder random, for a caller that loads a whole
        model."""
        super().__init__()
        self.encoder = Encoder(settings.encoder, trained_stages, load)
        self.decoder: Decoder
        if isinstance(settings.decoder, TransformerSettings):
            regions = self.encoder.grid[0] * self.encoder.grid[1]
            self.decoder = TransformerDecoder(
                settings.decoder, self.encoder.channels, regions, vocabulary, max_length=max_words + 1
            )
        else:
            self.decoder = AttentionLSTM(settings.decoder, self.encoder.channels, vocabulary)

    def memory(self, pixels: Tensor) -> Tensors:
        """[B, 3, H, W] -> the decoder's memory of B images."""
        return self.decoder.memory(self.encoder(pixels))
