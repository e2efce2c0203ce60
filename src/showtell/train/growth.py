"""The weights of a finished run in a larger network: more languages and words, or a companion of the encoder.

What both networks have is copied, so that training goes on where the other run ended: a token's embedding by its text,
a matrix's columns for the channels that it knew. Columns for new channels are zero, so that these begin without a say,
but for a norm over all channels, whose mean and deviation they are in. A new token's bias is the lowest there is, as if
it were a rare word. Everything else is as a new network has it.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from showtell.core.tokenizer import Tokenizer
from showtell.nets.captioning_model import CaptioningModel
from showtell.settings import Recipe

BY_TOKEN = ("decoder.token_embedding.weight", "decoder.output.weight", "decoder.output.bias", "decoder.output_bias")
POSITIONS = "decoder.region_position_embedding"


def grows(other: Recipe, recipe: Recipe) -> bool:
    """Whether a run of `recipe` that starts from `other` has more than it: languages, or a companion."""
    had, has = other.model.encoder.companion, recipe.model.encoder.companion
    if other.text.imported is not None:  # its tokenizer is not ours to extend
        return False
    return set(other.text.languages) < set(recipe.text.languages) or (had is None and has is not None)


def grown(model: CaptioningModel, weights: Mapping[str, Tensor], old: Tokenizer, new: Tokenizer) -> dict[str, Tensor]:
    """`weights`, of a network with the tokenizer `old`, in the shapes of `model`, whose tokenizer is `new`."""
    own = model.state_dict()
    before, now = old.backend.get_vocab(), new.backend.get_vocab()
    shared = [(now[token], row) for token, row in before.items() if token in now]
    ids, rows = (torch.tensor(column) for column in zip(*shared, strict=True))
    result = {name: tensor for name, tensor in own.items() if _is_new(name)}
    for name, tensor in weights.items():
        # A stage of the encoder may have another name, which is found when it is loaded, and no other shape.
        is_decoders = name.startswith("decoder.") and name in own
        if not is_decoders or (own[name].shape == tensor.shape and name not in BY_TOKEN):
            result[name] = tensor
        elif name in BY_TOKEN:
            start = own[name].clone() if tensor.ndim > 1 else tensor.min().expand_as(own[name]).clone()
            result[name] = start.index_copy_(0, ids, tensor[rows])
        elif name == POSITIONS:  # tags come before the regions
            result[name] = torch.cat([own[name][: len(own[name]) - len(tensor)], tensor])
        else:
            result[name] = _with_new_channels(own[name], tensor)
    return result


def _is_new(name: str) -> bool:
    return name.startswith(("encoder.companion.", "decoder.tag_projection."))


def _with_new_channels(own: Tensor, tensor: Tensor) -> Tensor:
    """Channels are the last dimension, new ones behind; a vector is the scale or shift of a norm."""
    padding = torch.zeros_like(own[..., tensor.shape[-1] :]) if own.ndim > 1 else own[tensor.shape[-1] :]
    return torch.cat([tensor, padding], -1)
