"""The interface of all decoders to training, export and search.

`Tensors` are named tensors whose first dimension is the image. The memory is computed once per image; a decoder state
has rows `[B, K]` (images by beams). A decoder sees memory and tokens and nothing else, so any encoder works with any
decoder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from showtell.settings import AttentionSettings

Tensors = dict[str, Tensor]


class StepOutput(NamedTuple):
    """The outcome of one decoding step, for every row."""

    hidden: Tensor
    """[B, K, D], the input of `logits`."""
    state: Tensors
    attention: Tensor | None
    """[B, K, S]"""
    region_log_prob: Tensor | None = None
    """[B, K]: log-probability of the region that hard attention sampled; in training only."""


class DecoderOutput(NamedTuple):
    """The outcome of a pass over N captions of each image."""

    hidden: Tensor
    """[B, N, T, D], the input of `logits`; kept apart so that padding is never multiplied by the vocabulary."""
    attention: Tensor | None
    """[B, N, T, S]"""
    region_log_prob: Tensor | None = None
    """[B, N, T], as in `StepOutput`."""


class Sizes(NamedTuple):
    """Sizes that a decoder is built for; see the shape letters in `showtell.records`."""

    channels: int
    """C"""
    regions: int
    """S"""
    vocab_size: int
    """V"""
    max_length: int | None
    """Longest sequence of tokens, start token included; None: no limit."""
    tags: int = 0
    """How many of the regions are tags, before all others; see `companion.tag_regions`."""


class Decoder(nn.Module):
    """Base of all decoders."""

    cache_axes: Mapping[str, tuple[int, ...]] = {}
    """The dimensions of each state tensor that grow with the number of tokens."""
    compiled_method: ClassVar[Literal["forward", "decode_step"]] = "decode_step"
    """The method that torch.compile speeds up most (see `train/compilation`)."""
    attention_settings: AttentionSettings | None = None
    """Set by decoders with attention: the weights of its losses."""
    reward_baseline: Tensor
    """[], hard attention only: the moving average of a caption's log-probability."""

    def encode_memory(self, regions: Tensor) -> Tensors:
        """[B, S, C] -> everything that depends on the image alone."""
        raise NotImplementedError

    def init_state(self, memory: Tensors) -> Tensors:
        """The state before the first token, with rows [B, 1]."""
        raise NotImplementedError

    def decode_step(self, tokens: Tensor, memory: Tensors, state: Tensors) -> StepOutput:
        """Read one token per row: tokens [B, K]."""
        raise NotImplementedError

    def logits(self, hidden: Tensor) -> Tensor:
        """[..., D] -> [..., V]"""
        raise NotImplementedError

    def step(self, tokens: Tensor, memory: Tensors, state: Tensors) -> tuple[Tensor, Tensors, Tensor | None]:
        """`decode_step` for search: tokens [B, K] -> logits [B, K, V], the next state, attention [B, K, S] or None."""
        output = self.decode_step(tokens, memory, state)
        logits = self.logits(output.hidden.flatten(0, 1)).view(*tokens.shape, -1)  # a product of two dimensions
        return logits, output.state, output.attention

    def forward(self, tokens: Tensor, memory: Tensors) -> DecoderOutput:
        """Teacher forcing: read the reference tokens [B, N, T], padded at the end. Decoders that can process all
        tokens at once override this."""
        return self.unroll(tokens, memory, [True] * tokens.shape[2])

    def forward_slots(self, slots: Sequence[Tensor], memory: Tensors) -> list[DecoderOutput]:
        """`forward` for several blocks of captions [B, N, T], each with its own T. Decoders override this where several
        at once take fewer and larger operations."""
        return [self(tokens, memory) for tokens in slots]

    def unroll(self, tokens: Tensor, memory: Tensors, teacher_forced: Sequence[bool]) -> DecoderOutput:
        """Step by step. Where `teacher_forced[t]` is false, every row reads its own most probable token in place of
        `tokens[:, :, t]` of `[B, N, T]` (scheduled sampling, Bengio et al. 2015, with the argmax for their sample). The
        first token is always the reference's."""
        rows = tokens.shape[1]
        state = {name: tensor.expand(-1, rows, *tensor.shape[2:]) for name, tensor in self.init_state(memory).items()}
        steps: list[StepOutput] = []
        for t, is_forced in enumerate(teacher_forced):
            if is_forced or not steps:
                inputs = tokens[:, :, t]
            else:
                with torch.no_grad():
                    inputs = self.logits(steps[-1].hidden).argmax(-1)
            steps.append(self.decode_step(inputs, memory, state))
            state = steps[-1].state
        return _stack(steps)

    def unroll_slots(self, slots: Sequence[Tensor], memory: Tensors) -> list[DecoderOutput]:
        """Teacher forcing step by step, all slots together: step t has one row for each caption of the slots that are
        longer than t."""
        order = sorted(range(len(slots)), key=lambda n: -slots[n].shape[2])  # those that go on come first
        widths = [slots[n].shape[1] for n in order]
        state = {
            name: tensor.expand(-1, sum(widths), *tensor.shape[2:]) for name, tensor in self.init_state(memory).items()
        }
        steps: list[list[StepOutput]] = [[] for _ in slots]
        for t in range(slots[order[0]].shape[2]):
            going_on = [n for n in order if slots[n].shape[2] > t]
            rows = sum(widths[: len(going_on)])
            state = {name: tensor[:, :rows] for name, tensor in state.items()}
            output = self.decode_step(torch.cat([slots[n][:, :, t] for n in going_on], 1), memory, state)
            state = output.state
            for n, part in zip(going_on, _split_rows(output, widths[: len(going_on)]), strict=True):
                steps[n].append(part)
        return [_stack(of_slot) for of_slot in steps]


def _split_rows(output: StepOutput, widths: list[int]) -> list[StepOutput]:
    """The rows of each slot, without the state."""

    def split(tensor: Tensor | None) -> Sequence[Tensor | None]:
        return [None] * len(widths) if tensor is None else torch.split(tensor, widths, 1)

    parts = zip(
        torch.split(output.hidden, widths, 1), split(output.attention), split(output.region_log_prob), strict=True
    )
    return [StepOutput(hidden, {}, attention, log_prob) for hidden, attention, log_prob in parts]


def _stack(steps: Sequence[StepOutput]) -> DecoderOutput:
    return DecoderOutput(
        torch.stack([step.hidden for step in steps], 2),
        _stack_steps([step.attention for step in steps]),
        _stack_steps([step.region_log_prob for step in steps]),
    )


def _stack_steps(steps: Sequence[Tensor | None]) -> Tensor | None:
    """[B, N, ...] per step -> [B, N, T, ...], or None where the decoder returns None."""
    tensors = [tensor for tensor in steps if tensor is not None]
    return torch.stack(tensors, 2) if tensors else None
