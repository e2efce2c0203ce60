"""Scenes of the `shapes` data, and the grammar of their captions.

A scene has one thing at a side of the picture, or two things next to each other or one over the other. A thing has a
shape, a colour and a size. English (25 words):

    THING     a SIZE COLOUR SHAPE
    one       THING is PLACE             there is THING PLACE
    two       THING is RELATION THING    there is THING RELATION THING     and both again, seen from the other thing
    PLACE     on the left | on the right | at the top | at the bottom
    RELATION  to the left of | to the right of | above | below

Arabic says the same with the adjectives after the noun and in its gender.

The captions of a scene are all sentences of the grammar that are true of it, two or four. Rejected: a random choice of
them, by which BLEU-4 of a perfect model would be below 1. Things of the same shape and colour never meet, and no thing
is beside and above another, so that nothing else is true of a scene.
"""

from __future__ import annotations

from itertools import product
from typing import Final, Literal, NamedTuple

from showtell.config import nearest
from showtell.errors import BadConfig

Layout = Literal["left", "right", "top", "bottom", "beside", "over"]


class Thing(NamedTuple):
    """A shape, named by the English words."""

    shape: str
    colour: str
    size: str


class Scene(NamedTuple):
    """One thing at the side `layout`, or two, the first of which is left of (`beside`) or above (`over`) the second."""

    things: tuple[Thing, ...]
    layout: Layout


SHAPES: Final = ("circle", "square", "triangle", "star")
COLOURS: Final = ("red", "green", "blue", "yellow", "black")
SIZES: Final = ("small", "big")
PLACES: Final[tuple[Layout, ...]] = ("left", "right", "top", "bottom")
RELATIONS: Final[tuple[Layout, ...]] = ("beside", "over")

_ENGLISH_WHERE: Final[dict[Layout, tuple[str, ...]]] = {
    "left": ("on the left",),
    "right": ("on the right",),
    "top": ("at the top",),
    "bottom": ("at the bottom",),
    "beside": ("to the left of", "to the right of"),
    "over": ("above", "below"),
}
_ARABIC_WHERE: Final[dict[Layout, tuple[str, ...]]] = {
    "left": ("على اليسار",),
    "right": ("على اليمين",),
    "top": ("في الأعلى",),
    "bottom": ("في الأسفل",),
    "beside": ("على يسار", "على يمين"),
    "over": ("فوق", "تحت"),
}
_ARABIC_NOUNS: Final = {
    "circle": ("دائرة", "feminine"),
    "square": ("مربع", "masculine"),
    "triangle": ("مثلث", "masculine"),
    "star": ("نجمة", "feminine"),
}
_ARABIC_ADJECTIVES: Final = {
    "red": {"masculine": "أحمر", "feminine": "حمراء"},
    "green": {"masculine": "أخضر", "feminine": "خضراء"},
    "blue": {"masculine": "أزرق", "feminine": "زرقاء"},
    "yellow": {"masculine": "أصفر", "feminine": "صفراء"},
    "black": {"masculine": "أسود", "feminine": "سوداء"},
    "small": {"masculine": "صغير", "feminine": "صغيرة"},
    "big": {"masculine": "كبير", "feminine": "كبيرة"},
}


def all_scenes() -> list[Scene]:
    """Every scene once, in a fixed order: 160 of one thing, then 3,040 of two."""
    things = [Thing(*words) for words in product(SHAPES, COLOURS, SIZES)]
    pairs = [pair for pair in product(things, things) if pair[0][:2] != pair[1][:2]]
    return [Scene((thing,), place) for thing, place in product(things, PLACES)] + [
        Scene(pair, relation) for pair, relation in product(pairs, RELATIONS)
    ]


def scene_captions(scene: Scene, language: str) -> tuple[str, ...]:
    """All sentences that are true of the scene. Raises BadConfig for a language that the grammar lacks."""
    if language == "en":
        sentences = _sentences([_english(thing) for thing in scene.things], _ENGLISH_WHERE[scene.layout])
        return tuple(form for thing, rest in sentences for form in (f"{thing} is {rest}", f"there is {thing} {rest}"))
    if language == "ar":
        sentences = _sentences([_arabic(thing) for thing in scene.things], _ARABIC_WHERE[scene.layout])
        return tuple(form for thing, rest in sentences for form in (f"{thing} {rest}", f"هناك {thing} {rest}"))
    raise BadConfig(f"shapes have no captions in {language!r}{nearest(language, ('en', 'ar'))}")


def _sentences(things: list[str], relations: tuple[str, ...]) -> list[tuple[str, str]]:
    """Pairs of subject and predicate, one for each thing as the subject."""
    if len(things) == 1:
        return [(things[0], relations[0])]
    first, second = things
    return [(first, f"{relations[0]} {second}"), (second, f"{relations[1]} {first}")]


def _english(thing: Thing) -> str:
    return f"a {thing.size} {thing.colour} {thing.shape}"


def _arabic(thing: Thing) -> str:
    noun, gender = _ARABIC_NOUNS[thing.shape]
    return f"{noun} {_ARABIC_ADJECTIVES[thing.colour][gender]} {_ARABIC_ADJECTIVES[thing.size][gender]}"
