"""The check that an imported bundle writes what the original writes in transformers.

First the log-probabilities of the whole vocabulary, at every token of all captions that either of them writes for the
sample images. The bound is that of `export/parity`: a multiple of what float32 costs transformers itself, measured
against the same model in float64.

Then the captions, token for token: greedy and beam search against `generate(early_stopping="never")` with the same
beams, length penalty, n-grams and lengths. Where they part, there must be a tie: some change of the log-probabilities
within the bound with which our search writes transformers' caption. Such changes are drawn at random. Rejected:
comparing the final scores of the two captions, which lets a wrong search pass whose captions score alike, and refuses
a right one where two beams were tied at a step before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from showtell.core.candidates import best_tokens
from showtell.core.decode import decode
from showtell.core.imported_tokenizer import ImportedTokenizer
from showtell.core.stepper import Floats, Ids, Step, Stepper
from showtell.errors import ExportMismatch
from showtell.export.parity import EPSILON, MULTIPLE, PROBES
from showtell.hub.reference import generate, log_probs
from showtell.settings import DecodeSettings

BEAMS = (1, 3, 5)
"""Beam sizes that are compared besides the model's own."""
EXAMPLE_PROMPT = "a picture of"
"""For models that take one: compared besides the default, in greedy and the model's own search."""
TRIES = 64
"""Random changes of the log-probabilities that are tried before two captions are said to differ. Of two hypotheses that
are closer than the bound, half of the changes or nearly so make the other one better."""


@dataclass(frozen=True)
class SearchParity:
    """Captions of one search."""

    beam_size: int
    prompt: str
    """The text that captions begin with."""
    same: int
    """Images with the same tokens from both."""
    ties: int
    """Images with other tokens, because rounding decides between two hypotheses."""


@dataclass(frozen=True)
class ImportParity:
    """The agreement of an imported bundle and transformers on sample images."""

    images: int
    largest: float
    """Largest difference of a log-probability."""
    allowed: float
    searches: tuple[SearchParity, ...]

    def table(self) -> str:
        """In Markdown, for the model card."""
        rows = [
            f"| {_search_name(row.beam_size)}{f', prompt “{row.prompt}”' if row.prompt else ''} | "
            f"{row.same} of {self.images}{f', {row.ties} tied' if row.ties else ''} |"
            for row in self.searches
        ]
        return "\n".join(["| search | same tokens as `generate` |", "| --- | --- |", *rows])

    def __str__(self) -> str:
        same = sum(row.same for row in self.searches)
        ties = sum(row.ties for row in self.searches)
        return (
            f"the same as transformers on {same} of {self.images * len(self.searches)} sample captions"
            + (f", {ties} tied" if ties else "")
            + f" (log-probabilities within {self.largest:.1e}; allowed {self.allowed:.1e})"
        )


def check(
    reference: Any,
    stepper: Stepper,
    tokenizer: ImportedTokenizer,
    settings: DecodeSettings,
    pixels: Floats,
    max_positions: int,
) -> ImportParity:
    """`reference`: transformers' model with the bundle's rounded weights (`load_reference`); `max_positions`: of the
    manifest. Raises ExportMismatch when they differ by more than rounding explains."""
    memory = stepper.encode(pixels)
    runs = [
        _run(reference, stepper, memory, tokenizer, options, pixels, prompt)
        for prompt, options in _searches(tokenizer, settings, max_positions)
    ]
    largest, allowed = _compare_log_probs(reference, stepper, memory, tokenizer, pixels, runs)
    searches = tuple(_compare_captions(stepper, tokenizer, pixels, run, allowed) for run in runs)
    return ImportParity(len(pixels), largest, allowed, searches)


@dataclass(frozen=True)
class _Run:
    """What both write in one search: tokens without prompt and end, for each image."""

    prompt: str | None
    prompt_ids: list[int]
    settings: DecodeSettings
    theirs: list[list[int]]
    ours: list[list[int]]

    def captions(self, image: int) -> list[list[int]]:
        """The network's input for an image; what comes after the last token may have no position."""
        found = [
            [*self.prompt_ids, *rows[image]][: len(self.prompt_ids) + self.settings.max_length - 1]
            for rows in (self.theirs, self.ours)
        ]
        return found


