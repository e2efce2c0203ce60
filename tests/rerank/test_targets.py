"""What is to be predicted, against the CIDEr that pycocoevalcap computes."""

from collections.abc import Sequence
from itertools import chain

import numpy as np
import pytest
from tests import skips

from showtell.core.caption_ngrams import ngram_keys
from showtell.rerank.targets import build_table, mean_vector, reference_lengths

PHOTOS = [
    [[5, 6, 7, 8, 9], [5, 6, 7, 10, 11], [12, 6, 13, 8, 9]],
    [[5, 14, 7, 15, 16], [12, 14, 17, 15, 16], [5, 14, 18, 19, 20]],
    [[5, 6, 21, 22, 23], [12, 6, 7, 22, 23]],
]
"""Token ids; no caption has a word twice, and all have five, so that CIDEr-D neither clips nor minds the length."""


def test_the_dot_product_is_cider() -> None:
    cider = pytest.importorskip("pycocoevalcap.cider.cider", reason=skips.PACKAGES).Cider()
    table = build_table(PHOTOS, 1, unk=1)
    candidates = [[5, 6, 7, 8, 9], [12, 14, 18, 19, 22], [12, 6, 21, 8, 9]]
    references = {n: [" ".join(map(str, tokens)) for tokens in captions] for n, captions in enumerate(PHOTOS)}
    results = {n: [" ".join(map(str, tokens))] for n, tokens in enumerate(candidates)}
    _, expected = cider.compute_score(references, results)
    for tokens, captions, score in zip(candidates, PHOTOS, expected, strict=True):
        columns, weights = table.vector(tokens)
        assert 10 / 4 * weights @ mean_vector(table, captions)[columns] == pytest.approx(score, rel=1e-6)


def test_rare_ngrams_are_left_out() -> None:
    def text(tokens: Sequence[int]) -> str:
        return f" {' '.join(map(str, tokens))} "

    def frequency(ngram: Sequence[int]) -> int:
        return sum(any(text(ngram) in text(tokens) for tokens in captions) for captions in PHOTOS)

    table = build_table(PHOTOS, 2, unk=1)
    whole = {tuple(c[i : i + n]) for c in chain(*PHOTOS) for n in range(1, 5) for i in range(6 - n)}
    kept = [ngram for ngram in whole if frequency(ngram) >= 2]
    assert table.keys.tolist() == sorted(int(ngram_keys(ngram)[-1 + len(ngram)][0]) for ngram in kept)
    assert table.unseen_idf == pytest.approx(np.log(3)) and set(np.round(np.exp(table.idf), 6)) == {1.0, 1.5}
    with pytest.raises(ValueError, match="in the captions of 4 photos"):
        build_table(PHOTOS, 4, unk=1)


def test_ngrams_with_an_unknown_word_are_left_out() -> None:
    table = build_table([[[5, 1, 6, 7]]], 1, unk=1)
    assert table.keys.tolist() == sorted([*ngram_keys([5, 6, 7])[0].tolist(), int(ngram_keys([6, 7])[1][0])])


def test_lengths() -> None:
    assert reference_lengths([[[5], [5, 6, 7]], [[5, 6, 7]]]) == pytest.approx([0, 1 / 3, 0, 2 / 3])
