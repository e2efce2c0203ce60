"""Settings of the encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from showtell.settings.base import Number, Settings
from showtell.settings.pixels import PixelOverrides

PRECOMPUTED = "features"
"""The encoder's name when there is no encoder: training reads precomputed features."""


class EncoderSettings(Settings):
    """A timm backbone; image regions are the cells of its deepest feature map in timm's `feature_info`."""

    name: str = Field(
        "tf_efficientnet_b4", description="a timm model name; `features`: no encoder, features are precomputed"
    )
    weights: Path | None = Field(
        None, description="a .safetensors file with timm's parameter names; default: timm's own"
    )
    pretrained: bool = Field(True, description="false: random initialisation; only for tests and drawn data")
    layer: Literal["regions", "pooled", "fc7"] = Field(
        "regions", description="decoder input: feature map regions, their mean, or VGG's second fully connected layer"
    )
    pca: int | None = Field(
        None, ge=1, description="reduce features to this many principal components, fitted on train"
    )
    channels: int | None = Field(None, ge=1, description="width of precomputed features; only with the name `features`")
    remove_blocks: tuple[str, ...] = Field((), description="residual blocks to replace by the identity, by module name")
    prefix_regions: bool = Field(
        False, description="the class token and other prefix tokens of a vision Transformer are regions, too"
    )
    norm_eps: float | None = Field(None, gt=0, description="epsilon of every LayerNorm; null: timm's")
    timm_kwargs: dict[str, Number | tuple[int, ...]] = Field(
        {}, description="further arguments of timm.create_model, e.g. pad_type: same"
    )
    pixels: PixelOverrides = PixelOverrides()
    companion: EncoderSettings | None = Field(
        None,
        description="a second encoder, always frozen, with as many regions; its channels are put behind those of the "
        "first, region by region",
    )

    @model_validator(mode="after")
    def _companion_is_a_plain_encoder(self) -> EncoderSettings:
        companion = self.companion
        if companion is None:
            return self
        if PRECOMPUTED in (self.name, companion.name) or companion.companion is not None or companion.pca is not None:
            raise ValueError(
                "companion: found features, a companion or a pca in it; expected a timm model, for a photo"
            )
        own, other = self.pixels, companion.pixels
        for name in ("size", "crop_mode", "resize_size", "interpolation"):
            if getattr(other, name) not in (None, getattr(own, name)):
                raise ValueError(
                    f"companion.pixels.{name}: found {getattr(other, name)}; expected none, both see the same pixels: "
                    "only mean and std are its own"
                )
        return self
