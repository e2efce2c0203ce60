"""Attention maps of a caption: one sheet with a panel for each word, and an animation through the words.

    from showtell import Captioner
    from showtell.view.attention import sheet

    caption = Captioner.load().caption("photo.jpg", attention=True)
    sheet("photo.jpg", caption)                      # in a notebook it shows itself; elsewhere .save("sheet.png")

Both follow the direction of the caption's language, Arabic from right to left, and join words without spaces where the
caption does. `maps` explains the colours, `typefaces` which font draws which letters.
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
from showtell.languages import is_right_to_left
from showtell.records import Caption, Word
from showtell.view.maps import Crop, Weights, colorbar, overlay, overlay_rgb
from showtell.view.notes import drawing_problems, notes_in
from showtell.view.text_layout import (
    CAP_HEIGHT,
    LINE_HEIGHT,
    PlacedWord,
    draw_label,
    fit_font_size,
    font,
    joined_words,
    label_text,
    layout_words,
)

__all__ = ["LOAD_SIZE", "SECONDS_PER_WORD", "animation", "overlay", "sheet", "write_animation"]

BACKGROUND, TEXT_COLOR, MUTED, BORDER, HIGHLIGHT, PALE = (
    "#ffffff",
    "#1a1a1a",
    "#767676",
    "#d9d9d9",
    "#ffe08a",
    "#b4b4b4",
)

WIDTH, MARGIN, GAP = 1600, 56, 24
CONTENT_WIDTH: Final = WIDTH - 2 * MARGIN
LOAD_SIZE: Final = CONTENT_WIDTH // 2
"""The `hint_size` of `load_image`, which decodes at twice that or more: no picture here shows a photo wider than
CONTENT_WIDTH."""
MAX_PHOTO_SIZE: Final = (840, 720)
"""Width and height of the photo beside the caption, in pixels."""
WIDE_RATIO: Final = 2.0
"""Width to height: from here on the caption is below the photo, which then has the width of the sheet."""
PANEL_AREA, PANEL_HEIGHT, COLUMNS = 60_000, 420, 7
MIN_FRAMED_SIDE: Final = 8
"""Pixels; a border would cover all of a narrower picture."""
CAPTION_FONT, NOTE_FONT, LABEL_FONT = 46, 24, 25  # sizes in pixels

MAX_FRAME_SIZE: Final = (720, 540)
"""Width and height of the photo in an animation, in pixels."""
MIN_FRAME_WIDTH, FRAME_MARGIN, FRAME_FONT = 560, 20, 30
SECONDS_PER_WORD: Final = 0.7
FIRST_FRAME_WORDS: Final = 3
"""Duration of the first frame, the photo with the whole caption, in words."""
FORMATS: Final = {".webp": "WEBP", ".gif": "GIF"}


def sheet(photo: ImageSource, caption: Caption, grid: bool = False, crop: Crop = "squash") -> Image.Image:
    """The photo, its caption, and a panel for each word: the attention map over the photo, the word, its probability.

    `photo`: see `load_image`; `grid` and `crop`: see `overlay`. Raises BadConfig when the caption has no attention,
    BadImage for a photo that cannot be used.
    """
    weights = _attention(caption)
    image = load_image(photo, hint_size=LOAD_SIZE)
    right_to_left = is_right_to_left(caption.language, caption.text)
    sections = [_header(image, caption, right_to_left)]
    if caption.words:
        sections.append(_panels(image, caption, weights, grid, crop, right_to_left))
        sections.append(_footer(caption, right_to_left))
    height = sum(section.height for section in sections) + 2 * MARGIN + 2 * GAP * (len(sections) - 1)
    page = Image.new("RGB", (WIDTH, height), BACKGROUND)
    top = MARGIN
    for section in sections:
        page.paste(section, (MARGIN, top))
        top += section.height + 2 * GAP
    return page


def animation(photo: ImageSource, caption: Caption, grid: bool = False, crop: Crop = "squash") -> list[Image.Image]:
    """Frames of one size: the photo with its whole caption, then one for each word with its map.

    Parameters and errors as for `sheet`.
    """
    weights = _attention(caption)
    image = load_image(photo, hint_size=LOAD_SIZE)
    image = image.resize(_fitted(image.size, MAX_FRAME_SIZE), Image.Resampling.LANCZOS)
    words = [word.text for word in caption.words]
    width = max(image.width, MIN_FRAME_WIDTH)
    size = fit_font_size(words, FRAME_FONT, width - 2 * FRAME_MARGIN, caption.language)
    placed = _placed(caption, size, width - 2 * FRAME_MARGIN)
    height = image.height + round(_line_count(placed) * LINE_HEIGHT * size) + 2 * FRAME_MARGIN
    frames = []
    for current in [None, *range(len(words))]:
        picture = image if current is None else overlay_rgb(image, weights[current], grid, crop)
        frame = Image.new("RGB", (width, height), BACKGROUND)
        frame.paste(picture, ((width - image.width) // 2, 0))
        _draw_words(ImageDraw.Draw(frame), placed, (FRAME_MARGIN, image.height + FRAME_MARGIN), size, current)
        frames.append(frame)
    return frames


def write_animation(
    path: Path | str,
    photo: ImageSource,
    caption: Caption,
    grid: bool = False,
    crop: Crop = "squash",
    seconds: float = SECONDS_PER_WORD,
) -> None:
    """Writes `animation` as a looping WebP or GIF, by the suffix of `path`, with `seconds` for each word. An existing
    file is replaced only by a complete one.

    WebP has true colour and a fifth of the size of GIF. Raises BadConfig for another suffix, and what `sheet` raises.
    """
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise BadConfig(f"{path}: found {path.suffix or 'no suffix'}; expected {' or '.join(FORMATS)}")
    first, *rest = animation(photo, caption, grid, crop)
    durations = [round(1000 * seconds * FIRST_FRAME_WORDS), *(round(1000 * seconds) for _ in rest)]  # milliseconds
    with replacing(path) as temporary:
        first.save(
            temporary,
            FORMATS[path.suffix.lower()],
            save_all=True,
            append_images=rest,
            duration=durations,
            loop=0,
            quality=80,
            method=2,
        )


def _attention(caption: Caption) -> Weights:
    """`[T, h, w]`. Raises BadConfig when there is none, or not one map per word."""
    weights = caption.attention
    if weights is None:
        raise BadConfig(
            "found a caption without attention; expected one from captioner.caption(photo, attention=True) by a model "
            "that attends to regions"
        )
    if weights.shape[1:] == (1, 1):
        raise BadConfig("found attention over one region (1 x 1); expected a model that attends to several regions")
    if weights.ndim != 3 or len(weights) != len(caption.words):
        raise BadConfig(
            f"found attention {list(weights.shape)} for {len(caption.words)} words; expected [words, rows, columns]"
        )
    return weights


def _header(image: Image.Image, caption: Caption, right_to_left: bool) -> Image.Image:
    """The photo, with the caption beside or below it."""
    beside = image.width < WIDE_RATIO * image.height
    size = _fitted(image.size, MAX_PHOTO_SIZE if beside else (CONTENT_WIDTH, MAX_PHOTO_SIZE[1]))
    photo = _with_border(image.resize(size, Image.Resampling.LANCZOS))
    text = _caption_block(caption, CONTENT_WIDTH - photo.width - 2 * GAP if beside else CONTENT_WIDTH, right_to_left)
    if beside:
        section = Image.new("RGB", (CONTENT_WIDTH, max(photo.height, text.height)), BACKGROUND)
        lefts = (CONTENT_WIDTH - photo.width, 0) if right_to_left else (0, CONTENT_WIDTH - text.width)
        tops = ((section.height - photo.height) // 2, (section.height - text.height) // 2)
    else:
        section = Image.new("RGB", (CONTENT_WIDTH, photo.height + GAP + text.height), BACKGROUND)
        lefts = (CONTENT_WIDTH - photo.width if right_to_left else 0, 0)
        tops = (0, photo.height + GAP)
    section.paste(photo, (lefts[0], tops[0]))
    section.paste(text, (lefts[1], tops[1]))
    return section


def _caption_block(caption: Caption, width: int, right_to_left: bool) -> Image.Image:
    """The caption in large letters, with the legend below."""
    size = fit_font_size([word.text for word in caption.words], CAPTION_FONT, width, caption.language)
    placed = _placed(caption, size, width)
    height = round(_line_count(placed) * LINE_HEIGHT * size)
    block = Image.new("RGB", (width, height + GAP + 2 * NOTE_FONT), BACKGROUND)
    _draw_words(ImageDraw.Draw(block), placed, (0, 0), size, None)
    _draw_legend(block, caption, right_to_left)
    return block


def _draw_legend(block: Image.Image, caption: Caption, right_to_left: bool) -> None:
    """The caption's confidence and the colorbar, along the lower edge."""
    draw, baseline = ImageDraw.Draw(block), block.height - NOTE_FONT // 2
    notes = notes_in(caption.language)
    confidence, less, more = notes.legend
    scale = colorbar((120, 18))
    if right_to_left:
        scale = scale.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    offset = 0
    for item, gap in (
        (f"{confidence} {caption.confidence:.2f}", 2 * GAP),
        (less, GAP // 2),
        (scale, GAP // 2),
        (more, 0),
    ):
        content = (
            label_text(item, NOTE_FONT, notes.language, is_right_to_left(notes.language))
            if isinstance(item, str)
            else item
        )
        width = round(content.width)
        left = block.width - offset - width if right_to_left else offset
        if isinstance(content, Image.Image):
            block.paste(content, (left, baseline - content.height))
        else:
            content.draw(draw, left, baseline, MUTED)
        offset += width + gap


def _footer(caption: Caption, right_to_left: bool) -> Image.Image:
    """How to read the panels, since a sheet is often passed on without its documentation, and why letters are boxes."""
    size = NOTE_FONT - 3
    notes = notes_in(caption.language)
    lines = [(notes.footnote, notes.language)]
    lines += [(f"{problem[0].upper()}{problem[1:]}.", "en") for problem in drawing_problems(caption)]
    section = Image.new("RGB", (CONTENT_WIDTH, round(NOTE_FONT * (1 + LINE_HEIGHT * (len(lines) - 1)))), BACKGROUND)
    for number, (line, language) in enumerate(lines):
        text = label_text(line, size, language, is_right_to_left(language))
        text = text._replace(size=min(size, int(size * CONTENT_WIDTH / text.width)))
        baseline = round(NOTE_FONT * (0.75 + LINE_HEIGHT * number))
        text.draw(ImageDraw.Draw(section), CONTENT_WIDTH - text.width if right_to_left else 0, baseline, MUTED)
    return section


def _panels(
    image: Image.Image, caption: Caption, weights: Weights, grid: bool, crop: Crop, right_to_left: bool
) -> Image.Image:
    """A panel for each word, in rows of balanced lengths."""
    words = caption.words
    ratio = image.width / image.height
    max_columns = min(COLUMNS, max(2, round((CONTENT_WIDTH + GAP) / ((PANEL_AREA * ratio) ** 0.5 + GAP))))
    rows = -(-len(words) // max_columns)
    columns = max(-(-len(words) // rows), min(3, max_columns))
    width = (CONTENT_WIDTH - GAP * (columns - 1)) // columns
    size = _fitted(image.size, (width, PANEL_HEIGHT))
    image = image.resize(size, Image.Resampling.LANCZOS)
    label_height = 2 * LABEL_FONT
    row_height = size[1] + label_height + GAP
    section = Image.new("RGB", (CONTENT_WIDTH, rows * row_height - GAP), BACKGROUND)
    draw = ImageDraw.Draw(section)
    for index, word in enumerate(words):
        row, column = divmod(index, columns)
        left, top = column * (width + GAP), row * row_height
        if right_to_left:
            left = CONTENT_WIDTH - left - width
        panel = _with_border(overlay_rgb(image, weights[index], grid, crop))
        section.paste(panel, (left + width - panel.width if right_to_left else left, top))
        origin = (left, top + size[1] + round(label_height * 0.66))
        _draw_panel_label(draw, word, origin, width, right_to_left, caption.language)
    return section


def _draw_panel_label(
    draw: ImageDraw.ImageDraw, word: Word, origin: tuple[int, int], width: int, right_to_left: bool, language: str
) -> None:
    """The word at one end of the panel, its probability at the other. `origin`: left end of the baseline."""
    left, baseline = origin
    probability = f"{np.exp(word.log_probability):.2f}"
    typeface = font(NOTE_FONT - 3)
    reserved = typeface.getlength(probability) + GAP // 2
    draw_label(
        draw,
        word.text,
        left + reserved if right_to_left else left,
        baseline,
        width - reserved,
        LABEL_FONT,
        TEXT_COLOR,
        right_to_left,
        language,
    )
    x, anchor = (left, "ls") if right_to_left else (left + width, "rs")
    draw.text((x, baseline), probability, MUTED, typeface, anchor=anchor)


def _draw_words(
    draw: ImageDraw.ImageDraw,
    placed: Sequence[PlacedWord],
    origin: tuple[int, int],
    size: int,
    current: int | None,
) -> None:
    """The whole caption; with `current`, that word is highlighted and the words after it are pale."""
    left, top = origin
    positions = [
        (word, left + word.left, top + (word.line * LINE_HEIGHT + 0.5 * (LINE_HEIGHT + CAP_HEIGHT)) * size)
        for word in placed
    ]
    # First, since a word without spaces around it touches its neighbours.
    for word, x, baseline in positions:
        if word.position == current:
            pad = 0.13 * size
            box = (x - pad, baseline - (CAP_HEIGHT + 0.36) * size, x + word.width + pad, baseline + 0.4 * size)
            draw.rounded_rectangle(box, 0.2 * size, HIGHLIGHT)
    for word, x, baseline in positions:
        color = TEXT_COLOR if current is None or word.position <= current else PALE
        word.text.draw(draw, x, baseline, color)


def _placed(caption: Caption, size: int, width: float) -> list[PlacedWord]:
    words = [word.text for word in caption.words]
    right_to_left = is_right_to_left(caption.language, caption.text)
    return layout_words(words, size, width, right_to_left, caption.language, joined_words(caption.text, words))


def _line_count(placed: Sequence[PlacedWord]) -> int:
    return max((word.line for word in placed), default=-1) + 1


def _fitted(size: tuple[int, int], limits: tuple[int, int]) -> tuple[int, int]:
    """The largest size with the same aspect ratio within the limits, at least 1 pixel on each side."""
    scale = min(limits[0] / size[0], limits[1] / size[1])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _with_border(image: Image.Image) -> Image.Image:
    """A line in place of the outermost pixels, so that a white sky has an edge on the white sheet."""
    bordered = image.copy()
    if min(image.size) >= MIN_FRAMED_SIDE:
        ImageDraw.Draw(bordered).rectangle((0, 0, image.width - 1, image.height - 1), outline=BORDER)
    return bordered
