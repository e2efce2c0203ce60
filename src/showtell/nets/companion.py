"""A second, frozen encoder beside the first: its channels go behind the first's, and its classes, where it is a
classifier, become tags.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from showtell.errors import BadConfig
from showtell.nets.backbone import create_backbone, pixel_settings
from showtell.settings import CompanionSettings, PixelSettings, TagSettings


class Seen(NamedTuple):
    """What a companion makes of B images."""

    regions: Tensor
    """[B, S, C]"""
    nouns: Tensor
    """[B, n]: the probability of each noun of its tags; n is 0 without tags."""


class Companion(nn.Module):
    """It is given the pixels of the first encoder, and normalises them in its own way."""

    scale: Tensor
    shift: Tensor
    noun_of_class: Tensor
    """[classes, n] zeros and ones."""

    def __init__(self, settings: CompanionSettings, given: PixelSettings, load: bool) -> None:
        """`given`: of the first encoder. Raises BadConfig for classes that do not fit the tags' nouns."""
        super().__init__()
        self.backbone = create_backbone(settings, load).eval().requires_grad_(False)
        self.backbone.to(memory_format=torch.channels_last)
        own = pixel_settings(settings)
        # (x * std + mean - own mean) / own std
        mean, std, own_mean, own_std = (
            torch.tensor(values).view(3, 1, 1) for values in (given.mean, given.std, own.mean, own.std)
        )
        self.register_buffer("scale", std / own_std, persistent=False)
        self.register_buffer("shift", (mean - own_mean) / own_std, persistent=False)
        groups = _noun_of_class(settings.tags, int(self.backbone.num_classes))
        self.register_buffer("noun_of_class", groups)  # with the weights: the file of nouns may be gone
        with torch.no_grad():
            seen = self(torch.zeros(1, 3, given.size, given.size))
        self.num_regions, self.channels = seen.regions.shape[1:]
        """S and C."""
        self.num_nouns = seen.nouns.shape[1]

    def forward(self, pixels: Tensor) -> Seen:
        """[B, 3, H, W]"""
        pixels = (pixels * self.scale + self.shift).contiguous(memory_format=torch.channels_last)
        features, maps = self.backbone.forward_intermediates(pixels, indices=1)
        regions = maps[-1].flatten(2).transpose(1, 2)
        if not self.noun_of_class.shape[1]:
            return Seen(regions, regions[:, 0, :0])
        return Seen(regions, self.backbone.forward_head(features).softmax(-1) @ self.noun_of_class)

    def train(self, mode: bool = True) -> Companion:
        return super().train(False)


def tag_regions(nouns: Tensor, count: int, channels: int) -> Tensor:
    """The `count` most probable nouns as regions: [B, n] -> [B, count, channels], each all zeros but for the square
    root of its probability at the noun's place.

    A linear layer makes of it an embedding of the noun, longer where the classifier is surer. Rejected: the probability
    itself, with which a noun at 0.05, often right, would all but vanish.
    """
    top, index = nouns.topk(count, -1)
    placed = torch.zeros(*index.shape, channels, dtype=nouns.dtype, device=nouns.device)
    return placed.scatter(2, index.unsqueeze(2), top.sqrt().unsqueeze(2))


def read_nouns(settings: TagSettings) -> list[str]:
    """The nouns of tags, each once, in the order of their columns."""
    return sorted(set(noun_lines(settings.nouns)) - {""})


def _noun_of_class(settings: TagSettings | None, classes: int) -> Tensor:
    if settings is None:
        return torch.zeros(classes, 0)
    lines = noun_lines(settings.nouns)
    if classes == len(lines) + 1:  # as in TensorFlow's ImageNet models, the first class is none
        lines = ("", *lines)
    if classes != len(lines):
        raise BadConfig(
            f"model.encoder.companion.tags: found {len(lines)} nouns for a classifier with {classes} classes; expected "
            "a line for each of its classes, and timm_kwargs.num_classes as in its weights"
        )
    nouns = read_nouns(settings)
    groups = torch.zeros(classes, len(nouns))
    for row, noun in enumerate(lines):
        if noun:
            groups[row, nouns.index(noun)] = 1
    return groups


@cache
def noun_lines(path: Path | None) -> tuple[str, ...]:
    """The noun of each class, empty for none; without a path, of ImageNet's classes. Raises BadConfig for a file that
    cannot be read."""
    try:
        text = (
            resources.files("showtell.nets").joinpath("imagenet_nouns.txt").read_text(encoding="utf-8")
            if path is None
            else path.read_text(encoding="utf-8")
        )
    except (OSError, ValueError) as error:
        raise BadConfig(f"model.encoder.companion.tags.nouns: {path} cannot be read ({error})") from error
    return tuple(line.strip() for line in text.splitlines())
