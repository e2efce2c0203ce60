"""Correctness by its definition: against `Evaluation`, caption for caption."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean, median

import numpy as np
import pytest

from showtell.errors import BadData
from showtell.metrics import Evaluation
from showtell.metrics.correctness import Correctness, judge_correctness

REFERENCES = {
    "dog": ["a dog runs on the grass", "a brown dog runs outside", "the dog runs on grass"],
    "cat": ["a cat sleeps on a chair", "the cat is asleep on a chair", "a sleeping cat"],
    "car": ["a red car on the street", "a car drives by", "the red car on a street"],
    "man": ["a man rides a horse", "the man sits on a horse", "a man on his horse"],
}
CAPTIONS = {"man": "a man rides a horse", "dog": "a dog runs on grass", "cat": "a man rides a horse", "car": "a boat"}


def cider(captions: Mapping[str, str], references: Mapping[str, Sequence[str]]) -> dict[str, float]:
    result = Evaluation(captions, references).per_image["CIDEr"].tolist()
    return dict(zip(captions, result, strict=True))


def test_the_model_and_people_are_measured_against_equally_many() -> None:
    models, people = [], []
    for index in range(3):
        remaining = {name: [*captions[:index], *captions[index + 1 :]] for name, captions in REFERENCES.items()}
        models.append(cider(CAPTIONS, remaining))
        people.extend(cider({name: captions[index] for name, captions in REFERENCES.items()}, remaining).values())
    result = judge_correctness(CAPTIONS, REFERENCES, "en")
    assert result.cider.tolist() == pytest.approx([mean(turn[name] for turn in models) for name in CAPTIONS])
    assert result.threshold == pytest.approx(median(people)) and result.threshold > 0
    assert result.correct.tolist() == [True, True, False, False]  # in the order of the captions


def test_a_caption_at_the_threshold_is_correct() -> None:
    """Half of the human captions are correct, the median one among them."""
    result = Correctness(np.array([0.2, 0.4, 0.4000001, 0.9]), 0.4)
    assert result.correct.tolist() == [False, True, True, True]


def test_fewer_captions_take_several_turns() -> None:
    """Two captions where others have four: each of the two is left out twice."""
    four = {name: [*captions, captions[0]] for name, captions in REFERENCES.items()}
    uneven = {**four, "dog": four["dog"][:2]}
    doubled = judge_correctness(CAPTIONS, uneven, "en")
    by_hand = []
    for index in range(4):
        remaining = {
            name: [c for position, c in enumerate(captions) if position != index % len(captions)]
            for name, captions in uneven.items()
        }
        by_hand.append(cider(CAPTIONS, remaining)["dog"])
    assert doubled.cider[1] == pytest.approx(mean(by_hand))


def test_a_single_caption_agrees_with_nobody() -> None:
    with pytest.raises(BadData, match="one caption of 'dog'; expected two or more"):
        judge_correctness(CAPTIONS, {**REFERENCES, "dog": ["a dog"]}, "en")
