import numpy as np

from showtell.train.sentence_tags import MISSED, SURE, WRONG, imagine, nouns_of, word_forms

NOUNS = ["box", "dog", "pony"]


def test_nouns_in_singular_and_plural() -> None:
    forms = word_forms(NOUNS)
    assert nouns_of([("en", "Two dogs, boxes"), ("en", "a DOG on a pony")], forms).tolist() == [0, 1, 2]
    assert nouns_of([("en", "ponies")], forms).tolist() == [2]
    assert nouns_of([("en", "dogged by a boxer"), ("de", "dog")], forms).tolist() == []


def test_made_up_probabilities() -> None:
    """Most of the nouns, and some that are wrong; their sum leaves something to classes without a noun."""
    rng = np.random.default_rng(0)
    nouns = [np.array([5, 7, 9])] * 2000
    found = imagine(nouns, 1000, rng)
    assert found.shape == (2000, 1000) and (found >= 0).all()
    sums = found.sum(1)
    assert SURE[0] - 1e-5 <= sums.min() < 0.45 and 0.95 < sums.max() <= SURE[1] + 1e-5
    # A share of 2,000 drawings, within four standard deviations; a wrong noun is one of these three in 0.9 % of them.
    share = (found[:, [5, 7, 9]] > 0).mean(0)
    assert (abs(share - (1 - MISSED)) < 4 * (MISSED * (1 - MISSED) / 2000) ** 0.5 + 0.01).all()
    others = (np.delete(found, [5, 7, 9], 1) > 0).sum(1)
    assert others.max() == WRONG and others.mean() > 0.98 * WRONG


def test_an_image_without_nouns_is_seen_wrongly() -> None:
    found = imagine([np.array([], np.int64)], 50, np.random.default_rng(0))
    assert 1 <= (found > 0).sum() <= WRONG and found.sum() > 0


def test_without_tags_there_is_nothing() -> None:
    assert imagine([np.array([], np.int64)] * 3, 0, np.random.default_rng(0)).shape == (3, 0)
