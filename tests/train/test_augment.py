import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from showtell.train.augment import MIRRORED_WORDS, augment, is_mirrored, mirror_words


def photo(width: int = 64, height: int = 48) -> Image.Image:
    """Brighter and brighter from left to right, over a little noise."""
    ramp = np.linspace(60, 180, width)[None, :, None] + np.random.default_rng(0).normal(0, 5, (height, width, 3))
    return Image.fromarray(ramp.astype(np.uint8))


def test_view_0_is_the_photo_itself() -> None:
    original = photo()
    assert augment(original, 3, 5, 0) is original
    assert not any(is_mirrored(seed, image, 0) for seed in range(10) for image in range(10))


def test_a_view_depends_on_seed_photo_and_view_alone() -> None:
    first = augment(photo(), 1, 2, 3)
    np.random.seed(0)
    assert augment(photo(), 1, 2, 3) == first
    for other in ((2, 2, 3), (1, 3, 3), (1, 2, 4), (2, 1, 3), (1, 3, 2)):
        assert augment(photo(), *other) != first


def test_the_photo_is_left_as_it_was() -> None:
    original = photo()
    for view in range(5):
        augment(original, 0, 0, view)
    assert original == photo()


@settings(deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 10**6))
def test_a_crop_has_half_to_all_of_the_area_in_about_the_same_shape(width: int, height: int, image: int) -> None:
    view = augment(Image.new("RGB", (width, height)), 0, image, 1)
    assert view.mode == "RGB" and 1 <= view.width <= width and 1 <= view.height <= height
    # Each side is rounded, by at most one pixel.
    assert (view.width + 1) * (view.height + 1) >= 0.5 * width * height
    assert 0.8 * (view.width - 1) * height <= (view.height + 1) * width
    assert 0.8 * (view.height - 1) * width <= (view.width + 1) * height


def test_is_mirrored_agrees_with_what_is_done() -> None:
    mirrored = []
    for image in range(40):
        for view in range(1, 4):
            columns = np.asarray(augment(photo(), 7, image, view), float).mean((0, 2))
            third = len(columns) // 3
            turned = bool(columns[:third].mean() > columns[-third:].mean())
            assert turned == is_mirrored(7, image, view)
            mirrored.append(turned)
    assert 0.35 < np.mean(mirrored) < 0.65


def test_nothing_but_left_and_right_is_turned() -> None:
    bright_below = photo(48, 64).transpose(Image.Transpose.ROTATE_270)
    for image in range(20):
        rows = np.asarray(augment(bright_below, 0, image, 1), float).mean((1, 2))
        assert rows[:10].mean() < rows[-10:].mean()


def test_views_vary_in_place_and_colour() -> None:
    views = [augment(photo(), 0, image, 1) for image in range(50)]
    assert len({view.size for view in views}) > 20
    brightness = [np.asarray(view, float).mean() for view in views]
    assert np.std(brightness) > 5


# --- words


@pytest.mark.parametrize(
    ("caption", "language", "mirrored"),
    [
        ("a dog left of two cats", "en", "a dog right of two cats"),
        ("The right one, not the left.", "en", "The left one, not the right."),
        ("a left-handed boy's LEFT shoe", "en", "a right-handed boy's right shoe"),
        ("his lefthand side", "en", "his righthand side"),
        ("a bright cleft upright leftover", "en", "a bright cleft upright leftover"),  # whole words only
        ("كلب على اليسار وقطة على اليمين", "ar", "كلب على اليمين وقطة على اليسار"),
        ("يد يسرى وساق يمنى", "ar", "يد يمنى وساق يسرى"),
        ("في الجانب الأيسر", "ar", "في الجانب الأيمن"),
        ("طفل يمين الصورة", "ar", "طفل يسار الصورة"),
        ("left اليسار", "ar", "left اليمين"),
        ("left اليسار", "en", "right اليسار"),
        ("", "en", ""),
    ],
)
def test_mirror_words(caption: str, language: str, mirrored: str) -> None:
    assert mirror_words(caption, language) == mirrored


WORDS = st.sampled_from([word for pairs in MIRRORED_WORDS.values() for pair in pairs.items() for word in pair])
CAPTIONS = st.lists(WORDS | st.sampled_from([" ", ", ", "-", "dog", "'s"]) | st.text(max_size=3)).map("".join)


@given(CAPTIONS.map(str.lower), st.sampled_from(list(MIRRORED_WORDS)))
def test_twice_mirrored_is_as_it_was(caption: str, language: str) -> None:
    assert mirror_words(mirror_words(caption, language), language) == caption


@pytest.mark.parametrize("language", MIRRORED_WORDS)
def test_a_mirror_changes_each_of_its_words(language: str) -> None:
    pairs = MIRRORED_WORDS[language]
    assert not set(pairs) & set(pairs.values()) and len(set(pairs.values())) == len(pairs)
    for left, right in pairs.items():
        assert mirror_words(left, language) == right and mirror_words(right, language) == left
