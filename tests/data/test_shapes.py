"""The drawings are judged by their pixels and the captions by a grammar of the test's own."""

import pickle
import re
import subprocess
import sys
from typing import NamedTuple

import numpy as np
import pytest

from showtell.data.scenes import COLOURS, SHAPES, SIZES
from showtell.data.shapes import read_shapes, split_scenes
from showtell.errors import BadConfig

THING = r"a (small|big) (\w+) (\w+)"
SENTENCE = re.compile(rf"(?:there is )?{THING} (?:is )?([a-z ]+?)(?: {THING})?")


class Blob(NamedTuple):
    """What the pixels of one drawn thing say."""

    x: float
    y: float
    size: str
    colour: str
    shape: str


def see(image) -> list[Blob]:
    """The connected dark or coloured patches of a drawing."""
    pixels = np.asarray(image).astype(int)
    paper = pixels[0, 0]
    # A third of the way to the paper's grey is smoothing of the edges.
    ink = np.abs(pixels - paper).sum(axis=2) > 150
    blobs = []
    while ink.any():
        patch = np.zeros_like(ink)
        patch[tuple(np.argwhere(ink)[0])] = True
        while True:
            rows = patch.copy()
            rows[1:] |= patch[:-1]
            rows[:-1] |= patch[1:]
            grown = rows.copy()
            grown[:, 1:] |= rows[:, :-1]
            grown[:, :-1] |= rows[:, 1:]
            grown &= ink
            if (grown == patch).all():
                break
            patch = grown
        ink &= ~patch
        blobs.append(describe(pixels, patch))
    return blobs


def describe(pixels, patch) -> Blob:
    rows, columns = np.nonzero(patch)
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    filled = patch.sum() / (height * width)
    shape = "square" if filled > 0.92 else "circle" if filled > 0.68 else "triangle" if filled > 0.48 else "star"
    red, green, blue = np.median(pixels[patch], axis=0)
    high = (red > 120, green > 120, blue > 120)
    colour = {(1, 0, 0): "red", (0, 1, 0): "green", (0, 0, 1): "blue", (1, 1, 0): "yellow", (0, 0, 0): "black"}[high]
    return Blob(columns.mean(), rows.mean(), "big" if max(height, width) > 26 else "small", colour, shape)


def is_true(caption: str, blobs: list[Blob]) -> bool:
    match = SENTENCE.fullmatch(caption)
    assert match, caption
    size, colour, shape, where, *other = match.groups()
    first = [blob for blob in blobs if (blob.size, blob.colour, blob.shape) == (size, colour, shape)]
    if len(first) != 1:
        return False
    x, y = first[0].x, first[0].y
    if other[0] is None:
        # Nearer to the named edge than to any other, and well off the middle.
        edges = {"on the left": x, "on the right": 95 - x, "at the top": y, "at the bottom": 95 - y}
        return len(blobs) == 1 and min(edges, key=edges.__getitem__) == where and edges[where] < 36
    second = [blob for blob in blobs if (blob.size, blob.colour, blob.shape) == tuple(other)]
    if len(second) != 1 or len(blobs) != 2:
        return False
    right, down = second[0].x - x, second[0].y - y
    distance = {"to the left of": right, "to the right of": -right, "above": down, "below": -down}[where]
    return distance > 30 and distance > 1.5 * min(abs(right), abs(down))


def swapped(caption: str) -> str:
    opposite = {"left": "right", "right": "left", "above": "below", "below": "above", "top": "bottom", "bottom": "top"}
    return " ".join(opposite.get(word, word) for word in caption.split())


def test_captions_are_true_of_the_pixels_and_their_opposites_are_not() -> None:
    samples = read_shapes("150", ("en",))
    assert len(samples) == 250
    for sample in samples:
        blobs = see(sample.image())
        for caption in sample.captions:
            assert is_true(caption, blobs), (sample.name, caption, blobs)
            assert not is_true(swapped(caption), blobs), (sample.name, caption, blobs)


def test_nothing_is_cut_off_at_the_edge() -> None:
    for sample in read_shapes("150,seed=1", ("en",)):
        pixels = np.asarray(sample.image()).astype(int)
        border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        assert (border == pixels[0, 0]).all(), sample.name


def test_the_same_spec_gives_the_same_set() -> None:
    once, again = read_shapes("20,seed=3", ("en",)), read_shapes("20,seed=3", ("en",))
    assert [(s.name, s.captions, s.split) for s in once] == [(s.name, s.captions, s.split) for s in again]
    assert all(a.image().tobytes() == b.image().tobytes() for a, b in zip(once, again, strict=True))
    assert once[0].image().tobytes() == once[0].image().tobytes()


def test_another_seed_gives_another_set_and_a_larger_one_begins_alike() -> None:
    def captions(where: str) -> list[tuple[str, ...]]:
        return [sample.captions for sample in read_shapes(where, ("en",))]

    assert captions("20") == captions("20,seed=0")
    assert captions("20") != captions("20,seed=1")
    assert captions("30")[:20] == captions("20")[:20]


@pytest.mark.parametrize(("number", "held_out"), [("1", 50), ("500", 50), ("900", 90)])
def test_counts_names_and_languages(number: str, held_out: int) -> None:
    samples = read_shapes(number, ("en", "ar"))
    assert len(samples) == 2 * (int(number) + 2 * held_out)
    assert [s.split for s in samples].count("dev") == [s.split for s in samples].count("test") == 2 * held_out
    english, arabic = samples[::2], samples[1::2]
    assert len({s.name for s in english}) == len(english)
    for one, other in zip(english, arabic, strict=True):
        assert (one.name, one.language, other.language) == (other.name, "en", "ar")
        assert one.image().tobytes() == other.image().tobytes()


def test_drawings_of_dev_and_test_show_scenes_that_train_never_shows() -> None:
    said: dict[str, set[str]] = {"train": set(), "dev": set(), "test": set()}
    for sample in read_shapes("4000", ("en",)) + read_shapes("1000,seed=7", ("en",)):
        said[sample.split] |= set(sample.captions)
    assert not said["train"] & said["dev"]
    assert not said["train"] & said["test"]
    assert not said["dev"] & said["test"]


def test_held_out_scenes_are_made_of_what_train_has() -> None:
    singles, pairs = split_scenes("train")
    assert len({scene.things[0] for scene in singles}) == len(SHAPES) * len(COLOURS) * len(SIZES)
    for relation in ("beside", "over"):
        for side in (0, 1):
            there = {scene.things[side] for scene in pairs if scene.layout == relation}
            assert len(there) == len(SHAPES) * len(COLOURS) * len(SIZES)


def test_samples_can_be_pickled() -> None:
    sample = read_shapes("1", ("en",))[0]
    assert pickle.loads(pickle.dumps(sample)).image().tobytes() == sample.image().tobytes()  # noqa: S301


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("many", "found 'many'; expected a number"),
        ("0", "found '0'; expected a number"),
        ("-3", "found '-3'"),
        ("10,sed=3", "'sed' is no option; did you mean 'seed'"),
        ("10,seed=x", "found seed 'x'; expected a whole number"),
    ],
)
def test_what_cannot_be_followed_is_named(where: str, message: str) -> None:
    with pytest.raises(BadConfig, match=message):
        read_shapes(where, ("en",))


def test_a_drawing_is_the_same_in_another_process() -> None:
    """By what it is written as, a run that goes on knows its data, and the feature cache its photos."""
    program = "from showtell.data.shapes import read_shapes\nprint(repr([s.image for s in read_shapes('2', ['en'])]))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == repr([sample.image for sample in read_shapes("2", ["en"])])
