"""timm backbones: created and loaded; `stages` splits them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from showtell.config import nearest
from showtell.errors import BadConfig, BadWeights
from showtell.settings import BackboneSettings, EncoderSettings, PixelOverrides, PixelSettings


def resolve(settings: EncoderSettings) -> EncoderSettings:
    """The same settings with every field of `pixels` set, so that a run can be repeated after timm's configuration has
    changed.

    Raises BadConfig for an unknown name, and for `timm_kwargs` that give an impossible image size.
    """
    check_name(settings)
    pixels = pixel_settings(settings)
    resolved = {"pixels": PixelOverrides(**pixels.model_dump())}
    if settings.companion is None:
        return settings.model_copy(update=resolved)
    # All but mean and std are the encoder's own.
    shared = pixels.model_dump(exclude={"mean", "std"})
    own = pixel_settings(settings.companion).model_dump(include={"mean", "std"})
    companion = settings.companion.model_copy(update={"pixels": PixelOverrides(**own, **shared)})
    return settings.model_copy(update={**resolved, "companion": companion})


def pixel_settings(settings: BackboneSettings) -> PixelSettings:
    """The recipe's pixel settings, with defaults from timm's configuration of the encoder."""
    cfg = timm.get_pretrained_cfg(settings.name) if timm.is_model(settings.name) else None
    values = settings.pixels.model_dump(exclude_none=True)
    if cfg is not None and cfg.input_size:
        size = settings.timm_kwargs.get("img_size", cfg.input_size[-1])
        interpolation = cfg.interpolation if cfg.interpolation in ("bilinear", "bicubic") else "bicubic"
        defaults = {"size": size, "interpolation": interpolation, "mean": cfg.mean, "std": cfg.std}
        values = {**defaults, **values}
    try:
        return PixelSettings(**values)
    except ValidationError as error:  # from timm_kwargs.img_size: the recipe's own size is already validated
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise BadConfig(f"model.encoder: pixels of {where} {problem['input']!r}: {problem['msg']}") from error


def check_name(settings: BackboneSettings) -> None:
    """Raises BadConfig for a name unknown to timm."""
    if not timm.is_model(settings.name):
        raise BadConfig(
            f"model.encoder.name: timm has no {settings.name!r}" + nearest(settings.name, timm.list_models())
        )


def published_weights(settings: BackboneSettings) -> str | None:
    """timm's tag of the weights it would load: without a tag, a name can mean other weights in another timm version."""
    if (
        not settings.pretrained
        or settings.weights is not None
        or (cfg := timm.get_pretrained_cfg(settings.name)) is None
    ):
        return None
    return str(cfg.tag)


def create_backbone(settings: BackboneSettings, load: bool) -> Any:
    """timm's model, without `remove_blocks`, with `norm_eps`, and without its classifier unless `timm_kwargs` have
    `num_classes`.

    Raises BadConfig for an unknown name, block or argument, BadWeights for weights that cannot be loaded.
    """
    backbone = _create_with_weights(settings, load)
    for name in settings.remove_blocks:
        _remove_block(backbone, name)
    if settings.norm_eps is not None:
        _set_norm_eps(backbone, settings.norm_eps, settings.name)
    return backbone


def _create_with_weights(settings: BackboneSettings, load: bool) -> Any:
    check_name(settings)
    if not load or not settings.pretrained:
        return _create(settings)
    if settings.weights is not None:
        backbone = _create(settings)
        _load(backbone, settings.weights, settings.remove_blocks)
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


def _create(settings: BackboneSettings, pretrained: bool = False) -> Any:
    kwargs: dict[str, Any] = dict(settings.timm_kwargs)
    try:
        return timm.create_model(settings.name, pretrained=pretrained, **{"num_classes": 0, **kwargs})
    except TypeError as error:
        raise BadConfig(f"model.encoder.timm_kwargs: not for {settings.name} ({first_line(error)})") from error


def first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _load(backbone: Any, file: Path, remove_blocks: tuple[str, ...]) -> None:
    """Every parameter and buffer must be in the file, except those of removed blocks."""
    try:
        weights = load_file(str(file))
    except (OSError, SafetensorError) as error:
        raise BadWeights(f"{file}: no readable .safetensors file ({error}); see model.encoder.weights") from error
    expected = backbone.state_dict()
    misfits = [k for k, v in weights.items() if k in expected and expected[k].shape != v.shape]
    if misfits:
        found, wanted = tuple(weights[misfits[0]].shape), tuple(expected[misfits[0]].shape)
        raise BadWeights(f"{file}: {misfits[0]} has shape {found}; expected {wanted}: weights of another encoder?")
    removed = tuple(f"{name}." for name in remove_blocks)
    missing = [k for k in expected if k not in weights and not k.startswith(removed) and "num_batches_tracked" not in k]
    if missing:
        raise BadWeights(
            f"{file}: {len(missing)} of {len(expected)} tensors are missing, first {missing[0]}; expected timm's "
            "names; a residual block can be left out: model.encoder.remove_blocks=[blocks.6.1]"
        )
    backbone.load_state_dict({k: v.float() for k, v in weights.items() if k in expected}, strict=False)


def _remove_block(backbone: nn.Module, name: str) -> None:
    parent_name, _, last = name.rpartition(".")
    try:
        parent = backbone.get_submodule(parent_name)
        parent.get_submodule(last)
    except AttributeError as error:
        raise BadConfig(f"model.encoder.remove_blocks: the backbone has no module {name!r}") from error
    setattr(parent, last, nn.Identity())


def _set_norm_eps(backbone: nn.Module, eps: float, name: str) -> None:
    norms = [module for module in backbone.modules() if isinstance(module, nn.LayerNorm)]
    if not norms:
        raise BadConfig(f"model.encoder.norm_eps is {eps}, but {name} has no LayerNorm; expected null")
    for norm in norms:
        norm.eps = eps
