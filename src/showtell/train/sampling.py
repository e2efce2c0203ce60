"""Captions drawn from a decoder in training, many of each image.

The draw is by the inverse of the cumulative distribution: one random number for each token. Rejected: the search of
`core`, with its rules and hypotheses, whose Gumbel noise is a random number for every word of the vocabulary, in
float64 and outside torch. The decoder's cache of keys and values is the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from showtell.core.stepper import Ids
from showtell.nets.decoder import Decoder, Tensors


@torch.no_grad()
def sample_captions(
    decoder: Decoder,
    memory: Tensors,
    prompt: Sequence[int],
    num: int,
    eos_id: int,
    banned_ids: Sequence[int],
    max_length: int,
    rng: np.random.Generator,
) -> Ids:
    """`num` captions of each image of `memory`, `[B, num, max_length]`: tokens without the prompt, then ends. One of
    `max_length` tokens is truncated there. What is drawn depends on `rng` alone, which lives on the CPU."""
    batch = len(next(iter(memory.values())))
    ids = np.full((batch, num, max_length), eos_id, np.int64)
    if not max_length:
        return ids
    logits, memory, state = _read_prompt(decoder, memory, prompt, num)
    device = logits.device
    banned = torch.tensor(banned_ids, dtype=torch.int64, device=device)
    images = np.arange(batch)
    for t in range(max_length):
        uniform = torch.from_numpy(rng.random((len(images), num, 1), np.float32)).to(device)
        drawn = _draw(logits.float().index_fill(-1, banned, -torch.inf), uniform)
        tokens: Ids = drawn.cpu().numpy()
        ids[images, :, t] = np.where((ids[images, :, :t] == eos_id).any(-1), eos_id, tokens)
        going_on = np.flatnonzero((ids[images, :, t] != eos_id).any(-1))
        if t + 1 == max_length or not len(going_on):
            return ids
        if len(going_on) < len(images):  # images of which all captions have ended leave the batch
            images, rows = images[going_on], torch.from_numpy(going_on).to(device)
            drawn = drawn[rows]
            memory, state = ({name: tensor[rows] for name, tensor in part.items()} for part in (memory, state))
        output = decoder.decode_step(drawn, memory, state)
        logits, state = decoder.logits(output.hidden), output.state
    raise AssertionError("the loop returns")


def _read_prompt(decoder: Decoder, memory: Tensors, prompt: Sequence[int], num: int) -> tuple[Tensor, Tensors, Tensors]:
    """The logits [B, num, V] of the first token, the memory, and the state with `num` rows for each image."""
    state = decoder.init_state(memory)
    like = next(iter(memory.values()))
    for token in prompt:
        output = decoder.decode_step(torch.full((len(like), 1), token, device=like.device), memory, state)
        state = output.state
    logits = decoder.logits(output.hidden).expand(-1, num, -1)
    return logits, memory, {name: tensor.expand(-1, num, *tensor.shape[2:]) for name, tensor in state.items()}


def _draw(logits: Tensor, uniform: Tensor) -> Tensor:
    """[B, K, V] and numbers in [0, 1) [B, K, 1] -> tokens [B, K]. A token of probability 0 is never drawn."""
    cumulative = logits.softmax(-1).cumsum(-1)
    total = cumulative[..., -1:]
    # The product may be rounded up to the total, beyond which there is no token.
    level = torch.minimum(uniform * total, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(cumulative, level, right=True).squeeze(-1)
