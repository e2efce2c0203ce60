"""A CaptioningModel as a Stepper, for validation while it trains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from showtell.core.candidates import Best
from showtell.core.stepper import Ids, Step
from showtell.nets.captioning_model import CaptioningModel
from showtell.nets.decoder import Tensors


class State(NamedTuple):
    memory: Tensors
    rows: Tensors


class TorchStepper:
    """`encode` replaces `model.encode`, for a caller that has cached features instead of pixels."""

    def __init__(self, model: CaptioningModel, encode: Callable[[Any], Tensors] | None = None) -> None:
        self.model = model.eval()
        self._encode = encode or (lambda pixels: model.encode(torch.as_tensor(pixels).to(self._device)))

    @torch.inference_mode()
    def encode(self, pixels: Any) -> Tensors:
        return self._encode(pixels)

    @torch.inference_mode()
    def init_state(self, memory: Tensors) -> State:
        return State(memory, self.model.decoder.init_state(memory))

    @torch.inference_mode()
    def step(self, tokens: Ids, state: State, best: int | None = None) -> Step:
        logits, rows, attention = self.model.decoder.step(self._ids(tokens), state.memory, state.rows)
        log_probs = logits.float().log_softmax(-1)
        weights = None if attention is None else attention.float().cpu().numpy()
        if best is None:
            return Step(log_probs.cpu().numpy(), State(state.memory, rows), weights)
        found = _best(log_probs, min(best, log_probs.shape[2]))
        return Step(found.log_probs, State(state.memory, rows), weights, found.tokens)

    @torch.inference_mode()
    def reorder(self, state: State, images: Ids, beams: Ids) -> State:
        image_index, beam_index = self._ids(images), self._ids(beams)
        none_left = len(images) == len(next(iter(state.memory.values())))
        memory = state.memory if none_left else {name: tensor[image_index] for name, tensor in state.memory.items()}
        return State(memory, {name: tensor[image_index[:, None], beam_index] for name, tensor in state.rows.items()})

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device

    def _ids(self, ids: Ids) -> Tensor:
        return torch.from_numpy(ids).to(self._device)


def _best(log_probs: Tensor, count: int) -> Best:
    """The best `count` of `log_probs` [B, K, V]. torch.topk leaves the order of equal values open, and bfloat16 has
    many of them: those as good as the last one are looked for again, in the order of their ids."""
    values = log_probs.topk(count).values
    is_best = log_probs >= values[..., -1:]
    width = max(count, int(is_best.sum(-1).max()))  # of NaN, none is best
    tokens = torch.arange(log_probs.shape[2], 0, -1, device=log_probs.device).where(is_best, 0).topk(width).indices
    found, order = log_probs.gather(-1, tokens).sort(stable=True, dim=-1, descending=True)
    tokens = tokens.gather(-1, order)
    return Best(found[..., :count].cpu().numpy(), tokens[..., :count].cpu().numpy())
