"""The best continuations, against a full sort."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from showtell.core.candidates import STRIDE, best_tokens, top_candidates


def slow(sums: np.ndarray, scores: np.ndarray, count: int) -> list[list[tuple[int, int, float]]]:
    """By sorting all continuations of each image: (beam, token, sum)."""
    ranked = []
    for image_sums, image_scores in zip(sums, scores, strict=True):
        entries = [
            (k, v, image_sums[k] + float(image_scores[k, v]))
            for k in range(len(image_sums))
            for v in range(image_scores.shape[1])
        ]
        ranked.append(sorted(entries, key=lambda entry: -entry[2])[:count])
    return ranked


@pytest.mark.parametrize("vocab_size", [3, STRIDE - 1, 10 * STRIDE, 10 * STRIDE + 7, 40 * STRIDE + 1])
@pytest.mark.parametrize(("beams", "count"), [(1, 2), (1, 10), (5, 10), (3, 6)])
@pytest.mark.parametrize("kind", ["random", "ties", "forbidden", "one beam is empty", "penalties"])
def test_equals_a_full_sort(vocab_size: int, beams: int, count: int, kind: str) -> None:
    random = np.random.default_rng(vocab_size + beams)
    log_probs = -random.random((4, beams, vocab_size)).astype(np.float32) * 9
    penalties = np.zeros(log_probs.shape)
    if kind in ("ties", "penalties"):
        log_probs = np.round(log_probs / 3)
    if kind == "forbidden":  # all but a few
        log_probs[:, :, 2:] = -np.inf
    if kind == "penalties":  # of two tokens of each image
        penalties[:, :, random.integers(vocab_size, size=2)] = 1
    sums = np.round(-random.random((4, beams)) * 5)
    if kind == "one beam is empty" and beams > 1:
        sums[1, -1] = -np.inf
    best = best_tokens(log_probs, count + 2)
    of_best = np.take_along_axis(penalties, best.tokens, 2) if kind == "penalties" else None
    found = top_candidates(sums, best, count, of_best)
    rows = zip(found.beams, found.tokens, found.sums, strict=True)
    found_rows = [list(zip(*map(np.ndarray.tolist, row), strict=True)) for row in rows]
    possible = [[entry for entry in row if entry[2] > -np.inf] for row in found_rows]
    expected = [[e for e in row if e[2] > -np.inf] for row in slow(sums, log_probs - penalties, count)]
    assert possible == expected
    images = np.arange(4)[:, None]
    np.testing.assert_array_equal(found.log_probs, log_probs[images, found.beams, found.tokens])


def test_the_best_may_be_anywhere() -> None:
    """Also in the last, incomplete group, and several in one group."""
    log_probs = np.full((1, 1, 20 * STRIDE + 5), -50, np.float32)
    best = [0, 20, 40, 20 * STRIDE + 4, 20 * STRIDE + 1, 7]
    log_probs[0, 0, best] = [-1, -2, -3, -4, -5, -6]
    assert best_tokens(log_probs, 6).tokens.tolist() == [[best]]


@given(
    values=st.lists(st.sampled_from([-np.inf, *np.arange(-4, 1, 0.5).tolist()]), min_size=1, max_size=900),
    rows=st.integers(1, 3),
    count=st.integers(1, 12),
    impossible=st.sampled_from([0, 0.9, 1]),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_best_of_many(values: list[float], rows: int, count: int, impossible: float, seed: int) -> None:
    """As many as two hundred times the stride, with ties and with less than enough that is possible."""
    random = np.random.default_rng(seed)
    many = random.permuted(np.tile(np.array(values, np.float32), (rows, 15)), axis=1)
    many[random.random(many.shape) < impossible] = -np.inf
    found = best_tokens(many[None], count)
    expected = np.argsort(-many, axis=1, kind="stable")[:, :count]
    np.testing.assert_array_equal(found.tokens[0], expected)
    np.testing.assert_array_equal(found.log_probs[0], np.take_along_axis(many, expected, 1))
