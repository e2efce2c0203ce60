"""A CaptioningModel as a Stepper, for validation while it trains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

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
    def step(self, tokens: Ids, state: State) -> Step:
        logits, rows, attention = self.model.decoder.step(self._ids(tokens), state.memory, state.rows)
        log_probs = logits.float().log_softmax(-1).cpu().numpy()
        weights = None if attention is None else attention.float().cpu().numpy()
        return Step(log_probs, State(state.memory, rows), weights)

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
