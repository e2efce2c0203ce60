"""How many numbers a recipe trains, and how many it leaves as they are; counted without weights or memory."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from showtell.nets.captioning_model import CaptioningModel
from showtell.settings import Recipe, longest


class Row(NamedTuple):
    """A part of the network."""

    part: str
    trained: int
    frozen: int


def parameter_table(recipe: Recipe, vocabulary: int) -> list[Row]:
    """The encoder, then the parts of the decoder. Principal components are fitted, not parameters, and not counted.

    Raises BadConfig for an encoder that there is not.
    """
    with torch.device("meta"):  # shapes without numbers: no download, no memory, no time
        model = CaptioningModel(recipe.model, vocabulary, longest(recipe), recipe.train.encoder_stages, load=False)
    decoder = model.decoder
    parts = {f"decoder.{name}": list(child.parameters()) for name, child in decoder.named_children()}
    parts["decoder, own"] = list(decoder.parameters(recurse=False))
    rows = [_row("encoder", list(model.encoder.parameters()))]
    return [*rows, *(_row(name, parameters) for name, parameters in parts.items() if parameters)]


def _row(part: str, parameters: list[nn.Parameter]) -> Row:
    trained = sum(p.numel() for p in parameters if p.requires_grad)
    return Row(part, trained, sum(p.numel() for p in parameters) - trained)
