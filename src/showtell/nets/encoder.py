"""Any timm backbone as a sequence of stages that outputs image regions, or one pooled vector.

The first stages can stay frozen and their output be cached on disk. They take most of the time: the first four blocks
of EfficientNet-B4 take three quarters of its time and have a tenth of its weights.
"""

from __future__ import annotations

import math
import re
from typing import Any

import torch
from torch import Tensor, nn

from showtell.errors import BadConfig, ShowtellError
from showtell.nets.backbone import create_backbone, first_line, pixel_settings
from showtell.nets.companion import Companion, Seen, tag_regions
from showtell.nets.pca import PCA
from showtell.nets.stages import split_into_stages
from showtell.settings import CompanionSettings, EncoderSettings


class Encoder(nn.Module):
    """Pixels `[B, 3, H, W]` -> regions `[B, S, C]`, in two parts: `frozen`, whose output is cached, and `trainable`.

    Batch-norm statistics are fixed: captioning batches are small, and the pretrained statistics come from a million
    photos. Only a randomly initialised encoder updates them.
    """

    def __init__(self, settings: EncoderSettings, trainable_stages: int = 0, load: bool = True) -> None:
        """`load=False` leaves the weights random, for a caller that loads its own.

        Raises BadConfig for an unknown backbone, block or number of stages and for prefix regions that there are not,
        BadWeights for weights that cannot be loaded.
        """
        super().__init__()
        self.pixels = pixel_settings(settings)
        backbone = create_backbone(settings, load)
        timm_names = {id(tensor): name for name, tensor in backbone.state_dict(keep_vars=True).items()}
        stages, self.layout, grid, self.prefix_regions = split_into_stages(backbone, settings.prefix_regions)
        if settings.layer == "fc7":
            stages.append(_fc7(backbone, settings.name))
        if settings.layer != "regions":
            if settings.prefix_regions:
                raise BadConfig(
                    f"model.encoder: prefix_regions is true with layer {settings.layer}, which is one region; expected "
                    "prefix_regions=false, or layer=regions"
                )
            stages[-1], grid = nn.Sequential(stages[-1], _MeanPool(self.layout)), (1, 1)
        if trainable_stages > len(stages):
            raise BadConfig(
                f"train.trainable_encoder_stages is {trainable_stages}; {settings.name} has {len(stages)} stages at "
                "most"
            )
        self.freeze_bn = settings.pretrained
        cut = len(stages) - trainable_stages
        self.frozen = nn.Sequential(*stages[:cut]).requires_grad_(False)
        self.trainable = nn.Sequential(*stages[cut:])
        self.timm_names = {name: timm_names[id(tensor)] for name, tensor in self.state_dict(keep_vars=True).items()}
        """timm's name of each tensor, by its name here, which depends on `trainable_stages`."""
        self.register_load_state_dict_pre_hook(_rename_whole_backbone)  # type: ignore[no-untyped-call]
        self.to(memory_format=torch.channels_last)  # twice as fast on a CPU
        size = self.pixels.size
        try:
            with torch.no_grad():
                features = self.frozen.eval()(torch.zeros(1, 3, size, size))
                output = self.trainable.eval()(features)
                self.num_regions, self.channels = (int(size) for size in self._flatten(output).shape[1:])
                """S, with the prefix regions, and C."""
        except Exception as error:
            raise BadConfig(
                f"model.encoder: {settings.name} does not run in stages on {size} x {size} pixels "
                f"({first_line(error)}); choose another backbone, pixels.size, or timm_kwargs.img_size={size}"
            ) from error
        self.cached_shape = tuple(features.shape[1:])
        """Shape of the output of `frozen` for one image."""
        self.grid = grid or _map_size(output, self.layout)
        """Height and width of the regions after the first `prefix_regions`."""
        self.num_tags = 0
        """How many regions are tags, before all others."""
        self.companion = None if settings.companion is None else self._add_companion(settings.companion, load)
        self.pca: PCA | None = None
        if settings.pca is not None:
            if trainable_stages:
                raise BadConfig(
                    f"model.encoder.pca is {settings.pca}, train.trainable_encoder_stages {trainable_stages}; a PCA "
                    "needs a frozen encoder: expected train.trainable_encoder_stages=0"
                )
            self.pca, self.channels = PCA(self.channels, settings.pca), settings.pca
        self.has_precomputed_features = False
        """Whether `forward_trainable` is given regions from a file, which it returns unchanged."""

    def forward(self, pixels: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, S, C]"""
        seen = None if self.companion is None else self.companion(pixels)
        regions = self._with_companion(self._own_regions(self._run_frozen(pixels)), seen)
        return regions if self.pca is None else self.pca(regions)

    def forward_frozen(self, pixels: Tensor) -> Tensor:
        """[B, 3, H, W] -> the output of `frozen`, [B, *cached_shape]; with a companion, one vector with what it has
        seen behind."""
        features = self._run_frozen(pixels)
        if self.companion is None:
            return features
        seen = self.companion(pixels)
        return torch.cat([features.flatten(1), seen.regions.flatten(1), seen.nouns], 1)

    def forward_trainable(self, features: Tensor) -> Tensor:
        """The output of `forward_frozen` -> [B, S, C]"""
        if self.has_precomputed_features:
            return features
        return self._with_pca(features)

    def regions(self, features: Tensor) -> Tensor:
        """The output of `forward_frozen` -> [B, S, C], before the PCA."""
        if (companion := self.companion) is None:
            return self._own_regions(features)
        sizes = [math.prod(self._frozen_shape), companion.num_regions * companion.channels, companion.num_nouns]
        own, others, nouns = torch.split(features, sizes, 1)
        others = others.reshape(-1, companion.num_regions, companion.channels)
        return self._with_companion(self._own_regions(own.reshape(-1, *self._frozen_shape)), Seen(others, nouns))

    def _with_companion(self, regions: Tensor, seen: Seen | None) -> Tensor:
        """[B, S, C] of the first encoder alone -> of both, tags first; before the PCA."""
        if seen is None:
            return regions
        both = torch.cat([regions, seen.regions], 2)
        return (
            both if not self.num_tags else torch.cat([tag_regions(seen.nouns, self.num_tags, self.channels), both], 1)
        )

    def _run_frozen(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.frozen(pixels.contiguous(memory_format=torch.channels_last))
        return features

    def _own_regions(self, features: Tensor) -> Tensor:
        """The output of `frozen` -> [B, S, C], without the companion's channels."""
        if features.ndim == 4:
            features = features.contiguous(memory_format=torch.channels_last)
        return self._flatten(self.trainable(features))

    def _add_companion(self, settings: CompanionSettings, load: bool) -> Companion:
        """Adds its channels and tags to these; raises BadConfig where the two do not fit."""
        if not len(self.frozen):
            raise BadConfig(
                "model.encoder.companion: found no frozen stage, so that features cannot be cached; expected fewer "
                "train.trainable_encoder_stages"
            )
        try:
            companion = Companion(settings, self.pixels, load)
        except ShowtellError:
            raise
        except Exception as error:
            raise BadConfig(
                f"model.encoder.companion: {settings.name} gives no feature map of {self.pixels.size} x "
                f"{self.pixels.size} pixels ({first_line(error)}); choose another one"
            ) from error
        if companion.num_regions != self.num_regions:
            raise BadConfig(
                f"model.encoder.companion: {settings.name} has {companion.num_regions} regions; expected "
                f"{self.num_regions}, as the encoder has"
            )
        self.channels += companion.channels
        self._frozen_shape = self.cached_shape
        others = companion.num_regions * companion.channels + companion.num_nouns
        self.cached_shape = (math.prod(self.cached_shape) + others,)
        self.num_tags = 0 if settings.tags is None else settings.tags.count
        self.num_regions += self.num_tags
        self.prefix_regions += self.num_tags
        if self.num_tags > companion.num_nouns or companion.num_nouns > self.channels:
            raise BadConfig(
                f"model.encoder.companion.tags: found {companion.num_nouns} nouns; expected at least tags.count, "
                f"{self.num_tags}, and at most the number of channels, {self.channels}"
            )
        return companion

    def train(self, mode: bool = True) -> Encoder:
        super().train(mode)
        self.frozen.eval()
        for module in self.trainable.modules():
            if self.freeze_bn and isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def _with_pca(self, features: Tensor) -> Tensor:
        """The output of `forward_frozen` -> [B, S, C], after the PCA."""
        regions = self.regions(features)
        return regions if self.pca is None else self.pca(regions)

    def _flatten(self, features: Tensor) -> Tensor:
        """The output of the last stage as [B, S, C]."""
        if self.layout == "NCHW":
            return features.permute(0, 2, 3, 1).flatten(1, 2)
        return features.flatten(1, 2) if self.layout == "NHWC" else features


