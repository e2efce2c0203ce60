"""All scores of a set of captions at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from showtell.errors import BadData
from showtell.metrics.bleu import bleu
from showtell.metrics.cider import cider
from showtell.metrics.diversity import bad_endings, different
from showtell.metrics.rouge import rouge_l
from showtell.metrics.words import split_words


def score(
    candidates: Mapping[str, str], references: Mapping[str, Sequence[str]], language: str = "en"
) -> dict[str, float]:
    """`BLEU-1` to `BLEU-4`, `ROUGE-L` and `CIDEr` as pycocoevalcap computes them; `different` and `bad_endings`.

    Both mappings are by the image's name, whose order does not matter. All scores are from 0 to 1 and more is better,
    but `CIDEr` reaches 10, and of `bad_endings` less is better.

    Raises BadData when the images are not the same, and when there are none or some have no reference.
    """
    _check(candidates, references)
    said = [split_words(caption, language) for caption in candidates.values()]
    right = [[split_words(caption, language) for caption in references[name]] for name in candidates]

    # A number with a no-break space inside (2 1/2) is one word to pycocoevalcap's ROUGE, and two to its BLEU and CIDEr.
    said_apart = [_apart(words) for words in said]
    right_apart = [[_apart(words) for words in captions] for captions in right]
    bleus, _ = bleu(said_apart, right_apart)
    return {
        **{f"BLEU-{n}": float(value) for n, value in enumerate(bleus, start=1)},
        "ROUGE-L": float(rouge_l(said, right).mean()),
        "CIDEr": float(cider(said_apart, right_apart).mean()),
        "different": different(said),
        "bad_endings": bad_endings(said_apart),
    }


def _apart(words: Sequence[str]) -> list[str]:
    return " ".join(words).split()


def _check(candidates: Mapping[str, str], references: Mapping[str, Sequence[str]]) -> None:
    if not candidates:
        raise BadData("candidates", "no captions", "at least one")
    if without := candidates.keys() - references.keys():
        raise BadData("references", f"none for {_some(without)}", "references for each image that has a caption")
    if without := references.keys() - candidates.keys():
        raise BadData("candidates", f"none for {_some(without)}", "a caption for each image that has references")
    if empty := [name for name, captions in references.items() if not captions]:
        raise BadData("references", f"an empty list for {_some(empty)}", "at least one reference per image")
    if strings := [name for name, captions in references.items() if isinstance(captions, str)]:
        raise BadData("references", f"a string for {_some(strings)}", "a list of strings per image")


def _some(names: Collection[str]) -> str:
    """Up to three of the names, and how many more there are."""
    first = ", ".join(sorted(names)[:3])
    return f"{first} and {len(names) - 3} more" if len(names) > 3 else first
