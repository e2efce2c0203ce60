from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable

import pytest

from showtell.errors import BadConfig, BadData
from showtell.metrics import score
from showtell.metrics.words import arabic_words, ptb_words

Captions = dict[str, list[str]]


def judge(candidates: Captions, references: Captions) -> dict[str, float]:
    """pycocoevalcap on words joined by spaces, as the COCO challenge runs it, and the two extras."""
    reason = "pycocoevalcap is not installed"
    bleu = pytest.importorskip("pycocoevalcap.bleu.bleu", reason=reason).Bleu(4)
    rouge = pytest.importorskip("pycocoevalcap.rouge.rouge", reason=reason).Rouge()
    cider = pytest.importorskip("pycocoevalcap.cider.cider", reason=reason).Cider()
    bleus, _ = bleu.compute_score(references, candidates, verbose=0)
    said = [caption for [caption] in candidates.values()]
    bad = ["a", "an", "the", "of", "and", "with", "in", "on", "to", "at"]
    return {
        **{f"BLEU-{n}": value for n, value in enumerate(bleus, start=1)},
        "ROUGE-L": float(rouge.compute_score(references, candidates)[0]),
        "CIDEr": float(cider.compute_score(references, candidates)[0]),
        "different": len(set(said)) / len(said),
        "bad_endings": sum(caption.split(" ")[-1] in bad for caption in said) / len(said),
    }


def joined(captions: Captions, words: Callable[[str], list[str]]) -> Captions:
    return {name: [" ".join(words(caption)) for caption in captions[name]] for name in captions}


def test_equal_to_pycocoevalcap_on_written_captions(written: tuple[dict[str, str], Captions]) -> None:
    candidates, references = written
    expected = judge(joined({name: [c] for name, c in candidates.items()}, ptb_words), joined(references, ptb_words))
    assert score(candidates, references) == pytest.approx(expected, abs=1e-9)


def test_equal_to_pycocoevalcap_with_java_on_flickr8k(
    flickr8k: dict[str, Captions], java_words: Callable[[list[str]], list[str]]
) -> None:
    draw = random.Random(0)
    names = draw.sample(sorted(flickr8k["en"]), 500)
    references = {name: flickr8k["en"][name][1:] for name in names}
    # Half of the candidates are right; of the others some belong to another photo, and some break off.
    candidates = {name: flickr8k["en"][name][0] for name in names}
    for name in names[::2]:
        words = candidates[draw.choice(names)].split()
        candidates[name] = " ".join(words[: draw.randint(0, len(words))])

    texts = [*candidates.values(), *(caption for captions in references.values() for caption in captions)]
    words_of = dict(zip(texts, java_words(texts), strict=True))
    expected = judge(
        {name: [words_of[caption]] for name, caption in candidates.items()},
        {name: [words_of[caption] for caption in captions] for name, captions in references.items()},
    )
    assert score(candidates, references) == pytest.approx(expected, abs=1e-9)


def test_equal_to_pycocoevalcap_on_flickr8k_in_arabic(flickr8k: dict[str, Captions]) -> None:
    names = sorted(flickr8k["ar"])[:300]
    references = {name: flickr8k["ar"][name][1:] for name in names}
    candidates = {name: flickr8k["ar"][name][0] for name in names}
    expected = judge(joined({n: [c] for n, c in candidates.items()}, arabic_words), joined(references, arabic_words))
    assert score(candidates, references, language="ar") == pytest.approx(expected, abs=1e-9)


def test_the_order_of_the_images_does_not_matter(written: tuple[dict[str, str], Captions]) -> None:
    candidates, references = written
    turned = dict(reversed(candidates.items()))
    assert score(turned, references) == pytest.approx(score(candidates, references), abs=1e-12)


def test_perfect_captions() -> None:
    captions = {"a.jpg": "A man rides a horse.", "b.jpg": "Two dogs play in snow."}
    assert score(captions, {name: [caption] for name, caption in captions.items()}) == pytest.approx(
        # "a man rides a horse" repeats a word of no other image, and everything is as in the reference.
        {
            "BLEU-1": 1,
            "BLEU-2": 1,
            "BLEU-3": 1,
            "BLEU-4": 1,
            "ROUGE-L": 1,
            "CIDEr": 10,
            "different": 1,
            "bad_endings": 0,
        }
    )


@pytest.mark.parametrize(
    ("candidates", "references", "message"),
    [
        ({}, {}, "candidates: found no captions; expected at least one"),
        ({"a": "x", "b": "y"}, {"a": ["x"]}, "references: found none for b; expected references for each image"),
        ({"a": "x"}, {"a": ["x"], "b": ["y"]}, "candidates: found none for b; expected a caption for each image"),
        ({"a": "x"}, {n: ["y"] for n in "abcde"}, "candidates: found none for b, c, d and 1 more; expected"),
        ({"a": "x"}, {"a": []}, "references: found an empty list for a; expected at least one reference"),
        ({"a": "x"}, {"a": "x"}, "references: found a string for a; expected a list of strings"),
    ],
)
def test_captions_that_cannot_be_scored(candidates: dict[str, str], references: Captions, message: str) -> None:
    with pytest.raises(BadData) as caught:
        score(candidates, references)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_an_unknown_language() -> None:
    with pytest.raises(BadConfig, match="found language 'de'"):
        score({"a": "ein Hund"}, {"a": ["ein Hund"]}, language="de")


def test_importing_is_light() -> None:
    """Only numpy and what it needs; nothing that trains, captions or compares with pycocoevalcap."""
    code = "import sys, showtell.metrics; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert "numpy" in loaded
    assert not loaded & {"torch", "onnxruntime", "timm", "lightning", "pycocoevalcap", "pydantic", "PIL", "typer"}
