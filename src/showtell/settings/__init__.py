"""Every setting of a recipe, with its meaning and its one default.

A recipe is YAML with the sections `model`, `text`, `data`, `train` and `decode`; `config` reads it. A setting that a
recipe does not have takes its default from here.

A section is imported when one of its names is first asked for: pydantic takes time to build a class, and captioning
needs those of few sections.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from showtell.settings.base import Settings
    from showtell.settings.decode import DecodeSettings
    from showtell.settings.decoder import (
        DECODER_KINDS,
        DEFAULT_KIND,
        AttentionSettings,
        DecoderSettings,
        PrefixTransformerSettings,
        RecurrentSettings,
        TransformerSettings,
    )
    from showtell.settings.encoder import (
        PRECOMPUTED,
        BackboneSettings,
        CompanionSettings,
        EncoderSettings,
        TagSettings,
    )
    from showtell.settings.model import ModelSettings
    from showtell.settings.pixels import CropMode, PixelOverrides, PixelSettings
    from showtell.settings.recipe import Recipe, max_positions
    from showtell.settings.text import ImportedText, Language, TextSettings
    from showtell.settings.train import DistillationSettings, SelfCriticalSettings, TextOnlySettings, TrainSettings

__all__ = [
    "DECODER_KINDS",
    "DEFAULT_KIND",
    "PRECOMPUTED",
    "AttentionSettings",
    "BackboneSettings",
    "CompanionSettings",
    "CropMode",
    "DecodeSettings",
    "DecoderSettings",
    "DistillationSettings",
    "EncoderSettings",
    "ImportedText",
    "Language",
    "ModelSettings",
    "PixelOverrides",
    "PixelSettings",
    "PrefixTransformerSettings",
    "Recipe",
    "RecurrentSettings",
    "SelfCriticalSettings",
    "Settings",
    "TagSettings",
    "TextOnlySettings",
    "TextSettings",
    "TrainSettings",
    "TransformerSettings",
    "max_positions",
]

_NAMES_OF_SECTION = {
    "base": ("Settings",),
    "decode": ("DecodeSettings",),
    "decoder": (
        *("DECODER_KINDS", "DEFAULT_KIND", "AttentionSettings", "DecoderSettings"),
        *("PrefixTransformerSettings", "RecurrentSettings", "TransformerSettings"),
    ),
    "encoder": ("PRECOMPUTED", "BackboneSettings", "CompanionSettings", "EncoderSettings", "TagSettings"),
    "model": ("ModelSettings",),
    "pixels": ("CropMode", "PixelOverrides", "PixelSettings"),
    "recipe": ("Recipe", "max_positions"),
    "text": ("ImportedText", "Language", "TextSettings"),
    "train": ("DistillationSettings", "SelfCriticalSettings", "TextOnlySettings", "TrainSettings"),
}
_SECTION_OF_NAME = {name: section for section, names in _NAMES_OF_SECTION.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _SECTION_OF_NAME:
        return getattr(import_module(f"{__name__}.{_SECTION_OF_NAME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
