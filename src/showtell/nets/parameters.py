"""Parameter counts of a recipe's model, trainable and frozen, without allocating any weights."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from showtell.nets.captioning_model import CaptioningModel
from showtell.settings import Recipe, max_positions


class Row(NamedTuple):
    """Parameter counts of one part of the model."""

    part: str
    trainable: int
    frozen: int


def parameter_table(recipe: Recipe, vocab_size: int) -> list[Row]:
    """The encoder, then the parts of the decoder. A PCA is fitted, not trained, and not counted.

    Raises BadConfig for an unknown encoder.
    """
    with torch.device("meta"):  # shapes only: no download, no memory, no initialisation
        model = CaptioningModel(
            recipe.model, vocab_size, max_positions(recipe), recipe.train.trainable_encoder_stages, load=False
        )
    decoder = model.decoder
    parts = {f"decoder.{name}": list(child.parameters()) for name, child in decoder.named_children()}
    parts["decoder (own)"] = list(decoder.parameters(recurse=False))
    rows = [_row("encoder", list(model.encoder.parameters()))]
    return [*rows, *(_row(name, parameters) for name, parameters in parts.items() if parameters)]


def _row(part: str, parameters: list[nn.Parameter]) -> Row:
    trainable = sum(p.numel() for p in parameters if p.requires_grad)
    return Row(part, trainable, sum(p.numel() for p in parameters) - trainable)
