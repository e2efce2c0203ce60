"""Any timm backbone as a list of stages that give image regions.

The stages are timm's own top-level parts, up to the deepest feature map that timm names in `feature_info`; what comes
after it (pooling, the classifier and the 1x1 convolution that widens features for it) belongs to ImageNet. Splitting by
stage lets the first ones stay frozen and their output be cached on disk, which is where nearly all time goes: three
quarters of EfficientNet-B4's time, but a tenth of its weights, lie in its first four blocks.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from showtell.config import EncoderSettings, nearest
from showtell.errors import BadConfig, BadWeights

CONTAINERS = ("blocks", "stages", "layers", "features")


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
        backbone = _backbone(settings, load)
        for name in settings.without:
            _leave_out(backbone, name)
        stages, self.channels_last = _stages(backbone)
        if trained_stages > len(stages):
            raise BadConfig(
                f"train.encoder_stages is {trained_stages}; {settings.name} has {len(stages)} stages at most"
            )
        self.fixed_statistics = not settings.random
        cut = len(stages) - trained_stages
        self.early = nn.Sequential(*stages[:cut]).requires_grad_(False)
        self.late = nn.Sequential(*stages[cut:])
        self.to(memory_format=torch.channels_last)  # twice as fast on a CPU
        size = settings.pixels.size
        try:
            with torch.no_grad():
                features = self.early.eval()(torch.zeros(1, 3, size, size))
                height, width, self.channels = self._grid(self.late.eval()(features)).shape[1:]
        except Exception as error:
            raise BadConfig(
                f"model.encoder: {settings.name} does not run in stages on {size} x {size} pixels "
                f"({_first_line(error)}); choose another backbone, pixels.size, or options.img_size={size}"
            ) from error
        self.cached_shape = tuple(features.shape[1:])
        """Shape of one image's output of `early`."""
        self.grid = (int(height), int(width))

    def forward(self, pixels: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, S, C]"""
        return self.finish(self.begin(pixels))

    def begin(self, pixels: Tensor) -> Tensor:
        """[B, 3, H, W] -> the output of `early`, [B, *cached_shape]"""
        features: Tensor = self.early(pixels.contiguous(memory_format=torch.channels_last))
        return features

    def finish(self, features: Tensor) -> Tensor:
        """The output of `early` -> [B, S, C]"""
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

    def _grid(self, features: Tensor) -> Tensor:
        """The deepest feature map as [B, height, width, C]."""
        return features if self.channels_last else features.permute(0, 2, 3, 1)


class _Whole(nn.Module):
    """A backbone that is no plain sequence (a vision Transformer adds positions between its parts): one stage."""

    def __init__(self, backbone: Any) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, pixels: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, height, width, C], prefix tokens (class, registers) off."""
        tokens: Tensor = self.backbone.forward_features(pixels)
        patches = tokens[:, self.backbone.num_prefix_tokens :]
        height, width = self.backbone.patch_embed.grid_size
        return patches.reshape(len(patches), height, width, -1)


def _backbone(settings: EncoderSettings, load: bool) -> Any:
    if not timm.is_model(settings.name):
        raise BadConfig(
            f"model.encoder.name: timm has no {settings.name!r}" + nearest(settings.name, timm.list_models())
        )
    if not load or settings.random:
        return _create(settings)
    if settings.weights is not None:
        backbone = _create(settings)
        _load(backbone, settings.weights, settings.without)
        return backbone
    try:
        return _create(settings, pretrained=True)
    except BadConfig:
        raise
    except Exception as error:
        raise BadWeights(
            f"timm could not get the weights of {settings.name} ({type(error).__name__}); connect to its hub once, or "
            "give a file: model.encoder.weights=FILE.safetensors"
        ) from error


def _create(settings: EncoderSettings, pretrained: bool = False) -> Any:
    options: dict[str, Any] = dict(settings.options)
    try:
        return timm.create_model(settings.name, pretrained=pretrained, num_classes=0, **options)
    except TypeError as error:
        raise BadConfig(f"model.encoder.options: not for {settings.name} ({_first_line(error)})") from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _load(backbone: Any, file: Path, without: tuple[str, ...]) -> None:
    """Every parameter and statistic must be in the file, except those of blocks that are left out."""
    try:
        weights = load_file(str(file))
    except (OSError, SafetensorError) as error:
        raise BadWeights(f"{file}: no readable .safetensors file ({error}); see model.encoder.weights") from error
    own = backbone.state_dict()
    misfits = [k for k, v in weights.items() if k in own and own[k].shape != v.shape]
    if misfits:
        found, expected = tuple(weights[misfits[0]].shape), tuple(own[misfits[0]].shape)
        raise BadWeights(f"{file}: {misfits[0]} has shape {found}; expected {expected}: weights of another encoder?")
    left_out = tuple(f"{name}." for name in without)
    missing = [k for k in own if k not in weights and not k.startswith(left_out) and "num_batches_tracked" not in k]
    if missing:
        raise BadWeights(
            f"{file}: {len(missing)} of {len(own)} tensors are missing, first {missing[0]}; expected timm's names; a "
            "residual block can be left out: model.encoder.without=[blocks.6.1]"
        )
    backbone.load_state_dict({k: v.float() for k, v in weights.items() if k in own}, strict=False)


def _leave_out(backbone: nn.Module, name: str) -> None:
    parent_name, _, last = name.rpartition(".")
    try:
        parent = backbone.get_submodule(parent_name)
        parent.get_submodule(last)
    except AttributeError as error:
        raise BadConfig(f"model.encoder.without: the backbone has no module {name!r}") from error
    setattr(parent, last, nn.Identity())


def _stages(backbone: Any) -> tuple[list[nn.Module], bool]:
    """The backbone's parts in order up to its deepest feature map, and whether that one is channels-last."""
    channels_last = getattr(backbone, "output_fmt", "NCHW") == "NHWC"
    if hasattr(backbone, "num_prefix_tokens"):
        return [_Whole(backbone)], True
    if (own := next((name for name, _ in backbone.named_parameters(recurse=False)), None)) is not None:
        raise BadConfig(
            f"model.encoder.name: this backbone is no plain sequence of parts (it has {own}); choose another one"
        )
    # timm names the end of each stage: a child (layer3) or a member of a container (blocks.6).
    ends = [info["module"] for info in backbone.feature_info]
    stages: list[nn.Module] = []
    parts: list[nn.Module] = []
    for name, child in backbone.named_children():
        if name in CONTAINERS:
            stem = [nn.Sequential(*parts)] if parts else []
            return [*stages, *stem, *child.children()], channels_last
        parts.append(child)
        if name in ends:
            stages.append(nn.Sequential(*parts))
            parts = []
        if name == ends[-1]:
            return stages, channels_last
    raise BadConfig(f"model.encoder.name: found no part {ends[-1]!r} in this backbone; choose another one")
