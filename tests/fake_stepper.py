"""A captioning network small enough to work out by hand: a script or a table says what comes next.

It keeps what tests ask afterwards (which images it worked on, step by step), shows in its attention everything that a
row has read, and checks that its caller keeps to what `Stepper` promises.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from showtell.core.stepper import Floats, Ids, Step

NextWord = Callable[[tuple[int, ...]], Floats]
"""Log-probabilities `[V]` of the next word, given all that was read: the start token, then the words so far."""

REGIONS = 40
"""One region for the image's number, then one for each word read; a search that needs more does not end."""


def script(vocabulary: int, lines: Mapping[tuple[int, ...], Mapping[int, float]]) -> NextWord:
    """The probabilities after each sentence of `lines` (without its start token); what is not listed has none."""

    def next_word(read: tuple[int, ...]) -> Floats:
        probabilities = np.zeros(vocabulary, np.float32)
        for word, probability in lines.get(read[1:], {}).items():
            probabilities[word] = probability
        return logarithm(probabilities)

    return next_word


@dataclass(frozen=True)
class Ngram:
    """What comes next depends on the last n - 1 words only: `table` `[V, V, ...]`, n dimensions."""

    table: Floats

    def __call__(self, read: tuple[int, ...]) -> Floats:
        order = self.table.ndim - 1
        context = (0,) * order + read
        return self.table[context[len(context) - order :]]


def random_ngram(
    random: np.random.Generator, vocabulary: int, n: int, grain: float = 0, impossible: float = 0
) -> Ngram:
    """`grain` rounds the log-probabilities, so that sums tie exactly; a share of them is `impossible`: no chance."""
    logits = random.normal(scale=1.5, size=(vocabulary,) * n)
    table = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    if grain:
        table = np.round(table / grain) * grain
    table[random.random(table.shape) < impossible] = -np.inf
    return Ngram(table.astype(np.float32))


def logarithm(probabilities: Iterable[float]) -> Floats:
    with np.errstate(divide="ignore"):
        return np.log(np.asarray(probabilities, np.float32))


def history(image: int, read: Sequence[int]) -> Floats:
    """`[S]`: the attention of a row of `image` that has read these words."""
    row = np.full(REGIONS, -1, np.float32)
    row[: len(read) + 1] = [image, *read]
    return row


@dataclass(frozen=True)
class State:
    images: Ids
    """`[B]`"""
    read: Ids
    """`[B, K, T]`"""


class FakeStepper:
    """`networks[i]` writes about image i. Its pixels, and its memory, are the number i itself."""

    def __init__(self, networks: Sequence[NextWord], attention: bool = True) -> None:
        self.networks, self.attention = networks, attention
        self.grids: list[tuple[list[int], int]] = []
        """Of each step: the images in the batch, and the rows of each."""

    @property
    def seen(self) -> list[list[int]]:
        """Of each step: the images in the batch."""
        return [images for images, _ in self.grids]

    def encode(self, pixels: Sequence[int]) -> Ids:
        return np.asarray(pixels, np.int64)

    def init_state(self, memory: Ids) -> State:
        return State(memory, np.zeros((len(memory), 1, 0), np.int64))

    def step(self, tokens: Ids, state: State, best: int | None = None) -> Step:
        assert tokens.shape == state.read.shape[:2] and tokens.dtype == np.int64
        assert state.read.shape[2] < REGIONS - 1, "the search does not end"
        read = np.concatenate([state.read, tokens[:, :, None]], 2)
        self.grids.append((state.images.tolist(), tokens.shape[1]))
        rows = [(image, [tuple(row) for row in rows]) for image, rows in zip(state.images, read.tolist(), strict=True)]
        log_probs = np.array([[self.networks[image](row) for row in rows] for image, rows in rows], np.float32)
        attention = np.array([[history(image, row) for row in rows] for image, rows in rows], np.float32)
        weights = attention if self.attention else None
        if best is None:
            return Step(log_probs, State(state.images, read), weights)
        order = np.argsort(-log_probs, 2, "stable")[:, :, :best]
        return Step(np.take_along_axis(log_probs, order, 2), State(state.images, read), weights, order)

    def reorder(self, state: State, images: Ids, beams: Ids) -> State:
        assert images.ndim == 1 and beams.ndim == 2 and len(images) == len(beams)
        assert (np.diff(images) > 0).all(), "images are ascending, without repetition"
        assert ((beams >= 0) & (beams < state.read.shape[1])).all()
        return State(state.images[images], state.read[images[:, None], beams])
