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

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from showtell.core.decode import decode
from showtell.core.stepper import Floats, Ids, Stepper
from showtell.core.tokenizer import AnyTokenizer
from showtell.errors import ExportMismatch
from showtell.export.along_captions import Captions, Outputs, generated_log_probs, pad_captions, step_through
from showtell.nets.captioning_model import CaptioningModel
from showtell.nets.decoder import Tensors
from showtell.nets.torch_stepper import TorchStepper
from showtell.settings import DecodeSettings

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


def compare(
    model: CaptioningModel, onnx_stepper: Stepper, pixels: Floats, tokenizer: AnyTokenizer, settings: DecodeSettings
) -> Parity:
    """Compare both on `pixels` [B, 3, H, W], in every language of the tokenizer. Raises ExportMismatch when they differ
    by more than rounding explains."""
    runs = [
        _run(TorchStepper(model), onnx_stepper, pixels, tokenizer, language, settings)
        for language in tokenizer.languages
    ]
    exact = _exact_outputs(model, pixels[PROBES], [run.tokens[PROBES] for run in runs])
    differences = [_differences(model, run, outputs, tokenizer) for run, outputs in zip(runs, exact, strict=True)]
    same = sum(np.array_equal(one.tokens, other.tokens) for run in runs for one, other in run.captions)
    largest = max(float(per_image.max()) for per_image in differences)
    return Parity(len(pixels) * len(runs), same, largest)


class _Run(NamedTuple):
    """What both networks say of the captions that they write in one language."""

    prompt: list[int]
    captions: Captions
    tokens: Ids
    """[B, 2, T], of torch's caption and ONNX's."""
    mask: NDArray[np.bool_]
    torch: Outputs
    onnx: Outputs


def _run(
    torch_stepper: Stepper,
    onnx_stepper: Stepper,
    pixels: Floats,
    tokenizer: AnyTokenizer,
    language: str,
    settings: DecodeSettings,
) -> _Run:
    steppers = torch_stepper, onnx_stepper
    memories = [stepper.encode(pixels) for stepper in steppers]
    hypotheses = (
        [best for best, *_ in decode(stepper, memory, len(pixels), tokenizer, language, settings)]
        for stepper, memory in zip(steppers, memories, strict=True)
    )
    captions = list(zip(*hypotheses, strict=True))
    prompt = tokenizer.prompt_ids(language)
    tokens, mask = pad_captions(captions, prompt)
    outputs = (step_through(s, memory, tokens) for s, memory in zip(steppers, memories, strict=True))
    return _Run(prompt, captions, tokens, mask, *outputs)


def _differences(model: CaptioningModel, run: _Run, exact: Outputs, tokenizer: AnyTokenizer) -> NDArray[Any]:
    """The largest difference of log-probabilities on each image, [B]. Raises ExportMismatch for too large ones."""
    mask = run.mask
    attention_settings = model.decoder.attention_settings
    if attention_settings is not None and attention_settings.hard:
        mask = mask & ~_after_a_tie(run.torch.attention)
    rounding = _largest(run.torch.log_probs[PROBES], exact.log_probs, mask[PROBES]).max()
    allowed = MULTIPLE * max(rounding, EPSILON * float(abs(run.torch.log_probs[mask]).max(initial=0)))
    differences: NDArray[Any] = np.maximum(
        _largest(run.onnx.log_probs, run.torch.log_probs, mask), _search_differences(run, mask, tokenizer.eos_id)
    )
    _check("log-probabilities", differences, allowed, run.captions, tokenizer)
    if run.torch.attention is not None:
        rounding = _largest(run.torch.attention[PROBES], exact.attention, mask[PROBES]).max()
        of_attention = _largest(run.onnx.attention, run.torch.attention, mask)
        _check("attention weights", of_attention, MULTIPLE * max(rounding, EPSILON), run.captions, tokenizer)
    return differences


def _check(
    quantity: str, differences: NDArray[Any], allowed: float, captions: Captions, tokenizer: AnyTokenizer
) -> None:
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


def _exact_outputs(model: CaptioningModel, pixels: Floats, captions: list[Ids]) -> list[Outputs]:
    """In float64. The model itself is converted and converted back, which changes no bit: a copy of a large one may not
    fit into memory beside it."""
    try:
        model.double()
        with torch.inference_mode():
            memory = model.encode(torch.from_numpy(pixels).double())
            return [_forward(model, memory, tokens) for tokens in captions]
    finally:
        model.float()


def _forward(model: CaptioningModel, memory: Tensors, tokens: Ids) -> Outputs:
    output = model.decoder(torch.from_numpy(tokens), memory)
    log_probs = model.decoder.logits(output.hidden).log_softmax(-1)
    return Outputs(log_probs.numpy(), None if output.attention is None else output.attention.numpy())


def _largest(actual: NDArray[Any] | None, expected: NDArray[Any] | None, mask: NDArray[np.bool_]) -> NDArray[Any]:
    """[B, K, T, ...] -> the largest difference on each image, [B]."""
    assert actual is not None and expected is not None
    largest: NDArray[Any] = np.where(mask[..., None], abs(actual - expected), 0).max((1, 2, 3))
    return largest


def _search_differences(run: _Run, mask: NDArray[np.bool_], eos_id: int) -> NDArray[Any]:
    """Largest difference [B] between what ONNX's search reports of its caption and torch's log-probabilities of it."""
    differences = np.zeros(len(run.captions))
    for image, (_, caption) in enumerate(run.captions):
        expected = generated_log_probs(run.torch.log_probs, image, 1, caption, run.prompt, eos_id)
        known = mask[image, 1, len(run.prompt) - 1 :][: len(expected)]
        differences[image] = np.where(known, abs(caption.log_probs - expected), 0).max()
    return differences


def _after_a_tie(attention: NDArray[Any] | None) -> NDArray[np.bool_]:
    """[B, K, T, S] -> [B, K, T]: whether at this or an earlier token the two most probable regions are tied."""
    assert attention is not None
    second, first = np.moveaxis(np.sort(np.pad(attention, [(0, 0)] * 3 + [(1, 0)]), -1)[..., -2:], -1, 0)
    tied: NDArray[np.bool_] = np.logical_or.accumulate(first - second < TIE, axis=2)
    return tied
