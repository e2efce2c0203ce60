"""Augmentation of training photos, before the shared preprocessing, and mirrored captions.

View 0 is the photo itself. Further views are random resized crops of half to all of its area with colour jitter, and in
half of the cases a horizontal flip; RandAugment, if enabled, comes before the flip. A view depends only on the seed,
the photo's index and the view's index, so that views can be cached, made in threads, and reproduced.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from functools import cache
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from showtell.languages import language_info

CROP_AREA = (0.5, 1.0)
CROP_ASPECT = (0.8, 1.25)
COLOUR = 0.25
GREY = (128, 128, 128)
"""Fill colour beyond the edges."""

# The RandAugment operations that keep a caption correct: none flips, and none changes the colours that it names. ALBEF
# and BLIP (Li et al. 2021, 2022) use these and equalize, which changes the colours of nearly half of Flickr8k's photos;
# autocontrast here stretches all channels alike. The level is -1 to 1; the ranges are timm's, except for the small
# shift, as crops shift already. Rejected: timm's and torchvision's own, which draw from the process's global random
# generators: views made in two threads would not be reproducible.
OPERATIONS: dict[str, Callable[[Image.Image, float], Image.Image]] = {
    "identity": lambda photo, level: photo,
    "autocontrast": lambda photo, level: ImageOps.autocontrast(photo, preserve_tone=True),
    "brightness": lambda photo, level: ImageEnhance.Brightness(photo).enhance(1 + 0.9 * level),
    "sharpness": lambda photo, level: ImageEnhance.Sharpness(photo).enhance(1 + 0.9 * level),
    "shear_x": lambda photo, level: _affine(photo, (1, 0.3 * level, 0, 0, 1, 0)),
    "shear_y": lambda photo, level: _affine(photo, (1, 0, 0, 0.3 * level, 1, 0)),
    "shift_x": lambda photo, level: _affine(photo, (1, 0, 0.1 * level * photo.width, 0, 1, 0)),
    "shift_y": lambda photo, level: _affine(photo, (1, 0, 0, 0, 1, 0.1 * level * photo.height)),
    "rotate": lambda photo, level: photo.rotate(30 * level, Image.Resampling.BICUBIC, fillcolor=GREY),
}


class RandAugment(NamedTuple):
    """RandAugment (Cubuk et al. 2020): operations drawn with replacement, with one magnitude and a random sign."""

    num_ops: int = 0
    magnitude: float = 5.0
    """0 to 10."""


OFF = RandAugment()


def is_mirrored(seed: int, image: int, view: int) -> bool:
    return view > 0 and bool(_random(seed, image, view).random() < 0.5)


def without_mirrored_words(languages: Iterable[str]) -> list[str]:
    """Those of the languages in which nothing is known of left and right. A run that has one mirrors no photo: the
    caption of a mirrored photo would be wrong."""
    return [language for language in languages if not language_info(language).mirrored_words]


def augment(
    photo: Image.Image, seed: int, image: int, view: int, rand: RandAugment = OFF, mirror: bool = True
) -> Image.Image:
    """View `view` of the RGB photo with index `image`. Without `mirror` the same view, never mirrored."""
    if view == 0:
        return photo
    random = _random(seed, image, view)
    mirrored = random.random() < 0.5
    scale = np.sqrt(random.uniform(*CROP_AREA))
    aspect = np.sqrt(np.exp(random.uniform(*np.log(CROP_ASPECT))))
    width, height = min(1.0, scale * aspect) * photo.width, min(1.0, scale / aspect) * photo.height
    left, top = random.uniform(0, photo.width - width), random.uniform(0, photo.height - height)
    photo = photo.crop(
        (round(left), round(top), max(round(left) + 1, round(left + width)), max(round(top) + 1, round(top + height)))
    )
    for change in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        photo = change(photo).enhance(random.uniform(1 - COLOUR, 1 + COLOUR))
    for _ in range(rand.num_ops):
        operation = list(OPERATIONS)[random.integers(len(OPERATIONS))]
        sign = 1 if random.random() < 0.5 else -1
        photo = OPERATIONS[operation](photo, sign * rand.magnitude / 10)
    return photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored and mirror else photo


def mirror_words(caption: str, language: str) -> str:
    """The caption of the mirrored photo, left and right exchanged: whole words, or, in a language without spaces, any
    part of the text."""
    swaps = _swaps(language)
    if not swaps:
        return caption
    needs_whole_words = not language_info(language).is_unspaced

    def other(match: re.Match[str]) -> str:
        begin, end = match.span()
        if needs_whole_words and any(map(_is_of_word, caption[max(0, begin - 1) : begin] + caption[end : end + 1])):
            return match[0]
        return swaps.get(match[0].lower(), match[0])

    return _any_of(tuple(swaps)).sub(other, caption)


@cache
def _swaps(language: str) -> dict[str, str]:
    pairs = language_info(language).mirrored_words
    return {**pairs, **{right: left for left, right in pairs.items()}}


@cache
def _any_of(words: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, sorted(words, key=len, reverse=True))), re.IGNORECASE)


def _is_of_word(character: str) -> bool:
    return character in "_\u200c" or unicodedata.category(character)[0] in "LMN"


def _random(seed: int, image: int, view: int) -> np.random.Generator:
    return np.random.default_rng([seed, image, view])


def _affine(photo: Image.Image, matrix: tuple[float, ...]) -> Image.Image:
    return photo.transform(photo.size, Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC, fillcolor=GREY)
