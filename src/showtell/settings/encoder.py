"""Settings of the encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from showtell.settings.base import Number, Settings
from showtell.settings.pixels import PixelOverrides

PRECOMPUTED = "features"
"""The encoder's name when there is no encoder: training reads precomputed features."""


class BackboneSettings(Settings):
    """A timm model and its input."""

    name: str = Field(
        "tf_efficientnet_b4", description="a timm model name; `features`: no encoder, features are precomputed"
    )
    weights: Path | None = Field(
        None, description="a .safetensors file with timm's parameter names; default: timm's own"
    )
    pretrained: bool = Field(True, description="false: random initialisation; only for tests and drawn data")
    remove_blocks: tuple[str, ...] = Field((), description="residual blocks to replace by the identity, by module name")
    norm_eps: float | None = Field(None, gt=0, description="epsilon of every LayerNorm; null: timm's")
    timm_kwargs: dict[str, Number | tuple[int, ...]] = Field(
        {}, description="further arguments of timm.create_model, e.g. pad_type: same"
    )
    pixels: PixelOverrides = PixelOverrides()


class TagSettings(Settings):
    """The nouns of the most probable classes of a classifier, as regions before all others."""

    nouns: Path | None = Field(
        None, description="a noun per class, a line each, empty for none; null: those of ImageNet's 1,000 classes"
    )
    count: int = Field(6, ge=1, description="tags of an image")


class CompanionSettings(BackboneSettings):
    """A second encoder, always frozen, with as many regions; its channels are put behind those of the first, region by
    region. Of its pixels only mean and std are its own."""

    tags: TagSettings | None = Field(None, description="null: none; needs a classifier, timm_kwargs.num_classes")


class EncoderSettings(BackboneSettings):
    """A timm backbone; image regions are the cells of its deepest feature map in timm's `feature_info`."""

    layer: Literal["regions", "pooled", "fc7"] = Field(
        "regions", description="decoder input: feature map regions, their mean, or VGG's second fully connected layer"
    )
    pca: int | None = Field(
        None, ge=1, description="reduce features to this many principal components, fitted on train"
    )
    channels: int | None = Field(None, ge=1, description="width of precomputed features; only with the name `features`")
    prefix_regions: bool = Field(
        False, description="the class token and other prefix tokens of a vision Transformer are regions, too"
    )
    companion: CompanionSettings | None = Field(None, description="null: none")

    @model_validator(mode="after")
    def _companion_fits(self) -> EncoderSettings:
        if self.companion is None:
            return self
        if PRECOMPUTED in (self.name, self.companion.name) or self.pca is not None or self.layer != "regions":
            raise ValueError(
                "companion: found with precomputed features, a pca, or another layer than regions; expected two timm "
                "models, or no companion"
            )
        for name in ("size", "crop_mode", "resize_size", "interpolation"):
            other = getattr(self.companion.pixels, name)
            if other not in (None, getattr(self.pixels, name)):
                raise ValueError(
                    f"companion.pixels.{name}: found {other}; expected none, as it sees the encoder's pixels: only "
                    "mean and std are its own"
                )
        return self
