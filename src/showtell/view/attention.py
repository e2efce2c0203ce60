"""Where the network looked while it wrote each word: as one sheet to print, and as a short film.

    from showtell import Captioner
    from showtell.view.attention import sheet

    caption = Captioner.load().caption("photo.jpg", attention=True)
    sheet("photo.jpg", caption)                      # in a notebook it shows itself; elsewhere .save("sheet.png")

Both run as the caption's language does, Arabic from right to left. `maps` says what the colours mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageDraw

from showtell.core.image import ImageSource, load_image
from showtell.errors import BadConfig
from showtell.files import replacing
from showtell.records import Caption, Word
from showtell.settings import Crop
from showtell.view.maps import Weights, laid_over, overlay, ramp
from showtell.view.shaping import language_runs_right_to_left
from showtell.view.words import CAPITAL, LEADING, Place, draw_label, drawable, font, places, size_for

__all__ = ["LOADED", "SECONDS", "animation", "overlay", "sheet", "write_animation"]

PAPER, INK, FAINT, HAIR, MARKED = "#ffffff", "#1a1a1a", "#767676", "#d9d9d9", "#ffe08a"

WIDTH, MARGIN, GAP = 1600, 56, 24
INNER: Final = WIDTH - 2 * MARGIN
LOADED: Final = INNER // 2
"""For `load_image`, which leaves twice that: no picture here shows a photo larger than INNER."""
PHOTO: Final = (840, 720)
"""Greatest width and height of the photo beside the caption."""
WIDE: Final = 2.0
"""Of width to height: from here on the caption stands below the photo, which has the sheet's width."""
PANEL_AREA, PANEL_HEIGHT, COLUMNS = 60_000, 420, 7
FRAMED: Final = 8
"""Pixels of a side; a narrower picture would be nothing but its frame."""
TITLE, NOTE, LABEL = 46, 24, 25  # sizes of letters

FILM: Final = (720, 540)
"""Greatest width and height of the photo in an animation."""
FILM_WIDTH, FILM_MARGIN, FILM_LETTERS = 560, 20, 30
SECONDS: Final = 0.7
FIRST: Final = 3
"""How many words' time the photo with the whole caption takes."""
FORMATS: Final = {".webp": "WEBP", ".gif": "GIF"}

NOTES: Final = {"en": ("confidence", "looked at less", "more"), "ar": ("الثقة", "نظر أقل", "أكثر")}
FOOT: Final = {
    "en": "Each map has its own scale. The number is the word's probability, given the words before it.",
    "ar": "لكل خريطة مقياسها. والرقم هو احتمال الكلمة بعد الكلمات التي قبلها.",
}


def sheet(photo: ImageSource, caption: Caption, grid: bool = False, crop: Crop = "squash") -> Image.Image:
    """The photo, its caption, and a panel for every word: the map over the photo, the word, its probability.

    `photo` is whatever `load_image` takes; `grid` and `crop` are those of `overlay`. Raises BadConfig when the caption
    has no attention, BadImage for a photo that cannot be used.
    """
    weights = _attention(caption)
    image = load_image(photo, hint_size=LOADED)
    right = language_runs_right_to_left(caption.language, caption.text)
    strips = [_head(image, caption, right)]
    if caption.words:
        strips.append(_panels(image, caption.words, weights, grid, crop, right))
        strips.append(_foot(caption, right))
    height = sum(strip.height for strip in strips) + 2 * MARGIN + 2 * GAP * (len(strips) - 1)
    whole = Image.new("RGB", (WIDTH, height), PAPER)
    top = MARGIN
    for strip in strips:
        whole.paste(strip, (MARGIN, top))
        top += strip.height + 2 * GAP
    return whole


