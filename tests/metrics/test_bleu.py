from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import skips

from showtell.metrics.bleu import bleu_from_stats, bleu_stats
from showtell.metrics.ngrams import Floats, build_corpus, count_ngrams

caption = st.lists(st.sampled_from("abc"), max_size=7)
image = st.tuples(caption, st.lists(caption, min_size=1, max_size=3))


def bleu(candidates: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]) -> tuple[Floats, Floats]:
    """Of the corpus, and of each image."""
    corpus = build_corpus(candidates, references)
    stats = bleu_stats(corpus, count_ngrams(corpus))
    return bleu_from_stats(stats.sum(axis=0)), bleu_from_stats(stats)


def bleu_of_one(candidate: str, *references: str) -> list[float]:
    corpus_bleu, image_bleu = bleu([candidate.split()], [[reference.split() for reference in references]])
    assert image_bleu[0] == pytest.approx(corpus_bleu, rel=1e-12)
    return corpus_bleu.tolist()


def test_a_word_counts_as_often_as_one_reference_has_it() -> None:
    """The example of Papineni et al. 2002, section 2.1."""
    result = bleu_of_one("the the the the the the the", "the cat is on the mat", "there is a cat on the mat")
    assert result[0] == pytest.approx(2 / 7)


def test_the_same_caption_scores_1() -> None:
    assert bleu_of_one("a dog runs very fast", "a dog runs very fast") == pytest.approx([1, 1, 1, 1])


def test_half_the_length_costs_a_factor_e() -> None:
    assert bleu_of_one("a dog", "a dog runs fast")[:2] == pytest.approx([1 / math.e, 1 / math.e])


def test_too_long_costs_no_penalty_but_precision() -> None:
    # 4 of 5 words, 2 of 4 pairs, 1 of 3 triples.
    expected = [4 / 5, (4 / 5 * 2 / 4) ** (1 / 2), (4 / 5 * 2 / 4 * 1 / 3) ** (1 / 3)]
    assert bleu_of_one("a big dog runs fast", "a dog runs fast")[:3] == pytest.approx(expected)


def test_of_two_references_equally_near_in_length_the_shorter_counts() -> None:
    assert bleu_of_one("a b c", "a b c d", "a b")[0] == pytest.approx(1)


def test_all_captions_together_are_not_the_mean() -> None:
    corpus_bleu, image_bleu = bleu([["a"], ["b", "c", "d"]], [[["x"]], [["b", "c", "d"]]])
    assert image_bleu[:, 0] == pytest.approx([0, 1])
    assert corpus_bleu[0] == pytest.approx(3 / 4)


def test_no_words_score_0() -> None:
    assert bleu_of_one("", "a dog") == [0, 0, 0, 0]


@given(st.lists(image, min_size=1, max_size=4))
def test_equal_to_pycocoevalcap(images: list[tuple[list[str], list[list[str]]]]) -> None:
    module = pytest.importorskip("pycocoevalcap.bleu.bleu", reason=skips.PACKAGES)
    candidates, references = zip(*images, strict=True)
    expected_corpus, expected_images = module.Bleu(4).compute_score(
        {n: [" ".join(words) for words in captions] for n, captions in enumerate(references)},
        {n: [" ".join(words)] for n, words in enumerate(candidates)},
        verbose=0,
    )
    corpus_bleu, image_bleu = bleu(candidates, references)
    np.testing.assert_allclose(corpus_bleu, expected_corpus, rtol=0, atol=1e-12)
    np.testing.assert_allclose(image_bleu, np.transpose(expected_images), rtol=0, atol=1e-12)
