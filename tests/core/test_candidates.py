"""The best continuations, against a full sort."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from showtell.core.candidates import STRIDE, top_candidates


def slow(sums: np.ndarray, log_probs: np.ndarray, count: int) -> list[list[tuple[int, int, float]]]:
    """By sorting all continuations of each image: (beam, token, sum)."""
    ranked = []
    for image_sums, image_log_probs in zip(sums, log_probs, strict=True):
        entries = [
            (k, v, image_sums[k] + float(image_log_probs[k, v]))
            for k in range(len(image_sums))
            for v in range(image_log_probs.shape[1])
        ]
        ranked.append(sorted(entries, key=lambda entry: -entry[2])[:count])
    return ranked


@pytest.mark.parametrize("vocab_size", [3, STRIDE - 1, 10 * STRIDE, 10 * STRIDE + 7, 40 * STRIDE + 1])
@pytest.mark.parametrize(("beams", "count"), [(1, 2), (1, 10), (5, 10), (3, 6)])
@pytest.mark.parametrize("kind", ["random", "ties", "forbidden", "one beam is empty"])
def test_equals_a_full_sort(vocab_size: int, beams: int, count: int, kind: str) -> None:
    random = np.random.default_rng(vocab_size + beams)
    log_probs = -random.random((4, beams, vocab_size)).astype(np.float32) * 9
    if kind == "ties":
        log_probs = np.round(log_probs / 3)
    if kind == "forbidden":  # all but a few, as after max_length
        log_probs[:, :, 2:] = -np.inf
    sums = -random.random((4, beams)) * 5
    if kind == "one beam is empty" and beams > 1:
        sums[1, -1] = -np.inf
    found = top_candidates(sums, log_probs, count)
    rows = zip(found.beams, found.tokens, found.sums, strict=True)
    assert [list(zip(*map(np.ndarray.tolist, row), strict=True)) for row in rows] == slow(sums, log_probs, count)


def test_the_best_may_be_anywhere() -> None:
    """Also in the last, incomplete group, and several in one group."""
    log_probs = np.full((1, 1, 20 * STRIDE + 5), -50, np.float32)
    best = [0, 20, 40, 20 * STRIDE + 4, 20 * STRIDE + 1, 7]
    log_probs[0, 0, best] = [-1, -2, -3, -4, -5, -6]
    assert top_candidates(np.zeros((1, 1)), log_probs, 6).tokens.tolist() == [best]


@given(
    sums=st.lists(st.sampled_from([-np.inf, *np.arange(-4, 1, 0.5).tolist()]), min_size=1, max_size=900),
    count=st.integers(1, 12),
    impossible=st.sampled_from([0, 0.9, 1]),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_best_of_many(sums: list[float], count: int, impossible: float, seed: int) -> None:
    """As many as two hundred times the stride, with ties and with less than enough that is possible."""
    random = np.random.default_rng(seed)
    many = random.permutation(np.tile(sums, 15))
    many[random.random(len(many)) < impossible] = -np.inf
    found = top_candidates(np.zeros((1, 1)), many[None, None], count)
    np.testing.assert_array_equal(found.tokens[0], np.argsort(-many, kind="stable")[:count])