def animation(photo: ImageSource, caption: Caption, grid: bool = False, crop: Crop = "squash") -> list[Image.Image]:
    """One picture for the photo with its whole caption, then one for each word with its map; all of one size.

    Parameters and errors are those of `sheet`.
    """
    weights = _attention(caption)
    image = load_image(photo, hint_size=LOADED)
    image = image.resize(_fitted(image.size, FILM), Image.Resampling.LANCZOS)
    words = [word.text for word in caption.words]
    width = max(image.width, FILM_WIDTH)
    size = size_for(words, FILM_LETTERS, width - 2 * FILM_MARGIN)
    right = language_runs_right_to_left(caption.language, caption.text)
    placed = places(words, font(size), width - 2 * FILM_MARGIN, right)
    height = image.height + round(_lines_of(placed) * LEADING * size) + 2 * FILM_MARGIN
    frames = []
    for now in [None, *range(len(words))]:
        shown = image if now is None else laid_over(image, weights[now], grid, crop)
        frame = Image.new("RGB", (width, height), PAPER)
        frame.paste(shown, ((width - image.width) // 2, 0))
        _write(ImageDraw.Draw(frame), placed, (FILM_MARGIN, image.height + FILM_MARGIN), size, now)
        frames.append(frame)
    return frames


def write_animation(
    path: Path | str,
    photo: ImageSource,
    caption: Caption,
    grid: bool = False,
    crop: Crop = "squash",
    seconds: float = SECONDS,
) -> None:
    """`animation` as a film that repeats, `seconds` for each word; the old file stays until the new one is complete.

    WebP or GIF, as the name ends; a WebP has all the photo's colours and takes a fifth of the bytes. Raises BadConfig
    for another ending, and what `sheet` raises.
    """
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise BadConfig(f"{path}: found {path.suffix or 'no ending'}; expected {' or '.join(FORMATS)}")
    first, *others = animation(photo, caption, grid, crop)
    times = [round(1000 * seconds * FIRST), *(round(1000 * seconds) for _ in others)]
    with replacing(path) as temporary:
        first.save(
            temporary,
            FORMATS[path.suffix.lower()],
            save_all=True,
            append_images=others,
            duration=times,
            loop=0,
            quality=80,
            method=2,
        )


def _attention(caption: Caption) -> Weights:
    """`[T, h, w]`, one map for each word."""
    weights = caption.attention
    if weights is None:
        raise BadConfig(
            "this caption has no attention; ask for it, captioner.caption(photo, attention=True), "
            "and where there is none even so, the model attends to nothing"
        )
    if weights.shape[1:] == (1, 1):
        raise BadConfig("this model sees the photo as a whole, as a grid of 1 x 1: it cannot look at a part of it")
    if weights.ndim != 3 or len(weights) != len(caption.words):
        raise BadConfig(
            f"found attention {list(weights.shape)} for {len(caption.words)} words; expected [words, rows, columns]"
        )
    return weights


def _head(image: Image.Image, caption: Caption, right: bool) -> Image.Image:
    """The photo, and beside it or below it the caption."""
    beside = image.width < WIDE * image.height
    size = _fitted(image.size, PHOTO if beside else (INNER, PHOTO[1]))
    photo = _framed(image.resize(size, Image.Resampling.LANCZOS))
    text = _text(caption, INNER - photo.width - 2 * GAP if beside else INNER, right)
    if beside:
        strip = Image.new("RGB", (INNER, max(photo.height, text.height)), PAPER)
        lefts = (INNER - photo.width, 0) if right else (0, INNER - text.width)
        tops = ((strip.height - photo.height) // 2, (strip.height - text.height) // 2)
    else:
        strip = Image.new("RGB", (INNER, photo.height + GAP + text.height), PAPER)
        lefts = (INNER - photo.width if right else 0, 0)
        tops = (0, photo.height + GAP)
    strip.paste(photo, (lefts[0], tops[0]))
    strip.paste(text, (lefts[1], tops[1]))
    return strip


def _text(caption: Caption, width: int, right: bool) -> Image.Image:
    """The caption in large letters, below it its confidence and what the colours mean."""
    words = [word.text for word in caption.words]
    size = size_for(words, TITLE, width)
    placed = places(words, font(size), width, right)
    height = round(_lines_of(placed) * LEADING * size)
    text = Image.new("RGB", (width, height + GAP + 2 * NOTE), PAPER)
    draw = ImageDraw.Draw(text)
    _write(draw, placed, (0, 0), size, None)
    _draw_notes(text, caption, right)
    return text


def _draw_notes(text: Image.Image, caption: Caption, right: bool) -> None:
    """The caption's confidence and what the colours mean, along the lower edge."""
    draw, letters, base = ImageDraw.Draw(text), font(NOTE), text.height - NOTE // 2
    confidence, less, more = NOTES.get(caption.language, NOTES["en"])
    colours = ramp((120, 18))
    if right:
        colours = colours.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    gone = 0
    for part, gap in (
        (f"{confidence} {caption.confidence:.2f}", 2 * GAP),
        (less, GAP // 2),
        (colours, GAP // 2),
        (more, 0),
    ):
        shown = drawable(part, right) if isinstance(part, str) else part
        wide = round(letters.getlength(shown)) if isinstance(shown, str) else shown.width
        left = text.width - gone - wide if right else gone
        if isinstance(shown, str):
            draw.text((left, base), shown, FAINT, letters, anchor="ls")
        else:
            text.paste(shown, (left, base - shown.height))
        gone += wide + gap


def _foot(caption: Caption, right: bool) -> Image.Image:
    """What has to be known to read the panels; sheets are passed on without what explains them."""
    strip = Image.new("RGB", (INNER, NOTE), PAPER)
    text = drawable(FOOT.get(caption.language, FOOT["en"]), right)
    left, anchor = (INNER, "rs") if right else (0, "ls")
    ImageDraw.Draw(strip).text((left, round(0.75 * NOTE)), text, FAINT, font(NOTE - 3), anchor=anchor)
    return strip


def _panels(
    image: Image.Image, words: Sequence[Word], weights: Weights, grid: bool, crop: Crop, right: bool
) -> Image.Image:
    """A panel for each word, in rows as even as they can be."""
    ratio = image.width / image.height
    most = min(COLUMNS, max(2, round((INNER + GAP) / ((PANEL_AREA * ratio) ** 0.5 + GAP))))
    rows = -(-len(words) // most)
    columns = max(-(-len(words) // rows), min(3, most))
    width = (INNER - GAP * (columns - 1)) // columns
    size = _fitted(image.size, (width, PANEL_HEIGHT))
    image = image.resize(size, Image.Resampling.LANCZOS)
    label = 2 * LABEL
    step = size[1] + label + GAP
    strip = Image.new("RGB", (INNER, rows * step - GAP), PAPER)
    draw = ImageDraw.Draw(strip)
    for n, word in enumerate(words):
        row, column = divmod(n, columns)
        left, top = column * (width + GAP), row * step
        if right:
            left = INNER - left - width
        panel = _framed(laid_over(image, weights[n], grid, crop))
        strip.paste(panel, (left + width - panel.width if right else left, top))
        _draw_note(draw, word, (left, top + size[1] + round(label * 0.66)), width, right)
    return strip


def _draw_note(draw: ImageDraw.ImageDraw, word: Word, at: tuple[int, int], width: int, right: bool) -> None:
    """The word at one end of the panel, its probability at the other."""
    left, base = at
    chance = f"{np.exp(word.log_probability):.2f}"
    room = font(NOTE - 3).getlength(chance) + GAP // 2
    draw_label(draw, word.text, left + room if right else left, base, width - room, LABEL, INK, right)
    draw.text((left if right else left + width, base), chance, FAINT, font(NOTE - 3), anchor="ls" if right else "rs")


def _write(draw: ImageDraw.ImageDraw, placed: Sequence[Place], at: tuple[int, int], size: int, now: int | None) -> None:
    """The caption, all of it or as far as it is written by the word `now`, which is marked; the rest is faint."""
    left, top = at
    for place in placed:
        x, base = left + place.left, top + (place.line * LEADING + 0.5 * (LEADING + CAPITAL)) * size
        if place.word == now:
            pad = 0.13 * size
            mark = (x - pad, base - (CAPITAL + 0.36) * size, x + place.width + pad, base + 0.4 * size)
            draw.rounded_rectangle(mark, 0.2 * size, MARKED)
        draw.text(
            (x, base), place.text, INK if now is None or place.word <= now else "#b4b4b4", font(size), anchor="ls"
        )


def _lines_of(placed: Sequence[Place]) -> int:
    return max((place.line for place in placed), default=-1) + 1


def _fitted(size: tuple[int, int], limits: tuple[int, int]) -> tuple[int, int]:
    """The largest size of the same shape that is within the limits; no side vanishes."""
    scale = min(limits[0] / size[0], limits[1] / size[1])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _framed(image: Image.Image) -> Image.Image:
    """With a hair line around it, in place of its outermost pixels: a white sky must end somewhere."""
    framed = image.copy()
    if min(image.size) >= FRAMED:
        ImageDraw.Draw(framed).rectangle((0, 0, image.width - 1, image.height - 1), outline=HAIR)
    return framed
