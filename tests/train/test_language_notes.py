from pathlib import Path

from showtell.core.tokenizer import Tokenizer
from showtell.records import Sample
from showtell.settings import Recipe
from showtell.train.language_notes import language_notes
from showtell.train.vocabulary import build_tokenizer

ENGLISH = [Sample(name, Path(name), ("a dog", "two dogs"), "train", "en") for name in "abcd"]
GERMAN = [Sample(name, Path(name), ("ein Hund",), "train", "de") for name in "abd"]


def notes(samples: list[Sample], languages: list[str], **changes: object) -> list[str]:
    train = {"views": changes.pop("views", 1)}
    text = {"languages": languages, "min_frequency": 1, **changes}
    recipe = Recipe.model_validate({"text": text, "train": train})
    captions = {tag: [c for s in samples if s.language == tag for c in s.captions] for tag in languages}
    tokenizer: Tokenizer = build_tokenizer(captions, recipe.text)
    return list(language_notes(recipe, tokenizer, samples, samples[:1]))


def test_nothing_to_say_of_captions_in_every_language() -> None:
    assert notes(ENGLISH, ["en"], views=3) == []


def test_photos_without_captions_in_a_language_are_counted() -> None:
    assert notes(ENGLISH + GERMAN, ["en", "de"]) == ["de: captions of 3 photos to train on, of 0 to validate on"]


def test_that_photos_are_not_mirrored_is_said_where_views_ask_for_it() -> None:
    swahili = [Sample(name, Path(name), ("mbwa",), "train", "sw") for name in "abcd"]
    both = [s for pair in zip(ENGLISH, swahili, strict=True) for s in pair]
    assert notes(both, ["en", "sw"])[1:] == []
    assert notes(both, ["en", "sw"], views=2)[-1] == (
        "photos are not mirrored: the registry of languages has no left and right for sw"
    )


def test_truncated_captions_are_counted_with_the_length_that_is_enough() -> None:
    thai = [Sample(name, Path(name), ("สุนัขกำลังวิ่งเล่นน้ำ", "แมว"), "train", "th") for name in "abcd"]
    (note,) = notes(thai, ["th"], max_length=5)
    assert note == (
        "th: 50 % of the captions are longer than text.max_length, 5 tokens, and truncated; expected about 12, in "
        "decode.max_length too"
    )
    assert notes(thai, ["th"], max_length=12) == []


def test_repetitions_that_the_search_prevents_are_counted() -> None:
    """Characters repeat where words do not."""
    thai = [Sample(name, Path(name), ("แมวสีแดงและหมาสีแดง", "แมว"), "train", "th") for name in "abcd"]
    (note,) = notes(thai, ["th"])
    assert note == (
        "th: 50 % of the captions repeat 3 tokens in a row, which decode.no_repeat_ngram_size=3 prevents; expected a "
        "larger one, or 0"
    )