def _map_size(features: Tensor, layout: str) -> tuple[int, int]:
    height, width = features.shape[1:3] if layout == "NHWC" else features.shape[2:4]
    return int(height), int(width)


class _MeanPool(nn.Module):
    """Regions -> their mean, in the same layout; this is what a frozen encoder caches."""

    def __init__(self, layout: str) -> None:
        super().__init__()
        self.dims = {"NHWC": (1, 2), "NCHW": (2, 3), "NLC": (1,)}[layout]

    def forward(self, features: Tensor) -> Tensor:
        """[B, height, width, C] -> [B, 1, 1, C], [B, C, height, width] -> [B, C, 1, 1], or [B, S, C] -> [B, 1, C]"""
        return features.mean(self.dims, keepdim=True)


def _rename_whole_backbone(encoder: Any, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Weights of a vision Transformer from when it was one stage: its tensors go to the stages that have them now."""
    whole = re.compile(re.escape(prefix) + r"(?:frozen|trainable)\.0\.(?:0\.)?backbone\.(.+)")
    old = {key: match[1] for key in state if (match := whole.fullmatch(key))}
    now = {timm_name: name for name, timm_name in encoder.timm_names.items()}
    if old.keys() <= {prefix + name for name in encoder.timm_names}:
        return
    for key, timm_name in old.items():
        tensor = state.pop(key)
        if timm_name in now:  # a classifier's norm is gone
            state[prefix + now[timm_name]] = tensor


def _fc7(backbone: nn.Module, name: str) -> nn.Module:
    """VGG's two fully connected layers, fc6 and fc7, each with its ReLU; timm has them as convolutions."""
    layers = getattr(backbone, "pre_logits", None)
    if not hasattr(layers, "fc2"):
        raise BadConfig(f"model.encoder.layer: {name} has no fc7, which is VGG's; expected regions or pooled")
    assert isinstance(layers, nn.Module)
    return layers
