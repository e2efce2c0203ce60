"""One image of the torture: its bytes, and what must become of it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tests import bad_images

Pixels: TypeAlias = NDArray[np.uint8]


@dataclass(frozen=True)
class Case:
    data: bytes
    suffix: str
    codes: tuple[str, ...] = ()
    """With which it may be refused; none: it must be accepted."""
    pixels: Pixels | None = None
    """`[H, W, 3]`, what it must be decoded to; None: with `codes` it must be refused, without them anything goes as
    long as all ways agree."""
    tolerance: int = 0
    """Levels, of 255, by which a pixel may differ: rounding."""


Family: TypeAlias = Callable[[random.Random], Case]


def accepted(data: bytes, suffix: str, pixels: Pixels, tolerance: int = 0) -> Case:
    return Case(data, suffix, (), pixels, tolerance)


def refused(data: bytes, suffix: str, *codes: str) -> Case:
    return Case(data, suffix, codes)


def either(data: bytes, suffix: str) -> Case:
    """Damaged in a place where both verdicts may be right; what counts is that it is one, and the same in all ways."""
    return Case(data, suffix)


def scene(rng: random.Random, channels: int = 3, kind: str = "u1", width: int = 0, height: int = 0) -> NDArray[Any]:
    """`[H, W, channels]`, or `[H, W]` of one channel: a slope with noise, so that it does not compress to nothing and
    every turn shows."""
    width, height = width or rng.randint(16, 96), height or rng.randint(16, 96)
    noise = np.random.default_rng(rng.getrandbits(32))
    y, x = np.mgrid[0:height, 0:width]
    slopes = [(x / width, y / height, (x + y) / (width + height), 1 - x / width)[c % 4] for c in range(channels)]
    values = 0.8 * np.stack(slopes, -1) + 0.2 * noise.random((height, width, channels))
    array: NDArray[Any] = (values * np.iinfo(kind).max).astype(kind)
    return array[:, :, 0] if channels == 1 else array


def grey(array: NDArray[np.uint8]) -> Pixels:
    return np.repeat(array[:, :, None], 3, axis=2)


def over_white(colour: NDArray[Any], alpha: NDArray[Any]) -> Pixels:
    """By hand: `[H, W, 3]` and `[H, W]`, 0 to 255."""
    share = alpha[:, :, None].astype(float) / 255
    blended: Pixels = np.rint(colour * share + 255 * (1 - share)).astype(np.uint8)
    return blended


def encode(array: NDArray[Any], kind: str, mode: str | None = None, **options: object) -> bytes:
    image = Image.fromarray(array)
    return bad_images.encode(image if mode is None else image.convert(mode), kind, **options)
