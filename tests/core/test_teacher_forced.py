from __future__ import annotations

import numpy as np
import pytest
from tests.fake_stepper import FakeStepper, random_ngram, script

from showtell.core.teacher_forced import score_captions

END, START, A, B = 0, 1, 2, 3


def test_by_hand() -> None:
    # After the start A has a half and B a quarter; after A the end is certain.
    network = script(4, {(): {A: 0.5, B: 0.25, END: 0.25}, (A,): {END: 1.0}, (B,): {A: 0.75, END: 0.25}})
    stepper = FakeStepper([network])
    [found] = score_captions(stepper, stepper.encode([0]), [[[START, A, END], [START, B, END]]])
    assert (found.tokens, found.hits) == (4, 4)  # there are but four words in all
    assert found.loss == pytest.approx(-np.log(0.5 * 1.0 * 0.25 * 0.25))


def test_the_fifth_likeliest_is_a_hit_and_the_sixth_is_none() -> None:
    chances = {word: (word + 1) / 100 for word in range(8)}
    network = script(8, {(): chances, (3,): {END: 1.0}, (2,): {END: 1.0}})
    stepper = FakeStepper([network, network])
    fifth, sixth = score_captions(stepper, stepper.encode([0, 1]), [[[START, 3, END]], [[START, 2, END]]])
    assert (fifth.hits, sixth.hits) == (2, 1)


def test_captions_of_many_lengths_read_together_as_one_by_one() -> None:
    random = np.random.default_rng(0)
    networks = [random_ngram(random, 9, 3) for _ in range(4)]
    captions = [
        [[START, *random.integers(2, 9, size=random.integers(0, 6)).tolist(), END] for _ in range(count)]
        for count in (1, 3, 2, 5)
    ]
    stepper = FakeStepper(networks)
    found = score_captions(stepper, stepper.encode(range(4)), captions)
    for network, each, reading in zip(networks, captions, found, strict=True):
        loss, hits, words = 0.0, 0, 0
        for ids in each:
            for place in range(1, len(ids)):
                log_probs = network(tuple(ids[:place]))
                loss -= float(log_probs[ids[place]])
                hits += ids[place] in np.argsort(-log_probs)[:5]
                words += 1
        assert (reading.tokens, reading.hits) == (words, hits)
        assert reading.loss == pytest.approx(loss, rel=1e-5)
