"""Captions by image in the forms of pycocoevalcap and COCO."""

from typing import Any

import numpy as np
import pytest

from showtell.errors import BadData
from showtell.metrics import score
from showtell.metrics.caption_maps import candidate_captions, reference_captions

CANDIDATES = {"1": "a dog runs", "2": "a cat sleeps on a chair"}
REFERENCES = {"1": ["a dog runs fast", "the dog"], "2": ["a cat sleeps on a chair"]}
ROWS = [{"image_id": 1, "caption": "a dog runs"}, {"image_id": 2, "caption": "a cat sleeps on a chair"}]
ANNOTATIONS = [{"image_id": int(i), "id": 7, "caption": text} for i, texts in REFERENCES.items() for text in texts]


@pytest.mark.parametrize(
    "candidates",
    [
        CANDIDATES,
        {1: "a dog runs", 2: "a cat sleeps on a chair"},
        {1.0: "a dog runs", np.float64(2): "a cat sleeps on a chair"},
        {np.int64(1): ["a dog runs"], 2: ("a cat sleeps on a chair",)},
        {"1": [{"image_id": 1, "caption": "a dog runs"}], 2: [{"caption": "a cat sleeps on a chair"}]},
        ROWS,
        {"annotations": ROWS},
    ],
)
@pytest.mark.parametrize(
    "references",
    [
        REFERENCES,
        {int(i): tuple(texts) for i, texts in REFERENCES.items()},
        {int(i): [{"image_id": int(i), "caption": text} for text in texts] for i, texts in REFERENCES.items()},
        ANNOTATIONS,
        {"images": [{"id": 1}, {"id": 2}], "annotations": ANNOTATIONS},
    ],
)
def test_every_form_scores_the_same(candidates: Any, references: Any) -> None:
    assert candidate_captions(candidates) == CANDIDATES and reference_captions(references) == REFERENCES
    assert score(candidates, references) == score(CANDIDATES, REFERENCES)


@pytest.mark.parametrize(
    ("candidates", "message"),
    [
        ({"a": ["x", "y"]}, "candidates: found 2 captions for a; expected one caption"),
        ({"a": []}, "candidates: found 0 captions for a"),
        ([{"image_id": 1, "caption": "x"}] * 2, "candidates: found 2 captions for 1"),
        ({"a": None}, "candidates: found None for a; expected a text, or a dict with caption"),
        ({"a": [{"text": "x"}]}, "candidates: found .*text.* for a"),
        ({1.5: "x"}, "candidates: found the id 1.5; expected a text or a whole number"),
        ({1: "x", "1": "y"}, "candidates: found the id 1 as a text and as a number"),
        ("a dog", "candidates: found a str; expected a mapping"),
        (["a dog"], "candidates: found 'a dog' at index 0; expected a mapping"),
        (7, "candidates: found a int; expected a mapping"),
    ],
)
def test_other_forms_are_refused_by_name(candidates: Any, message: str) -> None:
    with pytest.raises(BadData, match=message) as caught:
        score(candidates, {"a": ["x"]})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("references", "message"),
    [
        ({"a": "x"}, "references: found a string for a; expected a list of strings"),
        ({"a": 7}, "references: found a int for a; expected a list of strings"),
        ({"a": ["x", 7]}, "references: found 7 for a; expected a text"),
    ],
)
def test_other_references_are_refused_by_name(references: Any, message: str) -> None:
    with pytest.raises(BadData, match=message):
        score({"a": "x"}, references)
