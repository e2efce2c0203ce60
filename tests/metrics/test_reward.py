from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from showtell.metrics import reward as reward_module
from showtell.metrics.reward import CiderReward

END = 2
Ids = Sequence[int]

caption = st.lists(st.integers(3, 6), max_size=7)
references = st.lists(st.lists(caption, min_size=1, max_size=3), min_size=1, max_size=4)


def counts(ids: Ids) -> Counter[tuple[int, ...]]:
    return Counter(tuple(ids[start : start + n]) for n in (1, 2, 3, 4) for start in range(len(ids) - n + 1))


def slow_reward(references: Sequence[Sequence[Ids]], sample: Ids, image: int) -> float:
    """One n-gram at a time, as in the usual code for self-critical training: the specification."""
    document_frequency = Counter(
        g for captions in references for g in set().union(*(counts([*c, END]) for c in captions))
    )

    def weights(ids: Ids, n: int) -> dict[tuple[int, ...], float]:
        idf = {g: math.log(len(references)) - math.log(max(1, document_frequency[g])) for g in counts(ids)}
        return {g: count * idf[g] for g, count in counts(ids).items() if len(g) == n}

    total = 0.0
    for reference in references[image]:
        whole = [*reference, END]
        for n in (1, 2, 3, 4):
            in_sample, in_reference = weights(sample, n), weights(whole, n)
            norms = math.hypot(*in_sample.values()) * math.hypot(*in_reference.values())
            dot = sum(min(w, in_reference.get(g, 0)) * in_reference.get(g, 0) for g, w in in_sample.items())
            total += (dot / norms if norms else 0) / 4 * math.exp(-((len(sample) - len(whole)) ** 2) / 72)
    return 10 * total / len(references[image])


@pytest.mark.parametrize("bits", [63, 0], ids=["one key", "three keys"])
@given(references=references, data=st.data())
def test_equal_to_one_ngram_at_a_time(bits: int, references: list[list[list[int]]], data: st.DataObject) -> None:
    # Ids 7 and 8 are in no reference. A sample may break off without an end, and repeat what it likes.
    sample = st.lists(st.integers(3, 8), max_size=9)
    rows = data.draw(st.lists(st.tuples(sample, st.booleans(), st.integers(0, len(references) - 1)), min_size=1))
    width = max(len(ids) for ids, *_ in rows) + 1
    samples = np.full((len(rows), width), END)
    expected = []
    for row, (ids, breaks_off, image) in zip(samples, rows, strict=True):
        ids = [*ids, *[8] * (width - len(ids))] if breaks_off else ids
        row[: len(ids)] = ids
        expected.append(slow_reward(references, ids if breaks_off else [*ids, END], image))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reward_module, "_SORT_KEY_BITS", bits)
        result = CiderReward(references, END)(samples, np.array([image for *_, image in rows]))
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-9)


REFERENCES = [[[3, 4, 5, 6]], [[7, 8, 9, 10]]]


def test_the_reference_itself_scores_10() -> None:
    assert CiderReward(REFERENCES, END)(np.array([[3, 4, 5, 6, END]]), np.array([0])) == pytest.approx([10])


def test_a_caption_that_breaks_off_scores_less_than_one_that_ends() -> None:
    reward = CiderReward(REFERENCES, END)
    ended, broken = reward(np.array([[3, 4, 5, 6, END], [3, 4, 5, 6, 6]]), np.array([0, 0]))
    # Without the end the same four words would score the same in both.
    assert broken < ended - 1


def test_what_follows_the_end_does_not_count() -> None:
    reward = CiderReward(REFERENCES, END)
    result = reward(np.array([[3, 4, END, 5, 6], [3, 4, END, END, 9]]), np.array([0, 0]))
    assert result[0] == pytest.approx(result[1], abs=1e-12)


def test_document_frequencies_are_those_of_training_not_of_the_batch() -> None:
    alone = CiderReward(REFERENCES, END)(np.array([[3, 4, END]]), np.array([0]))
    among = CiderReward(REFERENCES, END)(np.array([[3, 4, END], [7, 8, END]]), np.array([0, 1]))
    assert alone[0] == pytest.approx(among[0]) and alone[0] > 0


def test_the_largest_id_that_fits() -> None:
    reward = CiderReward([[[2**16 - 2, 3]], [[4]]], END)
    assert reward(np.array([[2**16 - 2, 3, END]]), np.array([0]))[0] > 0
    with pytest.raises(ValueError, match="found word ids from 2 to 65535; expected 0 to 65534"):
        CiderReward([[[2**16 - 1]]], END)


def test_an_image_without_references() -> None:
    with pytest.raises(ValueError, match="found 2 images without references, the first is number 1"):
        CiderReward([[[3]], [], []], END)


def test_wrong_references_and_images_are_refused() -> None:
    with pytest.raises(ValueError, match="found no references"):
        CiderReward([], END)
    with pytest.raises(ValueError, match="found the end, 2, in a reference"):
        CiderReward([[[3, END]]], END)
    for images in ([0, 1], [2], [-1]):
        with pytest.raises(ValueError, match="expected 1 numbers of images below 2"):
            CiderReward(REFERENCES, END)(np.array([[3, END]]), np.array(images))
