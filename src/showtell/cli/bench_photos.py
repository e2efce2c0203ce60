"""The photos that `showtell bench` measures with."""

from __future__ import annotations

import random
from collections.abc import Iterable
from itertools import cycle, islice
from pathlib import Path

from showtell.errors import BadConfig, BadImage
from showtell.terminal import echo

SIZE = (1600, 1200)
"""Pixels of a made-up photo: a phone's picture as it is sent or published, not as the camera stores it."""
DIFFERENT = 8


def make_photos(folder: Path, count: int) -> list[Path]:
    """Paths of `count` JPEGs in `folder`, DIFFERENT ones in turn: smooth colours with noise, about as large on disk as
    photos of their size."""
    from PIL import Image

    rng = random.Random(0)
    paths = []
    for n in range(min(count, DIFFERENT)):
        colours = Image.frombytes("RGB", (8, 6), rng.randbytes(8 * 6 * 3)).resize(SIZE, Image.Resampling.BICUBIC)
        noise = Image.effect_noise(SIZE, 40).convert("RGB")
        paths.append(folder / f"photo{n}.jpg")
        Image.blend(colours, noise, 0.2).save(paths[-1], quality=90)
    return list(islice(cycle(paths), count))


def usable_photos(inputs: Iterable[str], limit: int) -> tuple[list[Path], int]:
    """At most `limit` photos of files and folders, and how many others there are among them that cannot be used; stderr
    names these. Raises BadConfig when none can be used."""
    from showtell.core.image import load_image
    from showtell.core.sources import find_images

    paths: list[Path] = []
    failed = 0
    for image in find_images(inputs):
        try:
            if image.error is not None:
                raise image.error
            load_image(image.path)
        except BadImage as error:
            failed += 1
            echo(f"showtell: {image.path}: {error}", err=True)
            continue
        paths.append(Path(image.path))
        if len(paths) == limit:
            break
    if not paths:
        raise BadConfig(
            "found no photo to measure with; expected photos or folders of them, or nothing for made-up ones"
        )
    return paths, failed
