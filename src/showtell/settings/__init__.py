"""Every setting of a recipe, with its meaning and its one default.

A recipe is YAML with the sections `model`, `text`, `data`, `train` and `decode`; `config` reads it. A setting that a
recipe does not have takes its default from here.
"""

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
from showtell.settings.encoder import PRECOMPUTED, EncoderSettings
from showtell.settings.model import ModelSettings
from showtell.settings.pixels import CropMode, PixelOverrides, PixelSettings
from showtell.settings.recipe import Recipe, max_positions
from showtell.settings.text import ImportedText, Language, TextSettings
from showtell.settings.train import DistillationSettings, SelfCriticalSettings, TrainSettings

__all__ = [
    "DECODER_KINDS",
    "DEFAULT_KIND",
    "PRECOMPUTED",
    "AttentionSettings",
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
    "TextSettings",
    "TrainSettings",
    "TransformerSettings",
    "max_positions",
]
