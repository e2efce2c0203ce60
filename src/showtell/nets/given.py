"""The place of an encoder where there is none: features came ready-made, and nobody can make them of another photo."""

from __future__ import annotations

from torch import Tensor, nn

from showtell.errors import BadConfig
from showtell.settings import EncoderSettings


class GivenFeatures(nn.Module):
    """What training asks of an `Encoder`, for vectors `[B, 1, C]` that a file holds."""

    def __init__(self, settings: EncoderSettings) -> None:
        """Raises BadConfig when the settings do not say how many channels the features have."""
        super().__init__()
        if settings.channels is None:
            raise BadConfig("model.encoder.channels is missing; expected the width of the given features, such as 512")
        self.channels = settings.channels
        self.grid = (1, 1)
        self.late = nn.Sequential()
        self.pca = None
        self.features_are_given = True

    def finish(self, features: Tensor) -> Tensor:
        """[B, 1, C], as they are."""
        return features

    def forward(self, pixels: Tensor) -> Tensor:
        raise BadConfig("model.encoder is `features`: there is no network that could look at a photo")
