"""Checks of the finished runs that a run starts from or is distilled from, before anything is computed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from showtell.errors import BadConfig
from showtell.settings import (
    PRECOMPUTED,
    PrefixTransformerSettings,
    Recipe,
    TransformerSettings,
    max_positions,
)
from showtell.train.growth import grows
from showtell.train.run_folder import RunFolder
from showtell.train.start_from import OF_TRAINING, is_bundle
from showtell.train.start_weights import check_has_weights


def check_other_runs(recipe: Recipe) -> None:
    """`recipe` is resolved. Raises BadConfig for a run that is missing, unfinished, or does not match."""
    if (start_from := recipe.train.start_from) is not None and is_bundle(start_from):
        check_has_weights(start_from)
    elif start_from is not None:
        other = _finished(start_from, "train.start_from")
        _check_network(start_from, other, recipe)
        _check_stages(start_from, other, recipe)
        positions = "the larger of text.max_length and decode.max_length"
        _check_equal(start_from, positions, max_positions(other), max_positions(recipe))
    for path in recipe.train.distillation.teachers:
        teacher = _finished(path, "train.distillation.teachers")
        if (teacher.model.encoder.name == PRECOMPUTED) != (recipe.model.encoder.name == PRECOMPUTED):
            raise BadConfig(
                f"one of {path} and this run has an encoder, the other precomputed features; expected the same for both"
            )
        if teacher.text.imported != recipe.text.imported:
            raise BadConfig(f"{path} has another prompt or other special tokens than this run; expected the same")
        limit = max_positions(teacher)
        if limit is not None and limit < recipe.text.max_length:
            raise BadConfig(
                f"{path} reads at most {limit} tokens, this run text.max_length={recipe.text.max_length}; "
                "expected no more than its teacher"
            )


def _check_network(path: Path, other: Recipe, recipe: Recipe) -> None:
    """That it is the same network, or one that has grown."""
    found, expected = _network(other), _network(recipe)
    if grows(other, recipe):
        if recipe.train.lora_rank:
            raise BadConfig(
                f"train.lora_rank is {recipe.train.lora_rank}, and {path} has fewer languages or no companion; "
                "adapters cannot learn new words: expected train.lora_rank=0"
            )
        if found["encoder"]["companion"] is None and expected["encoder"]["companion"] is not None:
            _check_takes_channels(path, recipe)
            expected["encoder"]["companion"] = None
        _check_equal(path, "text.kind", other.text.kind, recipe.text.kind)
    else:
        _check_equal(path, "text.languages", other.text.languages, recipe.text.languages)
    _check_equal(path, "model", found, expected)


def _check_takes_channels(path: Path, recipe: Recipe) -> None:
    """Other decoders read the channels by matrices that would have to grow in the middle, or on both sides."""
    decoder = recipe.model.decoder
    if not isinstance(decoder, TransformerSettings | PrefixTransformerSettings) or not decoder.region_projection:
        raise BadConfig(
            f"train.start_from: {path} has no model.encoder.companion; expected none here, for only a Transformer "
            "decoder with a region_projection can learn to read its channels"
        )


def _check_stages(path: Path, other: Recipe, recipe: Recipe) -> None:
    """Stages that were fine-tuned may not become frozen ones, whose features would be those of timm's weights."""
    found, expected = other.train.trainable_encoder_stages, recipe.train.trainable_encoder_stages
    if recipe.model.encoder.pretrained and found > expected:
        raise BadConfig(
            f"train.start_from: train.trainable_encoder_stages is {found} in {path}, {expected} here; expected at "
            f"least {found}"
        )


def _finished(path: Path, setting: str) -> Recipe:
    run = RunFolder(path)
    recipe = run.recipe()
    if not run.finished(recipe):
        raise BadConfig(
            f"{setting}: {path} is not finished; expected a run that is, for its best model may still change"
        )
    return recipe


def _network(recipe: Recipe) -> dict[str, Any]:
    """What weights must fit: not what matters in training alone."""
    files: Any = {"encoder": {"weights": True, "companion": {"weights": True}}}
    network = recipe.model.model_dump(mode="json", exclude=files)
    network["decoder"] = {key: value for key, value in network["decoder"].items() if key not in OF_TRAINING}
    return network


def _check_equal(path: Path, name: str, found: Any, expected: Any) -> None:
    if found != expected:
        if isinstance(found, dict):
            name = next(
                f"{name}.{part}.{key}"
                for part in found
                for key in {"kind": None, **found[part], **expected[part]}  # another kind explains the others
                if found[part].get(key) != expected[part].get(key)
            )
            *_, part, key = name.split(".")
            found, expected = found[part].get(key), expected[part].get(key)
        raise BadConfig(f"train.start_from: {name} is {found!r} in {path}, {expected!r} here; expected the same")
