"""timm's backbones: made, given their weights, and taken apart into stages up to their deepest feature map.

The stages are timm's own top-level parts, up to the deepest feature map that timm names in `feature_info`; what comes
after it (pooling, the classifier and the 1x1 convolution that widens features for it) belongs to ImageNet.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from showtell.config import nearest
from showtell.errors import BadConfig, BadWeights
from showtell.settings import EncoderSettings, PixelChoices, PixelSettings

CONTAINERS = ("blocks", "stages", "layers", "features")


def settle(settings: EncoderSettings) -> EncoderSettings:
    """The same settings with all of `pixels` said, so that a run can be repeated when timm's configuration changes.

    Raises BadConfig for an unknown name, and for options that make pixels of no possible size.
    """
    check_name(settings)
    return settings.model_copy(update={"pixels": PixelChoices(**pixel_settings(settings).model_dump())})


def pixel_settings(settings: EncoderSettings) -> PixelSettings:
    """What the recipe says of pixels, and timm's own configuration of the encoder where it says nothing."""
    own = timm.get_pretrained_cfg(settings.name) if timm.is_model(settings.name) else None
    chosen = settings.pixels.model_dump(exclude_none=True)
    if own is not None and own.input_size:
        size = settings.options.get("img_size", own.input_size[-1])
        interpolation = own.interpolation if own.interpolation in ("bilinear", "bicubic") else "bicubic"
        theirs = {"size": size, "interpolation": interpolation, "mean": own.mean, "std": own.std}
        chosen = {**theirs, **chosen}
    try:
        return PixelSettings(**chosen)
    except ValidationError as error:  # a size that options.img_size gives: the recipe's own was looked at before
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise BadConfig(f"model.encoder: pixels of {where} {problem['input']!r}: {problem['msg']}") from error


def check_name(settings: EncoderSettings) -> None:
    """Raises BadConfig for a name that timm does not have."""
    if not timm.is_model(settings.name):
        raise BadConfig(
            f"model.encoder.name: timm has no {settings.name!r}" + nearest(settings.name, timm.list_models())
        )


def published_weights(settings: EncoderSettings) -> str | None:
    """timm's tag of the weights that it would load: a name without one means others in another version of timm."""
    if settings.random or settings.weights is not None or (own := timm.get_pretrained_cfg(settings.name)) is None:
        return None
    return str(own.tag)


def create_backbone(settings: EncoderSettings, load: bool) -> Any:
    """timm's model, without its classifier and without the blocks that the settings leave out.

    Raises BadConfig for an unknown name, block or option, BadWeights for weights that cannot be had.
    """
    backbone = _filled(settings, load)
    for name in settings.without:
        _leave_out(backbone, name)
    return backbone


def _filled(settings: EncoderSettings, load: bool) -> Any:
    check_name(settings)
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
        raise BadConfig(f"model.encoder.options: not for {settings.name} ({first_line(error)})") from error


def first_line(error: Exception) -> str:
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


def stages_of(backbone: Any) -> tuple[list[nn.Module], bool]:
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
            return [*stages, *stem, *_members(child)], channels_last
        parts.append(child)
        if name in ends:
            stages.append(nn.Sequential(*parts))
            parts = []
        if name == ends[-1]:
            return stages, channels_last
    raise BadConfig(f"model.encoder.name: found no part {ends[-1]!r} in this backbone; choose another one")


def _members(container: nn.Module) -> list[nn.Module]:
    """The blocks of a container. VGG keeps single layers in it: there a stage ends with each pooling."""
    members = list(container.children())
    if any(True for member in members for _ in member.children()):
        return members
    ends = [n for n, member in enumerate(members) if isinstance(member, nn.MaxPool2d)]
    return [nn.Sequential(*members[a + 1 : b + 1]) for a, b in zip([-1, *ends], ends, strict=False)]


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
        # -1 and not len(patches), which is a constant to torch.export: the graph would take no other batch.
        return patches.reshape(-1, height, width, patches.shape[-1])
