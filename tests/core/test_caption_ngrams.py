"""TF-IDF vectors of token ids against dictionaries of tuples."""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from showtell.core.caption_ngrams import MAX_TOKENS, NgramTable, ngram_keys

Ngram = tuple[int, ...]
SENTENCES = st.lists(st.integers(0, 4), max_size=9)


def ngrams(tokens: Sequence[int], n: int) -> list[Ngram]:
    return [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]


def key(ngram: Ngram) -> int:
    (only,) = ngram_keys(ngram)[len(ngram) - 1].tolist()
    return int(only)


@given(tokens=SENTENCES)
def test_keys_are_those_of_the_ngrams(tokens: list[int]) -> None:
    keys = ngram_keys(tokens)
    for n in range(1, 5):
        assert keys[n - 1].tolist() == [key(ngram) for ngram in ngrams(tokens, n)]


def test_ngrams_of_all_lengths_have_different_keys() -> None:
    """The last id that fits, and 0, which could be no token at all."""
    tokens = (0, 1, MAX_TOKENS - 1)
    distinct = {(a, b, c, d)[:n] for n in range(1, 5) for a in tokens for b in tokens for c in tokens for d in tokens}
    assert len({key(ngram) for ngram in distinct}) == len(distinct) == 3 + 9 + 27 + 81


@given(
    tokens=SENTENCES,
    known=st.dictionaries(st.lists(st.integers(0, 4), min_size=1, max_size=4).map(tuple), st.floats(0, 5), min_size=1),
)
def test_a_vector_has_length_one_for_each_n_with_what_is_not_in_the_table(
    tokens: list[int], known: dict[Ngram, float]
) -> None:
    idf = {key(ngram): weight for ngram, weight in known.items()}
    table = NgramTable(np.array(sorted(idf), np.uint64), np.array([idf[k] for k in sorted(idf)]), unseen_idf=6.0)
    columns, weights = table.vector(tokens)
    found = dict(zip(table.keys[columns].tolist(), weights.tolist(), strict=True))
    expected = {}
    for n in range(1, 5):
        counts = Counter(ngrams(tokens, n))
        tf_idf = {ngram: count * known.get(ngram, 6.0) for ngram, count in counts.items()}
        norm = math.sqrt(sum(weight**2 for weight in tf_idf.values())) or 1.0
        expected |= {key(ngram): weight / norm for ngram, weight in tf_idf.items() if ngram in known}
    assert found == pytest.approx(expected)
