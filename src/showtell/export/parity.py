"""The check that exported graphs compute what the model computes.

Torch and ONNX Runtime add the terms of a sum in different orders, and each of them in another order on another CPU. The
difference between two correct float32 results depends on the model: its depth, its norms, its magnitudes. So the check
measures the rounding error of torch in float32 on this machine, against the same model in float64, and allows ONNX
Runtime a multiple of it; the maxima are over all compared values:

    max |onnx - torch| <= MULTIPLE * max(max |torch - torch in float64|, EPSILON * max |torch|)

Compared values, at every token of the captions that either of them writes for the sample images: the log-probabilities
of the whole vocabulary, the attention weights, and the log-probabilities that ONNX Runtime's search reports. Two of the
images are enough to measure rounding, and float64 is slow: 20 times as slow as float32 for an EfficientNet.

Rejected: a fixed bound. 1e-4 refuses a correct deep network on a CPU whose kernels round differently, and accepts a
shallow one with a small fault. Rejected: equal captions. The ranks of two words with nearly equal probabilities may
change with any rounding; and if both networks give both captions the same probabilities, captions can differ only
through such a tie.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from showtell.core.decode import decode
from showtell.core.search import Hypothesis
from showtell.core.stepper import Floats, Ids, Stepper
from showtell.core.tokenizer import Tokenizer
from showtell.errors import ExportMismatch
from showtell.nets.captioning_model import CaptioningModel
from showtell.nets.decoder import Tensors
from showtell.nets.torch_stepper import TorchStepper
from showtell.settings import Recipe

MULTIPLE = 16
"""Rounding errors of random sign grow with the square root of the longest chain of additions (Higham and Mary 2019, A
new approach to probabilistic rounding error analysis, theorem 2.4). One running sum and the 64 partial sums of a kernel
for AVX-512 (four registers of 16) have chains that differ by a factor of 64, hence errors that differ by one of 8. It
is doubled because a maximum is itself random, and the difference is one of two errors."""
EPSILON = float(np.finfo(np.float32).eps)
"""The relative precision of float32: a lower bound on the rounding error, even where torch's is smaller by chance."""
PROBES = slice(None, None, 7)
"""The sample images on which rounding is measured: of eight, those with least and most detail."""
TIE = 1e-3
"""Hard attention: regions whose weights differ by less may change ranks, after which the captions differ."""

Captions = list[tuple[Hypothesis, Hypothesis]]
"""Of each image, torch's and ONNX's."""


@dataclass(frozen=True)
class Parity:
    """The agreement of torch and ONNX on sample images."""

    images: int
    same: int
    """Images with the same caption from both."""
    largest: float
    """Largest difference of a token's log-probability."""

    def __str__(self) -> str:
        return (
            f"torch and ONNX write the same on {self.same} of {self.images} sample images "
            f"(log-probabilities within {self.largest:.1e})"
        )


class _Outputs(NamedTuple):
    """A network's output at every token of K captions of each image."""

    log_probs: NDArray[Any]
    """[B, K, T, V]"""
    attention: NDArray[Any] | None
    """[B, K, T, S]"""


def compare(
    model: CaptioningModel, onnx_stepper: Stepper, pixels: Floats, tokenizer: Tokenizer, recipe: Recipe
) -> Parity:
    """Compare both on `pixels` [B, 3, H, W]. Raises ExportMismatch when they differ by more than rounding explains."""
    steppers = TorchStepper(model), onnx_stepper
    memories = [stepper.encode(pixels) for stepper in steppers]
    exact_model = copy.deepcopy(model).double()
    exact_memory = _exact_memory(exact_model, pixels[PROBES])
    attention_settings = model.decoder.attention_settings
    is_hard = attention_settings is not None and attention_settings.hard
    same, largest = 0, 0.0
    for language in recipe.text.languages:
        hypotheses = (
            [best for best, *_ in decode(stepper, memory, len(pixels), tokenizer, language, recipe.decode)]
            for stepper, memory in zip(steppers, memories, strict=True)
        )
        captions = list(zip(*hypotheses, strict=True))
        tokens, mask = _pad_captions(captions, tokenizer.bos_ids[language])
        torch_outputs, onnx_outputs = (_step_through(s, m, tokens) for s, m in zip(steppers, memories, strict=True))
        exact = _exact_outputs(exact_model, exact_memory, tokens[PROBES])
        if is_hard:
            mask &= ~_after_a_tie(torch_outputs.attention)
        rounding = _largest(torch_outputs.log_probs[PROBES], exact.log_probs, mask[PROBES]).max()
        allowed = MULTIPLE * max(rounding, EPSILON * float(abs(torch_outputs.log_probs[mask]).max(initial=0)))
        differences = np.maximum(
            _largest(onnx_outputs.log_probs, torch_outputs.log_probs, mask),
            _search_differences(captions, torch_outputs.log_probs, mask, tokenizer.eos_id),
        )
        _check("log-probabilities", differences, allowed, captions, tokenizer)
        if torch_outputs.attention is not None:
            rounding = _largest(torch_outputs.attention[PROBES], exact.attention, mask[PROBES]).max()
            attention_differences = _largest(onnx_outputs.attention, torch_outputs.attention, mask)
            _check("attention weights", attention_differences, MULTIPLE * max(rounding, EPSILON), captions, tokenizer)
        same += sum(np.array_equal(one.tokens, other.tokens) for one, other in captions)
        largest = max(largest, float(differences.max()))
    return Parity(len(pixels) * len(recipe.text.languages), same, largest)


