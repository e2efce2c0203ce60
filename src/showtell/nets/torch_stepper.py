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
    """`look` turns what `encode` is given into a memory; training gives cached features instead of pixels."""

    def __init__(self, model: CaptioningModel, look: Callable[[Any], Tensors] | None = None) -> None:
        self.model = model.eval()
        self.look = look or (lambda pixels: model.memory(torch.as_tensor(pixels).to(self._device)))

    @torch.inference_mode()
    def encode(self, pixels: Any) -> Tensors:
        return self.look(pixels)

    @torch.inference_mode()
    def start(self, memory: Tensors) -> State:
        return State(memory, self.model.decoder.start(memory))

    @torch.inference_mode()
    def step(self, tokens: Ids, state: State) -> Step:
        logits, rows, attention = self.model.decoder.step(self._ids(tokens), state.memory, state.rows)
        log_probs = logits.float().log_softmax(-1).cpu().numpy()
        looked = None if attention is None else attention.float().cpu().numpy()
        return Step(log_probs, State(state.memory, rows), looked)

    @torch.inference_mode()
    def select(self, state: State, images: Ids, beams: Ids) -> State:
        at, k = self._ids(images), self._ids(beams)
        stays = len(images) == len(next(iter(state.memory.values())))
        memory = state.memory if stays else {name: tensor[at] for name, tensor in state.memory.items()}
        return State(memory, {name: tensor[at[:, None], k] for name, tensor in state.rows.items()})

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device

    def _ids(self, ids: Ids) -> Tensor:
        return torch.from_numpy(ids).to(self._device)
