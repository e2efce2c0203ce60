"""Right by its definition: against `score`, caption for caption."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean, median

import pytest

from showtell.errors import BadData
from showtell.metrics import Evaluation
from showtell.metrics.rightness import rightness

REFERENCES = {
    "dog": ["a dog runs on the grass", "a brown dog runs outside", "the dog runs on grass"],
    "cat": ["a cat sleeps on a chair", "the cat is asleep on a chair", "a sleeping cat"],
    "car": ["a red car on the street", "a car drives by", "the red car on a street"],
    "man": ["a man rides a horse", "the man sits on a horse", "a man on his horse"],
}
CAPTIONS = {"man": "a man rides a horse", "dog": "a dog runs on grass", "cat": "a man rides a horse", "car": "a boat"}


def cider(captions: Mapping[str, str], references: Mapping[str, Sequence[str]]) -> dict[str, float]:
    found = Evaluation(captions, references).each["CIDEr"].tolist()
    return dict(zip(captions, found, strict=True))


def test_the_model_and_people_are_measured_against_equally_many() -> None:
    models, people = [], []
    for place in range(3):
        others = {name: [*each[:place], *each[place + 1 :]] for name, each in REFERENCES.items()}
        models.append(cider(CAPTIONS, others))
        people.extend(cider({name: each[place] for name, each in REFERENCES.items()}, others).values())
    found = rightness(CAPTIONS, REFERENCES, "en")
    assert found.agreement.tolist() == pytest.approx([mean(turn[name] for turn in models) for name in CAPTIONS])
    assert found.mark == pytest.approx(median(people)) and found.mark > 0
    assert found.right.tolist() == [True, True, False, False]  # in the order of the captions


def test_fewer_captions_take_several_turns() -> None:
    """Two captions where others have four: each of the two is left out twice."""
    four = {name: [*each, each[0]] for name, each in REFERENCES.items()}
    uneven = {**four, "dog": four["dog"][:2]}
    doubled = rightness(CAPTIONS, uneven, "en")
    by_hand = []
    for place in range(4):
        others = {name: [c for at, c in enumerate(each) if at != place % len(each)] for name, each in uneven.items()}
        by_hand.append(cider(CAPTIONS, others)["dog"])
    assert doubled.agreement[1] == pytest.approx(mean(by_hand))


def test_a_single_caption_agrees_with_nobody() -> None:
    with pytest.raises(BadData, match="one caption of 'dog'; expected two or more"):
        rightness(CAPTIONS, {**REFERENCES, "dog": ["a dog"]}, "en")