def _searches(
    tokenizer: ImportedTokenizer, settings: DecodeSettings, max_positions: int
) -> list[tuple[str | None, DecodeSettings]]:
    """Prompt and settings of each search."""
    own = settings.model_copy(update={"truncate": True, "num_beam_groups": 1, "bad_endings": ()})
    beams = sorted({*BEAMS, own.beam_size})
    searches: list[tuple[str | None, DecodeSettings]] = [
        (None, own.model_copy(update={"beam_size": beam})) for beam in beams
    ]
    if tokenizer.text.takes_prompt:
        room = max_positions + 1 - len(tokenizer.prompt_ids(tokenizer.languages[0], EXAMPLE_PROMPT))
        if room > 0:
            length = min(own.max_length, room)
            fitted = own.model_copy(update={"max_length": length, "min_length": min(own.min_length, length)})
            example = [fitted.model_copy(update={"beam_size": beam}) for beam in sorted({1, max(own.beam_size, 3)})]
            searches += [(EXAMPLE_PROMPT, options) for options in example]
    return searches


def _run(
    reference: Any,
    stepper: Stepper,
    memory: Any,
    tokenizer: ImportedTokenizer,
    settings: DecodeSettings,
    pixels: Floats,
    prompt: str | None,
) -> _Run:
    prompt_ids = tokenizer.prompt_ids(tokenizer.languages[0], prompt)
    images = torch.from_numpy(pixels)
    theirs = generate(reference, images, prompt_ids, settings, tokenizer.eos_id, tokenizer.banned_ids)
    ours = _our_captions(stepper, memory, len(pixels), tokenizer, settings, prompt)
    return _Run(prompt, prompt_ids, settings, theirs, ours)


def _our_captions(
    stepper: Stepper,
    memory: Any,
    images: int,
    tokenizer: ImportedTokenizer,
    settings: DecodeSettings,
    prompt: str | None,
) -> list[list[int]]:
    hypotheses = decode(stepper, memory, images, tokenizer, tokenizer.languages[0], settings, prompt=prompt)
    return [best.tokens.tolist() for best, *_ in hypotheses]


def _compare_log_probs(
    reference: Any,
    stepper: Stepper,
    memory: Any,
    tokenizer: ImportedTokenizer,
    pixels: Floats,
    runs: Sequence[_Run],
) -> tuple[float, float]:
    """The largest difference and the bound. One image at a time: large vocabularies take much memory."""
    inputs = [_pad([caption for run in runs for caption in run.captions(b)]) for b in range(len(pixels))]
    probes, differences, magnitude = {}, [], 0.0
    for b, (tokens, mask) in enumerate(inputs):
        expected = _reference_log_probs(reference, pixels[b : b + 1], tokens)[mask]
        actual = _step_through(stepper, memory, b, tokens)[mask]
        differences.append(float(abs(actual - expected).max()))
        magnitude = max(magnitude, float(abs(expected).max()))
        if b in range(len(pixels))[PROBES]:
            probes[b] = expected
    rounding = _measure_rounding(reference, pixels, inputs, probes)
    allowed = MULTIPLE * max(rounding, EPSILON * magnitude)
    for b, difference in enumerate(differences):
        if not difference <= allowed:  # so that NaN is wrong, too
            raise ExportMismatch(
                f"sample image {b} (transformers writes {tokenizer.decode(runs[0].theirs[b])!r}, showtell "
                f"{tokenizer.decode(runs[0].ours[b])!r}): their log-probabilities differ by {difference:.1e}; expected "
                f"at most {allowed:.1e}, {MULTIPLE} times what float32 costs transformers; nothing was written; please "
                "report this with the model's name"
            )
    return max(differences), allowed


def _measure_rounding(
    reference: Any, pixels: Floats, inputs: list[tuple[Ids, NDArray[np.bool_]]], probes: dict[int, NDArray[Any]]
) -> float:
    """What float32 costs transformers. Its model is converted and converted back, which changes no bit: a copy of a
    large one may not fit into memory beside it."""
    reference.double()
    try:
        exact = {b: _reference_log_probs(reference, pixels[b : b + 1].astype(np.float64), inputs[b][0]) for b in probes}
        return max(float(abs(expected - exact[b][inputs[b][1]]).max()) for b, expected in probes.items())
    finally:
        reference.float()