def _check(quantity: str, differences: NDArray[Any], allowed: float, captions: Captions, tokenizer: Tokenizer) -> None:
    """`differences`: the largest on each image, [B]."""
    wrong = np.flatnonzero(~(differences <= allowed))  # so that NaN is wrong, too
    if len(wrong):
        image = int(wrong[0])
        torch_caption, onnx_caption = (tokenizer.decode(caption.tokens) for caption in captions[image])
        raise ExportMismatch(
            f"sample image {image} (torch writes {torch_caption!r}, ONNX {onnx_caption!r}): their {quantity} differ by "
            f"{differences[image]:.1e}; expected at most {allowed:.1e}, {MULTIPLE} times what float32 costs torch; "
            "nothing was written; please report this with the recipe"
        )


def _pad_captions(captions: Captions, bos_id: int) -> tuple[Ids, NDArray[np.bool_]]:
    """The input tokens, the start token first, and the mask of what is no padding: [B, 2, T] each."""
    longest = max(len(caption.tokens) for pair in captions for caption in pair) + 1
    tokens = np.full((len(captions), 2, longest), bos_id, np.int64)
    mask = np.zeros(tokens.shape, np.bool_)
    for image, pair in enumerate(captions):
        for k, caption in enumerate(pair):
            tokens[image, k, 1 : len(caption.tokens) + 1] = caption.tokens
            mask[image, k, : len(caption.tokens) + 1] = True
    return tokens, mask


def _step_through(stepper: Stepper, memory: Any, tokens: Ids) -> _Outputs:
    """Step by step, as in search, but along given captions `tokens` [B, K, T]."""
    batch, rows, length = tokens.shape
    state = stepper.reorder(stepper.init_state(memory), np.arange(batch), np.zeros((batch, rows), np.int64))
    log_probs, attention = [], []
    for t in range(length):
        step = stepper.step(np.ascontiguousarray(tokens[:, :, t]), state)
        state = step.state
        log_probs.append(step.log_probs)
        if step.attention is not None:
            attention.append(step.attention)
    return _Outputs(np.stack(log_probs, 2), np.stack(attention, 2) if attention else None)


@torch.inference_mode()
def _exact_memory(model: CaptioningModel, pixels: Floats) -> Tensors:
    return model.encode(torch.from_numpy(pixels).double())


@torch.inference_mode()
def _exact_outputs(model: CaptioningModel, memory: Tensors, tokens: Ids) -> _Outputs:
    output = model.decoder(torch.from_numpy(tokens), memory)
    log_probs = model.decoder.logits(output.hidden).log_softmax(-1)
    return _Outputs(log_probs.numpy(), None if output.attention is None else output.attention.numpy())


def _largest(actual: NDArray[Any] | None, expected: NDArray[Any] | None, mask: NDArray[np.bool_]) -> NDArray[Any]:
    """[B, K, T, ...] -> the largest difference on each image, [B]."""
    assert actual is not None and expected is not None
    largest: NDArray[Any] = np.where(mask[..., None], abs(actual - expected), 0).max((1, 2, 3))
    return largest


def _search_differences(
    captions: Captions, log_probs: NDArray[Any], mask: NDArray[np.bool_], eos_id: int
) -> NDArray[Any]:
    """Largest difference [B] between what ONNX's search reports of its caption and torch's `log_probs` of it."""
    differences = np.zeros(len(captions))
    for image, (_, caption) in enumerate(captions):
        tokens = [*caption.tokens, eos_id]
        expected = log_probs[image, 1, np.arange(len(tokens)), tokens]
        differences[image] = np.where(mask[image, 1, : len(tokens)], abs(caption.log_probs - expected), 0).max()
    return differences


def _after_a_tie(attention: NDArray[Any] | None) -> NDArray[np.bool_]:
    """[B, K, T, S] -> [B, K, T]: whether at this or an earlier token the two most probable regions are tied."""
    assert attention is not None
    second, first = np.moveaxis(np.sort(np.pad(attention, [(0, 0)] * 3 + [(1, 0)]), -1)[..., -2:], -1, 0)
    tied: NDArray[np.bool_] = np.logical_or.accumulate(first - second < TIE, axis=2)
    return tied
