"""A whole report on captions of which it is known how good they are."""

from __future__ import annotations

import math

import numpy as np
import pytest

from showtell.data.scenes import all_scenes, captions_of
from showtell.errors import BadData
from showtell.metrics import Evaluation
from showtell.metrics.trust import Trust

SCENES = [captions_of(scene, "en") for scene in all_scenes()[:2000:10]]
REFERENCES = {f"{place}": captions for place, captions in enumerate(SCENES)}


@pytest.fixture(scope="module")
def said() -> tuple[dict[str, str], dict[str, float]]:
    """Every third caption is another scene's, and has on the whole a lower score."""
    random = np.random.default_rng(0)
    names = list(REFERENCES)
    captions = {n: REFERENCES[n if at % 3 else names[at - 50]][0] for at, n in enumerate(names)}
    scores = {n: float(random.normal(-0.5 if at % 3 else -1.2, 0.3)) for at, n in enumerate(names)}
    return captions, scores


def test_a_report(said: tuple[dict[str, str], dict[str, float]]) -> None:
    captions, scores = said
    trust = Trust(captions, scores, REFERENCES)
    cider = Evaluation(captions, REFERENCES).each["CIDEr"]
    good = np.arange(len(captions)) % 3 > 0
    assert trust.right[good].mean() > 0.9 and not trust.right[~good].any()
    assert trust.rank.low < trust.rank.value < trust.rank.high and trust.rank.value > 0.3
    assert trust.losses["logistic"] < trust.losses["exp(score)"] and trust.losses["logistic"] < trust.losses["share"]
    share = trust.right.mean()
    assert trust.losses["share"] == pytest.approx(-share * math.log(share) - (1 - share) * math.log(1 - share))
    error, luck = trust.errors
    assert 0 < error < 3 * luck
    every, some, none = map(trust.coverage, (0.0, 0.9, 1.0))
    assert every[1:] == (len(captions), pytest.approx(cider.mean()), pytest.approx(trust.right.mean()))
    sure = trust.confidence >= 0.9
    assert some == (0.9, sure.sum(), pytest.approx(cider[sure].mean()), pytest.approx(trust.right[sure].mean()))
    assert some.right > 0.85 and 0 < some.captions < every.captions
    assert none.captions == 0 and math.isnan(none.right)


def test_the_order_of_the_mappings_does_not_matter(said: tuple[dict[str, str], dict[str, float]]) -> None:
    captions, scores = said
    backwards = dict(reversed(scores.items()))
    assert Trust(captions, backwards, REFERENCES).curve == Trust(captions, scores, REFERENCES).curve


def test_other_images_are_refused(said: tuple[dict[str, str], dict[str, float]]) -> None:
    captions, scores = said
    with pytest.raises(BadData, match="references"):
        Trust(captions, scores, {"0": REFERENCES["0"]})
