"""How an RGB image becomes a tensor."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from showtell.settings.base import Settings

Size = Annotated[int, Field(ge=16, le=2048)]
Triple = tuple[float, float, float]
CropMode = Literal["squash", "center", "shortest_edge", "pad"]
Interpolation = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]
"""Pillow's resampling filters."""


class PixelSettings(Settings):
    """How an RGB image becomes a tensor; the same in training, evaluation and serving, and part of the bundle."""

    size: Size = Field(224, description="height and width of the tensor, in pixels")
    crop_mode: CropMode = Field(
        "squash",
        description="squash: the whole photo, aspect ratio not kept; center: the largest square in its middle; "
        "shortest_edge: resized by its shorter side, then a square is cut out; pad: resized by its longer side, then "
        "padded with black",
    )
    resize_size: Size | None = Field(
        None, description="squash, shortest_edge: resize to this and cut the middle `size` out; null: size"
    )
    interpolation: Interpolation = "bicubic"
    mean: Triple = (0.485, 0.456, 0.406)
    std: Triple = (0.229, 0.224, 0.225)

    @model_validator(mode="after")
    def _fit_together(self) -> PixelSettings:
        if self.resize_size is not None and self.crop_mode not in ("squash", "shortest_edge"):
            raise ValueError(f"resize_size is of squash and shortest_edge; found crop_mode {self.crop_mode}")
        if self.resize_size is not None and self.resize_size < self.size:
            raise ValueError(f"resize_size {self.resize_size} is below size {self.size}")
        if not min(self.std) > 0:
            raise ValueError(f"std is {self.std}; expected numbers above 0")
        return self


class PixelOverrides(Settings):
    """The `PixelSettings` that a recipe sets; the others come from timm's configuration of the encoder."""

    size: Size | None = None
    crop_mode: CropMode | None = Field(
        None, description="default squash: timm's crops remove parts that captions describe"
    )
    resize_size: Size | None = None
    interpolation: Interpolation | None = None
    mean: Triple | None = None
    std: Triple | None = None
