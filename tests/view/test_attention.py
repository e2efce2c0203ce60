"""Sheets and animations: what stands where. One word's map is red-hot at a known place and marks its panel."""

import itertools
import subprocess
import sys
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from showtell.errors import BadConfig, BadImage
from showtell.records import Caption, Word
from showtell.view.attention import (
    FIRST_FRAME_WORDS,
    MARGIN,
    SECONDS_PER_WORD,
    WIDTH,
    animation,
    sheet,
    write_animation,
)

ENGLISH = ["a", "dog", "in", "the", "snow"]
ARABIC = ["رجل", "على", "دراجة", "bmx", "12"]
LONG = ["an", "extraordinarily", "complicated", *(["a", "man", "in", "a", "red", "coat"] * 3), "water"]


def caption(words: list[str], marked: int = 0, cells: int = 7) -> Caption:
    """Nearly all of the weight is in the middle cell for the word `marked`, and none is anywhere for the others."""
    weights = np.zeros((len(words), cells, cells), np.float32)
    if words:
        weights[marked, cells // 2, cells // 2] = 1
    spoken = tuple(Word(word, -0.1) for word in words)
    return Caption(" ".join(words), -0.1, 0.5, spoken, "ar" if words == ARABIC else "en", weights)


def photo(width: int = 300, height: int = 200) -> Image.Image:
    """Without colour: all colour in a picture of it is attention."""
    return Image.new("RGB", (width, height), "#808080")


def colour(picture: Image.Image) -> np.ndarray:
    return np.ptp(np.asarray(picture, int), axis=2)


def place_of_panel(words: list[str], marked: int) -> tuple[float, float]:
    """x and y of the marked panel's middle; the scale of colours, which stands above the panels, is left out."""
    drawn = colour(sheet(photo(), caption(words, marked)))
    drawn[: drawn.shape[0] // 2] = 0
    rows, columns = np.nonzero(drawn > 60)
    return float(columns.mean()), float(rows.mean())


def test_panels_run_as_the_language_does() -> None:
    """Five words are one row of five panels: of English the first one is at the left, of Arabic at the right."""
    english = [place_of_panel(ENGLISH, word)[0] for word in range(5)]
    arabic = [place_of_panel(ARABIC, word)[0] for word in range(5)]
    assert english == sorted(english) and english[2] == pytest.approx(WIDTH / 2, abs=20)
    assert arabic == pytest.approx(english[::-1], abs=3)


def test_an_arabic_word_does_not_turn_an_english_sheet() -> None:
    words = ["says", "كلب", "صغير", "in", "red"]
    panels = [place_of_panel(words, word)[0] for word in range(5)]
    assert panels == sorted(panels), "panels are in the order of reading"
    frames = animation(photo(), caption(words))
    says, dog, small, in_, red = (np.nonzero(colour(frame)[482:].max(0) > 60)[0].mean() for frame in frames[1:])
    assert says < small < dog < in_ < red


def test_rows_of_panels_are_from_top_to_bottom_and_even() -> None:
    words = [*ENGLISH, *ENGLISH[:3]]  # eight words: two rows of four
    positions = [place_of_panel(words, word) for word in range(8)]
    assert all(left < right for (left, _), (right, _) in itertools.pairwise(positions[:4]))
    assert [y for _, y in positions[:4]] == pytest.approx([positions[0][1]] * 4, abs=2)
    assert (
        positions[4] == pytest.approx((positions[0][0], positions[4][1]), abs=2)
        and positions[4][1] > positions[0][1] + 100
    )


SIZES = [(300, 200), (200, 300), (1200, 100), (60, 1200), (8, 8), (3000, 2000)]
CAPTIONS = [ENGLISH, ARABIC, LONG, ["dog"], ["x" * 70, "dog"], []]


# Every size with three captions, every caption with three sizes.
@pytest.mark.parametrize(
    ("words", "size"),
    [(CAPTIONS[(n + shift) % 6], size) for n, size in enumerate(SIZES) for shift in (0, 1, 3)],
)
def test_nothing_reaches_into_the_margins(words: list[str], size: tuple[int, int]) -> None:
    for crop in ("squash", "center"):
        drawn = sheet(photo(*size), caption(words), grid=crop == "center", crop=crop)  # type: ignore[arg-type]
        assert drawn.mode == "RGB" and drawn.width == WIDTH and drawn.height < 4000
        inked = np.asarray(drawn.convert("L")) < 250
        rows, columns = np.nonzero(inked)
        assert rows.min() >= MARGIN and drawn.height - rows.max() > MARGIN // 2
        assert columns.min() >= MARGIN - 2 and columns.max() < WIDTH - MARGIN + 2
        assert rows.min() == MARGIN, "the photo is first"


def test_the_words_stand_below_their_panels() -> None:
    """A sheet differs from one with another word in the caption above and in the label, and nowhere else."""
    one, other = (np.asarray(sheet(photo(), caption([word, "runs", "away"], 0)), int) for word in ("dog", "cat"))
    rows, columns = np.nonzero(np.abs(one - other).sum(2))
    label = rows > one.shape[0] * 0.75
    assert label.any() and not label.all()
    assert columns[label].min() >= MARGIN and columns[label].max() < WIDTH / 3


def changed(one: Caption, other: Caption) -> tuple[np.ndarray, np.ndarray]:
    """Rows, as parts of the height, and columns of the pixels in which the two sheets differ."""
    sheets = [np.asarray(sheet(photo(), each), int) for each in (one, other)]
    rows, columns = np.nonzero(np.abs(sheets[0] - sheets[1]).sum(2))
    return rows / len(sheets[0]), columns


def test_each_number_is_that_of_its_word_and_the_confidence_that_of_the_caption() -> None:
    plain = caption(ENGLISH)
    words = [replace(word, log_probability=-1.2) if n == 1 else word for n, word in enumerate(plain.words)]
    rows, columns = changed(plain, replace(plain, words=tuple(words)))
    assert rows.min() > 0.75 and columns.min() > WIDTH / 5 and columns.max() < 2 * WIDTH / 5
    rows, _ = changed(plain, replace(plain, confidence=0.25))
    assert rows.max() < 0.75
    for unseen in (replace(plain, score=-3), replace(plain, text="another")):
        assert not len(changed(plain, unseen)[0]), "nothing but words, probabilities, confidence and maps is drawn"


@pytest.mark.parametrize(("words", "brightest_at_right"), [(ENGLISH, True), (ARABIC, False)])
def test_the_scale_of_colours_runs_as_the_language_does(words: list[str], brightest_at_right: bool) -> None:
    plain = caption(words)
    drawn = np.asarray(sheet(photo(), replace(plain, attention=np.zeros_like(plain.attention))), int)
    line = drawn[np.ptp(drawn, axis=2).max(1).argmax()]
    scale = line[np.ptp(line, axis=1) > 25].sum(1)
    assert len(scale) > 80 and (scale[-1] > scale[0] + 150) == brightest_at_right


def test_words_that_are_not_written_yet_are_faint() -> None:
    darkest = []
    for frame in animation(photo(), caption(ENGLISH)):
        ink = np.asarray(frame.convert("L"), int)[482:]
        columns = np.nonzero(ink.min(0) < 240)[0]
        last = columns[columns > columns.max() - 60]  # within the last word, "snow"
        darkest.append(int(ink[:, last].min()))
    whole, *written = darkest
    assert whole < 60 and written[-1] < 60 and min(written[:-1]) > 150


@pytest.mark.parametrize("size", [(8, 6000), (6000, 8)])
def test_a_line_of_a_photo_is_not_covered_by_its_frame(size: tuple[int, int]) -> None:
    red = Image.new("RGB", size, "#ff0000")
    drawn = np.asarray(sheet(red, caption(ENGLISH)), int)
    assert ((drawn[..., 0] > 200) & (drawn[..., 1] < 60)).any()


def test_the_grid_is_seen_on_the_sheet() -> None:
    smooth, cells = (np.asarray(sheet(photo(), caption(ENGLISH), grid), int) for grid in (False, True))
    assert smooth.shape == cells.shape and np.abs(smooth - cells).max() > 100


def test_an_animation_has_a_frame_more_than_words() -> None:
    frames = animation(photo(), caption(ENGLISH, 2))
    assert len(frames) == 6 and len({frame.size for frame in frames}) == 1
    middle = [colour(frame)[:400].max() > 60 for frame in frames]
    assert middle == [False, False, False, True, False, False], (
        "the first frame is the photo, the fourth the third word"
    )
    words = [np.nonzero(colour(frame)[482:].max(0) > 60)[0] for frame in frames]
    assert len(words[0]) == 0, "no word is marked in the first frame"
    marks = [marked.mean() for marked in words[1:]]
    assert marks == sorted(marks)


def test_the_mark_runs_from_right_to_left_through_arabic_and_not_through_latin() -> None:
    frames = animation(photo(), caption(ARABIC))
    a, b, c, bmx, twelve = (np.nonzero(colour(frame)[482:].max(0) > 60)[0].mean() for frame in frames[1:])
    assert a > b > c > twelve > bmx


@pytest.mark.parametrize(
    ("ending", "words"),
    [(".webp", ENGLISH), (".webp", ["dog", "dog", "dog"]), (".gif", ["dog", "dog", "dog"]), (".GIF", ARABIC)],
)
def test_a_film_keeps_every_frame_and_its_time(tmp_path: Path, ending: str, words: list[str]) -> None:
    path = tmp_path / f"film{ending}"
    write_animation(path, photo(), caption(words), seconds=0.5)
    with Image.open(path) as film:
        assert film.format == ending[1:].upper()
        assert film.n_frames == len(words) + 1 and film.info["loop"] == 0  # type: ignore[attr-defined]
        times = []
        for n in range(film.n_frames):  # type: ignore[attr-defined]
            film.seek(n)
            film.load()
            times.append(film.info["duration"])
    assert times == [500 * FIRST_FRAME_WORDS] + [500] * len(words) and SECONDS_PER_WORD == 0.7
    assert list(tmp_path.iterdir()) == [path]


def test_a_film_of_another_kind(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"found .mp4; expected .webp or .gif"):
        write_animation(tmp_path / "film.mp4", photo(), caption(ENGLISH))
    assert not list(tmp_path.iterdir())


def test_photos_as_they_come(tmp_path: Path) -> None:
    """Whatever captioning takes gives the same sheet, and a turned photo stands upright."""
    path = tmp_path / "photo.png"
    photo().save(path)
    expected = sheet(photo(), caption(ENGLISH)).tobytes()
    for source in (path, str(path), path.read_bytes(), BytesIO(path.read_bytes()), np.asarray(photo()), lambda: path):
        assert sheet(source, caption(ENGLISH)).tobytes() == expected
    with pytest.raises(BadImage, match="missing"):
        sheet(tmp_path / "gone.png", caption(ENGLISH))


def test_a_caption_without_attention() -> None:
    plain = Caption("a dog", -1, 0.5, (Word("a", -1), Word("dog", -1)), "en")
    for draw in (sheet, animation):
        with pytest.raises(BadConfig, match="attention=True"):
            draw(photo(), plain)
        with pytest.raises(BadConfig, match="1 x 1"):
            draw(photo(), caption(ENGLISH, cells=1))


def test_a_caption_with_the_attention_of_another() -> None:
    wrong = Caption("a dog", -1, 0.5, (Word("a", -1),), "en", np.zeros((2, 7, 7), np.float32))
    with pytest.raises(BadConfig, match="for 1 words"):
        sheet(photo(), wrong)


def test_drawing_needs_no_matplotlib_and_no_torch() -> None:
    program = (
        "import sys, numpy\n"
        "from showtell.records import Caption, Word\n"
        "from showtell.view.attention import sheet\n"
        "words = (Word('كلب', -1.0),)\n"
        "sheet(numpy.zeros((20, 20, 3), 'uint8'), Caption('كلب', -1, .5, words, 'ar', numpy.ones((1, 7, 7))))\n"
        "assert not {'matplotlib', 'torch', 'onnxruntime'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
