"""What the tests of the metrics share: captions to score, and pycocoevalcap's Java tokenizer where it can run."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
from tests import skips

FLICKR8K = Path(__file__).parents[2].parent / "shared" / "flickr8k"

Captions = dict[str, list[str]]


@pytest.fixture
def written() -> tuple[dict[str, str], Captions]:
    """Candidates and references, with repeated words, a number in two parts, one word, and nothing at all."""
    references = {
        "park.jpg": [
            "A brown dog is running through the park .",
            "A dog runs in the park with a ball in its mouth .",
            "The dog doesn't want to give the ball back .",
        ],
        "beach.jpg": ["Two girls play on the beach .", "Two young girls in pink at the beach"],
        "ramp.jpg": [
            "A skateboarder jumps 2 1/2 feet off the ramp .",
            "A boy on a skateboard jumps over a ramp .",
            "A boy in a t-shirt does a trick .",
            "The boy is on a skateboard .",
            "Skateboarder",
        ],
        "snow.jpg": ["A man (left) climbs the snow-covered hill .", "."],
        "street.jpg": ["A woman crosses the street ."],
    }
    candidates = {
        "park.jpg": "a dog a dog a dog is running with a ball in the park park",
        "beach.jpg": "",
        "ramp.jpg": "A boy jumps 2 1/2 feet off the ramp on a",
        "snow.jpg": "snow",
        "street.jpg": "A woman crosses the street .",
    }
    return candidates, references


@pytest.fixture(scope="session")
def flickr8k() -> dict[str, Captions]:
    """The captions of Flickr8k by language and photo, where the photos' folder stands beside the checkout."""
    if not FLICKR8K.is_dir():
        pytest.skip(skips.FLICKR8K)
    captions: dict[str, Captions] = {}
    for language in ("en", "ar", "de"):
        captions[language] = defaultdict(list)
        for line in (FLICKR8K / f"captions.{language}.txt").read_text(encoding="utf-8").splitlines():
            key, caption = line.split("\t")
            captions[language][key.split("#")[0]].append(caption)
    return captions


@pytest.fixture(scope="session")
def dev_names(flickr8k: dict[str, Captions]) -> list[str]:
    """The 1,000 photos of the dev split."""
    assert flickr8k
    return (FLICKR8K / "devImages.txt").read_text(encoding="utf-8").split()


@pytest.fixture(scope="session")
def java_tokenize() -> Callable[[list[str]], list[str]]:
    """pycocoevalcap's PTBTokenizer: each caption's words, joined by spaces."""
    module = pytest.importorskip("pycocoevalcap.tokenizer.ptbtokenizer", reason=skips.PACKAGES)
    if shutil.which("java") is None:
        pytest.skip(skips.JAVA)

    def tokenize(captions: list[str]) -> list[str]:
        with pytest.MonkeyPatch.context() as patch:
            # Before Java 18, text is read in the encoding of the terminal unless this is said.
            patch.setenv("JAVA_TOOL_OPTIONS", "-Dfile.encoding=UTF-8")
            words = module.PTBTokenizer().tokenize({n: [{"caption": caption}] for n, caption in enumerate(captions)})
        return [words[n][0] for n in range(len(captions))]

    return tokenize
