"""The records that packages exchange.

Shape letters, everywhere in showtell: `B` images, `K` beams, `R = B*K` rows, `S` image regions, `C` feature channels,
`D` model width, `V` vocabulary, `T` words so far, `N` captions per image.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image


@dataclass(frozen=True)
class FeatureRow:
    """In place of a photo: a row of a file with precomputed features."""

    file: Path
    row: int


@dataclass(frozen=True)
class Sample:
    """One image with its captions in one language, the output of every data reader."""

    name: str
    """Unique within a data set: the file's name or its path below the data set's folder."""
    image: Path | Callable[[], Image.Image | bytes | Path] | FeatureRow
    captions: tuple[str, ...]
    split: str
    """`train`, `dev` or `test`."""
    language: str


@dataclass(frozen=True)
class Word:
    """One word of a caption and the natural logarithm of its probability given the image and the words before it."""

    text: str
    log_probability: float


@dataclass(frozen=True)
class Caption:
    """A sentence about an image. `text` begins with the prompt, where there is one; `words` are those that the model
    wrote after it.

    `score` is the mean log-probability per token, the end token included. `confidence`, from 0 to 1, is the probability
    that the caption is correct where the model is calibrated, and else the geometric mean of the tokens' probabilities.
    `attention` is `[T, height, width]` float32: for each word the weights over the grid of image regions, summing to 1,
    or to less where an imported model attends to a class token or to its own words as well; `None` unless requested, or
    when the decoder has no attention.
    """

    text: str
    score: float
    confidence: float
    words: tuple[Word, ...]
    language: str
    attention: np.ndarray | None = field(default=None, compare=False, repr=False)
    prompt: str = ""
    """The beginning of `text` that was given."""
    expected_cider: float | None = None
    """What a model with a reranker expects: the caption's CIDEr against what people would write. It depends on the
    references' document frequencies, those of the reranker's photos here, and ranks captions; it is no score."""

    @property
    def continuation(self) -> str:
        """What the model wrote after the prompt."""
        return self.text.removeprefix(self.prompt).strip()


@dataclass(frozen=True)
class CaptionRow:
    """The result of one input of `caption_many`: captions, best first, or an error."""

    source: object
    captions: tuple[Caption, ...] = ()
    error: str | None = None
    """A code of `showtell.errors.IMAGE_CODES`."""
    detail: str | None = None

    @property
    def ok(self) -> bool:
        return self.error is None
