"""Augmented views of a training photo, made ahead of the one preprocessing, and what a mirror does to words.

View 0 is the photo itself. Further views are crops of half to all of its area, mildly distorted, and in half of the
cases mirrored and their colours shifted. A view depends on the seed, the photo's number and the view's number only, so
that views can be cached and a run repeated.
"""

from __future__ import annotations

import re

import numpy as np
from PIL import Image, ImageEnhance

# Whole words, each of which becomes the other; Arabic with its article and the forms "to the left" takes.
MIRRORED_WORDS = {
    "en": {"left": "right", "lefthand": "righthand"},
    "ar": {"يسار": "يمين", "اليسار": "اليمين", "أيسر": "أيمن", "الأيسر": "الأيمن", "يسرى": "يمنى", "اليسرى": "اليمنى"},
}
CROP_AREA = (0.5, 1.0)
CROP_ASPECT = (0.8, 1.25)
COLOUR = 0.25


def is_mirrored(seed: int, image: int, view: int) -> bool:
    return view > 0 and bool(_random(seed, image, view).random() < 0.5)


def augment(photo: Image.Image, seed: int, image: int, view: int) -> Image.Image:
    """The numbered view of an RGB photo."""
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
    return photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else photo


def mirror_words(caption: str, language: str) -> str:
    """The caption of the mirrored photo: left and right exchanged."""
    pairs = MIRRORED_WORDS.get(language, {})
    swaps = {**pairs, **{b: a for a, b in pairs.items()}}
    return re.sub(r"\w+", lambda word: swaps.get(word[0].lower(), word[0]), caption)


def _random(seed: int, image: int, view: int) -> np.random.Generator:
    return np.random.default_rng([seed, image, view])
