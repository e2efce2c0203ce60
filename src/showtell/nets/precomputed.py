"""Takes the place of an encoder when features are precomputed; it cannot encode photos."""

from __future__ import annotations

from torch import Tensor, nn

from showtell.errors import BadConfig
from showtell.settings import EncoderSettings


class PrecomputedFeatures(nn.Module):
    """The interface of `Encoder` that training uses, for vectors `[B, 1, C]` from a file."""

    def __init__(self, settings: EncoderSettings) -> None:
        """Raises BadConfig when the settings have no width of the features."""
        super().__init__()
        if settings.channels is None:
            raise BadConfig(
                "model.encoder.channels is missing; expected the width of the precomputed features, such as 512"
            )
        self.channels = settings.channels
        self.grid, self.num_regions, self.prefix_regions, self.num_tags = (1, 1), 1, 0, 0
        self.trainable = nn.Sequential()
        self.pca, self.companion = None, None
        self.has_precomputed_features = True

    def forward_trainable(self, features: Tensor) -> Tensor:
        """[B, 1, C], unchanged."""
        return features

    def forward(self, pixels: Tensor) -> Tensor:
        raise BadConfig("model.encoder is `features`: there is no network that could encode a photo")
