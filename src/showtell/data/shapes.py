"""`shapes:N` or `shapes:N,seed=3`: small drawings of coloured shapes, with exact captions (`scenes` has the grammar).

N training drawings, and a tenth as many for `dev` and for `test`, but at least 50 of each. A tenth of all scenes is
held out for `dev` and another for `test`, whatever N and the seed are, so that a model cannot memorise them. Only
combinations are new there: training has every thing, place and relation.

Nothing is stored: `Sample.image` draws its picture anew at each call, always the same, in less than a millisecond.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from PIL import Image, ImageDraw

from showtell.config import nearest
from showtell.data.scenes import Scene, Thing, all_scenes, scene_captions
from showtell.errors import BadConfig
from showtell.records import Sample

SIZE: Final = 96
"""Height and width of a drawing, in pixels."""
HELD_OUT: Final = 0.1
SINGLES: Final = 0.3
"""The share of drawings with one thing; by their number among the scenes it would be a twentieth."""

_SMOOTH: Final = 3
_RADIUS: Final = {"small": 9, "big": 16}
_RGB: Final = {
    "red": (214, 39, 40),
    "green": (44, 150, 60),
    "blue": (35, 80, 200),
    "yellow": (240, 200, 30),
    "black": (30, 30, 30),
}
# Centres, such that two big things keep a gap and that "left" is never "top" as well.
_NEAR: Final = (20, 28)
_FAR: Final = (SIZE - 28, SIZE - 20)
_MIDDLE: Final = (38, SIZE - 38)
_ALONG: Final = (28, SIZE - 28)
_OFF_LINE: Final = 8


def read_shapes(location: str, languages: Sequence[str]) -> list[Sample]:
    """Raises BadConfig for a number of drawings below 1, an unknown option, and a language that is not en or ar."""
    count, seed = _parse(location)
    held_out = max(count // 10, 50)
    samples = []
    for split, drawings in (("train", count), ("dev", held_out), ("test", held_out)):
        for index in range(drawings):
            key = f"shapes {seed} {split} {index}"
            scene = _choose(random.Random(key), split)
            image = Drawing(scene, key)
            name = f"{split}-{index:05d}"
            samples += [Sample(name, image, scene_captions(scene, lang), split, lang) for lang in languages]
    return samples


@cache
def split_scenes(split: str) -> tuple[tuple[Scene, ...], tuple[Scene, ...]]:
    """The scenes of one thing and of two things that drawings of a split may show."""
    singles = [scene for scene in all_scenes() if len(scene.things) == 1]
    pairs = [scene for scene in all_scenes() if len(scene.things) == 2]
    return _share(singles, split), _share(pairs, split)


@dataclass(frozen=True)
class Drawing:
    """A drawing that is made when called. Rejected: a partial function, which is written (`repr`) with its address
    in memory: to the next process it would be another image."""

    scene: Scene
    key: str

    def __call__(self) -> Image.Image:
        return draw(self.scene, self.key)


def draw(scene: Scene, key: str) -> Image.Image:
    """The scene as an RGB image of `SIZE` by `SIZE`; `key` decides where exactly things are, and in which shade."""
    rng = random.Random(key)
    paper = rng.randint(235, 255)
    # Drawn large and reduced: Pillow's shapes have jagged edges.
    picture = Image.new("RGB", (SIZE * _SMOOTH, SIZE * _SMOOTH), (paper, paper, paper))
    canvas = ImageDraw.Draw(picture)
    for thing, centre in zip(scene.things, _centres(scene, rng), strict=True):
        red, green, blue = (channel + rng.randint(-12, 12) for channel in _RGB[thing.colour])
        _draw_thing(canvas, thing, centre, (red, green, blue))
    return picture.reduce(_SMOOTH)


def _parse(location: str) -> tuple[int, int]:
    number, *options = location.split(",")
    if not number.isdecimal() or int(number) < 1:
        raise BadConfig(
            f"shapes:{location}: found {number!r}; expected a number of training drawings, such as shapes:2000"
        )
    seed = 0
    for option in options:
        name, _, value = option.partition("=")
        if name != "seed":
            raise BadConfig(f"shapes:{location}: {name!r} is no option{nearest(name, ['seed'])}")
        if not value.isdecimal():
            raise BadConfig(f"shapes:{location}: found seed {value!r}; expected a whole number, such as seed=3")
        seed = int(value)
    return int(number), seed


def _share(scenes: list[Scene], split: str) -> tuple[Scene, ...]:
    shuffled = random.Random("showtell shapes").sample(scenes, len(scenes))
    held_out = round(HELD_OUT * len(shuffled))
    bounds = {"dev": (0, held_out), "test": (held_out, 2 * held_out), "train": (2 * held_out, len(shuffled))}
    return tuple(shuffled[slice(*bounds[split])])


def _choose(rng: random.Random, split: str) -> Scene:
    singles, pairs = split_scenes(split)
    return rng.choice(singles if rng.random() < SINGLES else pairs)


def _centres(scene: Scene, rng: random.Random) -> list[tuple[float, float]]:
    if scene.layout in ("beside", "over"):
        line = rng.uniform(*_ALONG)
        ends = [(rng.uniform(*end), line + rng.uniform(-_OFF_LINE, _OFF_LINE)) for end in (_NEAR, _FAR)]
        return ends if scene.layout == "beside" else [(x, y) for y, x in ends]
    side = rng.uniform(*(_NEAR if scene.layout in ("left", "top") else _FAR))
    middle = rng.uniform(*_MIDDLE)
    return [(side, middle) if scene.layout in ("left", "right") else (middle, side)]


def _draw_thing(
    canvas: ImageDraw.ImageDraw, thing: Thing, centre: tuple[float, float], rgb: tuple[int, int, int]
) -> None:
    x, y = centre[0] * _SMOOTH, centre[1] * _SMOOTH
    radius = _RADIUS[thing.size] * _SMOOTH
    if thing.shape == "circle":
        canvas.ellipse((x - radius, y - radius, x + radius, y + radius), fill=rgb)
    elif thing.shape == "square":
        half = 0.9 * radius
        canvas.rectangle((x - half, y - half, x + half, y + half), fill=rgb)
    elif thing.shape == "triangle":
        canvas.polygon([(x, y - radius), (x + radius, y + 0.8 * radius), (x - radius, y + 0.8 * radius)], fill=rgb)
    else:
        canvas.polygon([_star_point(x, y, radius, corner) for corner in range(10)], fill=rgb)


def _star_point(x: float, y: float, radius: float, corner: int) -> tuple[float, float]:
    reach = radius * (1.1 if corner % 2 == 0 else 0.45)
    angle = math.pi * corner / 5
    return x + reach * math.sin(angle), y - reach * math.cos(angle)
