"""Any timm backbone as a list of stages that give image regions, or one vector.

Splitting by stage lets the first ones stay frozen and their output be cached on disk, which is where nearly all time
goes: three quarters of EfficientNet-B4's time, but a tenth of its weights, lie in its first four blocks.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from showtell.errors import BadConfig
from showtell.nets.backbone import create_backbone, first_line, pixel_settings, stages_of
from showtell.nets.pca import PrincipalComponents
from showtell.settings import EncoderSettings


class Encoder(nn.Module):
    """Pixels `[B, 3, H, W]` -> regions `[B, S, C]`, in two parts: `early` (frozen, cached) and `late` (trained).

    Batch-norm statistics do not change: captioning batches are small, and the backbone's statistics come from a million
    photos. Only an encoder that begins at random, which has none, gathers its own.
    """

    def __init__(self, settings: EncoderSettings, trained_stages: int = 0, load: bool = True) -> None:
        """`load=False` leaves the weights random, for a caller that brings its own.

        Raises BadConfig for an unknown backbone, block or count of stages, BadWeights for weights that cannot be had.
        """
        super().__init__()
        self.pixels = pixel_settings(settings)
        backbone = create_backbone(settings, load)
        stages, self.channels_last = stages_of(backbone)
        if settings.layer == "fc7":
            stages.append(_fc7(backbone, settings.name))
        if settings.layer != "regions":
            stages[-1] = nn.Sequential(stages[-1], _Mean(self.channels_last))
        if trained_stages > len(stages):
            raise BadConfig(
                f"train.encoder_stages is {trained_stages}; {settings.name} has {len(stages)} stages at most"
            )
        self.fixed_statistics = not settings.random
        cut = len(stages) - trained_stages
        self.early = nn.Sequential(*stages[:cut]).requires_grad_(False)
        self.late = nn.Sequential(*stages[cut:])
        self.to(memory_format=torch.channels_last)  # twice as fast on a CPU
        size = self.pixels.size
        try:
            with torch.no_grad():
                features = self.early.eval()(torch.zeros(1, 3, size, size))
                height, width, self.channels = self._grid(self.late.eval()(features)).shape[1:]
        except Exception as error:
            raise BadConfig(
                f"model.encoder: {settings.name} does not run in stages on {size} x {size} pixels "
                f"({first_line(error)}); choose another backbone, pixels.size, or options.img_size={size}"
            ) from error
        self.cached_shape = tuple(features.shape[1:])
        """Shape of one image's output of `early`."""
        self.grid = (int(height), int(width))
        self.pca: PrincipalComponents | None = None
        if settings.pca is not None:
            if trained_stages:
                raise BadConfig(
                    f"model.encoder.pca is {settings.pca}, train.encoder_stages {trained_stages}; principal components "
                    "are those of a frozen encoder: expected train.encoder_stages=0"
                )
            self.pca, self.channels = PrincipalComponents(self.channels, settings.pca), settings.pca
        self.features_are_given = False
        """Whether `finish` is given what it gives: regions that a file holds."""

    def forward(self, pixels: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, S, C]"""
        return self._reduced(self.begin(pixels))

    def begin(self, pixels: Tensor) -> Tensor:
        """[B, 3, H, W] -> the output of `early`, [B, *cached_shape]"""
        features: Tensor = self.early(pixels.contiguous(memory_format=torch.channels_last))
        return features

    def finish(self, features: Tensor) -> Tensor:
        """The output of `early` -> [B, S, C]"""
        if self.features_are_given:
            return features
        return self._reduced(features)

    def regions(self, features: Tensor) -> Tensor:
        """The output of `early` -> [B, S, C], before principal components are taken."""
        if features.ndim == 4:
            features = features.contiguous(memory_format=torch.channels_last)
        return self._grid(self.late(features)).flatten(1, 2)

    def train(self, mode: bool = True) -> Encoder:
        super().train(mode)
        self.early.eval()
        for module in self.late.modules():
            if self.fixed_statistics and isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def _reduced(self, features: Tensor) -> Tensor:
        """The output of `early` -> [B, S, C], as the decoder sees it."""
        regions = self.regions(features)
        return regions if self.pca is None else self.pca(regions)

    def _grid(self, features: Tensor) -> Tensor:
        """The deepest feature map as [B, height, width, C]."""
        return features if self.channels_last else features.permute(0, 2, 3, 1)


class _Mean(nn.Module):
    """A feature map -> the mean of its regions, as a map of one region: with everything frozen that is all that is
    cached."""

    def __init__(self, channels_last: bool) -> None:
        super().__init__()
        self.dims = (1, 2) if channels_last else (2, 3)

    def forward(self, features: Tensor) -> Tensor:
        """[B, height, width, C] -> [B, 1, 1, C], or [B, C, height, width] -> [B, C, 1, 1]"""
        return features.mean(self.dims, keepdim=True)


def _fc7(backbone: nn.Module, name: str) -> nn.Module:
    """VGG's two fully connected layers, fc6 and fc7, each with its ReLU, which timm keeps as convolutions."""
    layers = getattr(backbone, "pre_logits", None)
    if not hasattr(layers, "fc2"):
        raise BadConfig(f"model.encoder.layer: {name} has no fc7, which is VGG's; expected regions or vector")
    assert isinstance(layers, nn.Module)
    return layers
