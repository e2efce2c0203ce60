"""A recipe: the settings of a whole training run."""

from __future__ import annotations

from pydantic import Field

from showtell.settings.base import Settings
from showtell.settings.decode import DecodeSettings
from showtell.settings.model import ModelSettings
from showtell.settings.text import TextSettings
from showtell.settings.train import TrainSettings


class Recipe(Settings):
    """A complete, re-runnable description of a training run."""

    description: str = ""
    source: str = Field("", description="the system and the papers that the recipe follows")
    data_hint: str = Field("", description="the data that the recipe was made for, as data=...")
    model: ModelSettings = ModelSettings()
    text: TextSettings = TextSettings()
    data: str = Field("", description="a data spec, such as flickr:DIR; see `showtell data --help`")
    train: TrainSettings = TrainSettings()
    decode: DecodeSettings = DecodeSettings()


def max_positions(recipe: Recipe) -> int | None:
    """The tokens, start token excluded, that the decoder has position embeddings for; None: it needs none, and has no
    limit."""
    decoder = recipe.model.decoder
    if not decoder.has_position_embeddings:
        return None
    own: int | None = getattr(decoder, "max_positions", None)
    return max(recipe.text.max_length, recipe.decode.max_length) if own is None else own - 1
