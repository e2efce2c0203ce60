from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import skips

from showtell.metrics.ngrams import Floats, build_corpus
from showtell.metrics.rouge import lcs_length
from showtell.metrics.rouge import rouge_l as rouge_of_corpus

# Some around 64 words, where a reference no longer fits into one integer.
caption = st.lists(st.sampled_from("abcd"), max_size=9) | st.lists(st.sampled_from("abc"), min_size=60, max_size=70)
image = st.tuples(caption, st.lists(caption, min_size=1, max_size=3))


def rouge_l(candidates: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]) -> Floats:
    return rouge_of_corpus(build_corpus(candidates, references))


def rouge_of_one(candidate: str, *references: str) -> float:
    return float(rouge_l([candidate.split()], [[reference.split() for reference in references]])[0])


def test_by_hand() -> None:
    # a c d in common: precision 3/4, recall 3/5; F = (1 + 1.44) * 0.45 / (0.6 + 1.44 * 0.75).
    assert rouge_of_one("a b c d", "a c d e f") == pytest.approx(1.098 / 1.68)


def test_precision_and_recall_may_come_from_different_references() -> None:
    # Precision 1 from the first, recall 1 from the second.
    assert rouge_of_one("a b", "a b c d", "a") == pytest.approx(1)


def test_order_matters() -> None:
    assert rouge_of_one("a b c", "c b a") == pytest.approx(1 / 3)


def test_nothing_in_common_scores_0() -> None:
    assert rouge_of_one("a b", "c d") == 0


def test_an_empty_caption_scores_0() -> None:
    assert rouge_of_one("", "a dog") == 0


@given(st.text("abc", max_size=80), st.text("abc", max_size=80))
def test_lcs_length_by_the_textbook(a: str, b: str) -> None:
    """Cell [i][j] is the answer for the first i of a and the first j of b."""
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, x in enumerate(a, start=1):
        for j, y in enumerate(b, start=1):
            table[i][j] = table[i - 1][j - 1] + 1 if x == y else max(table[i - 1][j], table[i][j - 1])
    assert lcs_length(a, b) == table[-1][-1]


@given(st.lists(image, min_size=1, max_size=4))
def test_equal_to_pycocoevalcap(images: list[tuple[list[str], list[list[str]]]]) -> None:
    module = pytest.importorskip("pycocoevalcap.rouge.rouge", reason=skips.PACKAGES)
    candidates, references = zip(*images, strict=True)
    _, expected = module.Rouge().compute_score(
        {n: [" ".join(words) for words in captions] for n, captions in enumerate(references)},
        {n: [" ".join(words)] for n, words in enumerate(candidates)},
    )
    np.testing.assert_allclose(rouge_l(candidates, references), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("length", [63, 64, 65, 66, 67, 130])
def test_references_longer_than_an_integer_are_read_to_their_end(length: int) -> None:
    words = [f"w{position}" for position in range(length)]
    assert rouge_l([words, words[-2:]], [[words], [words]])[0] == pytest.approx(1)
    recall = 2 / length
    assert rouge_l([words, words[-2:]], [[words], [words]])[1] == pytest.approx(2.44 * recall / (recall + 1.44))