def _reference_log_probs(reference: Any, pixels: NDArray[Any], tokens: Ids) -> NDArray[Any]:
    scores: Tensor = log_probs(reference, torch.from_numpy(pixels), torch.from_numpy(tokens))
    return scores.numpy()


def _pad(captions: Sequence[Sequence[int]]) -> tuple[Ids, NDArray[np.bool_]]:
    """Different captions, and the mask of what is no padding: [K, T] each."""
    different = sorted({tuple(caption) for caption in captions})
    longest = max(len(caption) for caption in different)
    tokens = np.full((len(different), longest), different[0][0], np.int64)
    mask = np.zeros(tokens.shape, np.bool_)
    for row, caption in enumerate(different):
        tokens[row, : len(caption)] = caption
        mask[row, : len(caption)] = True
    return tokens, mask


def _step_through(stepper: Stepper, memory: Any, image: int, tokens: Ids) -> Floats:
    """Log-probabilities [K, T, V] of one image of the memory, step by step as in search."""
    rows, length = tokens.shape
    state = stepper.reorder(stepper.init_state(memory), np.array([image]), np.zeros((1, rows), np.int64))
    found = []
    for t in range(length):
        step = stepper.step(np.ascontiguousarray(tokens[None, :, t]), state)
        state = step.state
        found.append(step.log_probs[0])
    return np.stack(found, 1)


def _compare_captions(
    stepper: Stepper, tokenizer: ImportedTokenizer, pixels: Floats, run: _Run, allowed: float
) -> SearchParity:
    text = tokenizer.text.prompt if run.prompt is None else run.prompt
    parted = [b for b in range(len(pixels)) if run.ours[b] != run.theirs[b]]
    for b in parted:
        if not _is_tie(stepper, tokenizer, pixels[b : b + 1], run, run.theirs[b], allowed):
            raise _mismatch(tokenizer, run, b, allowed)
    return SearchParity(run.settings.beam_size, text, len(pixels) - len(parted), len(parted))


def _is_tie(
    stepper: Stepper, tokenizer: ImportedTokenizer, pixels: Floats, run: _Run, theirs: list[int], allowed: float
) -> bool:
    """Whether a change of the log-probabilities by no more than `allowed` makes our search write `theirs`."""
    memory = stepper.encode(pixels)
    return any(
        _our_captions(_Perturbed(stepper, allowed, seed), memory, 1, tokenizer, run.settings, run.prompt) == [theirs]
        for seed in range(TRIES)
    )


class _Perturbed:
    """A Stepper whose log-probabilities are changed at random, by `amount` at most."""

    def __init__(self, stepper: Stepper, amount: float, seed: int) -> None:
        self.stepper, self.amount, self.rng = stepper, amount, np.random.default_rng(seed)
        self.encode, self.init_state, self.reorder = stepper.encode, stepper.init_state, stepper.reorder

    def step(self, tokens: Ids, state: Any, best: int | None = None) -> Step:
        step = self.stepper.step(tokens, state)
        noise = self.rng.uniform(-self.amount, self.amount, step.log_probs.shape).astype(np.float32)
        log_probs = step.log_probs + noise
        if best is None:
            return Step(log_probs, step.state, step.attention)
        found = best_tokens(log_probs, best)
        return Step(found.log_probs, step.state, step.attention, found.tokens)


def _mismatch(tokenizer: ImportedTokenizer, run: _Run, image: int, allowed: float) -> ExportMismatch:
    theirs, ours = run.theirs[image], run.ours[image]
    position = next(
        (t for t, (a, b) in enumerate(zip(theirs, ours, strict=False)) if a != b), min(len(theirs), len(ours))
    )
    written, other = (tokenizer.decode(row, run.prompt_ids) for row in (theirs, ours))
    return ExportMismatch(
        f"sample image {image}, {_search_name(run.settings.beam_size)}: captions part at token {position}: "
        f"transformers writes {written!r}, showtell {other!r}, and no change of the "
        f"log-probabilities within {allowed:.1e} explains it; nothing was written; please report this with the model's "
        "name"
    )


def _search_name(beam_size: int) -> str:
    return "greedy search" if beam_size == 1 else f"beam search, {beam_size} beams"
