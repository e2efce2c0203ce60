import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance
from timm.data.auto_augment import AugmentOp

from showtell.languages import known_languages, language_info
from showtell.train.augment import (
    GREY,
    OPERATIONS,
    RandAugment,
    augment,
    is_mirrored,
    mirror_words,
    without_mirrored_words,
)

RAND = [RandAugment(), RandAugment(2), RandAugment(3, 10)]


def photo(width: int = 64, height: int = 48) -> Image.Image:
    """Brighter and brighter from left to right, over a little noise."""
    ramp = np.linspace(60, 180, width)[None, :, None] + np.random.default_rng(0).normal(0, 5, (height, width, 3))
    return Image.fromarray(ramp.astype(np.uint8))


def test_view_0_is_the_photo_itself() -> None:
    original = photo()
    assert all(augment(original, 3, 5, 0, rand) is original for rand in RAND)
    assert not any(is_mirrored(seed, image, 0) for seed in range(10) for image in range(10))


@pytest.mark.parametrize("rand", RAND)
def test_a_view_depends_on_seed_photo_and_view_alone(rand: RandAugment) -> None:
    first = augment(photo(), 1, 2, 3, rand)
    np.random.seed(0)
    random.seed(0)
    assert augment(photo(), 1, 2, 3, rand) == first
    for other in ((2, 2, 3), (1, 3, 3), (1, 2, 4), (2, 1, 3), (1, 3, 2)):
        assert augment(photo(), *other, rand) != first


@pytest.mark.parametrize("rand", RAND)
def test_the_photo_is_left_as_it_was(rand: RandAugment) -> None:
    original = photo()
    for view in range(5):
        augment(original, 0, 0, view, rand)
    assert original == photo()


def before_rand_augment(photo: Image.Image, seed: int, image: int, view: int) -> Image.Image:
    """A view as it always was, written out: cached features and finished runs come from these."""
    draw = np.random.default_rng([seed, image, view])
    mirrored = draw.random() < 0.5
    scale = np.sqrt(draw.uniform(0.5, 1.0))
    aspect = np.sqrt(np.exp(draw.uniform(np.log(0.8), np.log(1.25))))
    width, height = min(1.0, scale * aspect) * photo.width, min(1.0, scale / aspect) * photo.height
    left, top = draw.uniform(0, photo.width - width), draw.uniform(0, photo.height - height)
    photo = photo.crop((round(left), round(top), round(left + width), round(top + height)))
    photo = ImageEnhance.Brightness(photo).enhance(draw.uniform(0.75, 1.25))
    photo = ImageEnhance.Contrast(photo).enhance(draw.uniform(0.75, 1.25))
    photo = ImageEnhance.Color(photo).enhance(draw.uniform(0.75, 1.25))
    return photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else photo


def test_without_rand_augment_views_are_as_they_always_were() -> None:
    for image in range(30):
        expected = before_rand_augment(photo(), 4, image, 1 + image % 3)
        assert augment(photo(), 4, image, 1 + image % 3) == expected
        assert augment(photo(), 4, image, 1 + image % 3, RandAugment(0, 10)) == expected
        assert augment(photo(), 4, image, 1 + image % 3, RandAugment(2)).size == expected.size  # the same crop


@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 10**6), st.sampled_from(RAND))
def test_a_crop_has_half_to_all_of_the_area_in_about_the_same_shape(
    width: int, height: int, image: int, rand: RandAugment
) -> None:
    view = augment(Image.new("RGB", (width, height)), 0, image, 1, rand)
    assert view.mode == "RGB" and 1 <= view.width <= width and 1 <= view.height <= height
    # Each side is rounded, by at most one pixel.
    assert (view.width + 1) * (view.height + 1) >= 0.5 * width * height
    assert 0.8 * (view.width - 1) * height <= (view.height + 1) * width
    assert 0.8 * (view.height - 1) * width <= (view.width + 1) * height


@pytest.mark.parametrize("rand", RAND[:2])
def test_is_mirrored_agrees_with_what_is_done(rand: RandAugment) -> None:
    mirrored = []
    for image in range(40):
        for view in range(1, 4):
            columns = np.asarray(augment(photo(), 7, image, view, rand), float).mean((0, 2))
            third = len(columns) // 3
            turned = bool(columns[:third].mean() > columns[-third:].mean())
            assert turned == is_mirrored(7, image, view)
            mirrored.append(turned)
    assert 0.35 < np.mean(mirrored) < 0.65


@pytest.mark.parametrize("rand", RAND[:2])
def test_nothing_but_left_and_right_is_turned(rand: RandAugment) -> None:
    bright_below = photo(48, 64).transpose(Image.Transpose.ROTATE_270)
    for image in range(20):
        rows = np.asarray(augment(bright_below, 0, image, 1, rand), float).mean((1, 2))
        assert rows[:10].mean() < rows[-10:].mean()


def test_views_vary_in_place_and_colour() -> None:
    views = [augment(photo(), 0, image, 1) for image in range(50)]
    assert len({view.size for view in views}) > 20
    brightness = [np.asarray(view, float).mean() for view in views]
    assert np.std(brightness) > 5


# --- RandAugment


def test_threads_change_nothing_and_no_random_state_is_touched() -> None:
    np.random.seed(1)
    random.seed(1)
    states = [str(np.random.get_state()), random.getstate()]

    def view(image: int) -> Image.Image:
        return augment(photo(), 0, image, 1, RandAugment(2))

    one_by_one = [view(image) for image in range(200)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(view, range(200))) == one_by_one
    assert [str(np.random.get_state()), random.getstate()] == states


def test_so_many_operations_are_drawn_each_as_often_as_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[str, float]] = []
    for name in OPERATIONS:

        def note(photo: Image.Image, level: float, name: str = name) -> Image.Image:
            drawn.append((name, level))
            return photo

        monkeypatch.setitem(OPERATIONS, name, note)
    for image in range(900):
        augment(Image.new("RGB", (8, 8)), 0, image, 1, RandAugment(3, 7))
        assert len(drawn) == 3 * (image + 1)
    for counts in (Counter(name for name, _ in drawn), Counter(level for _, level in drawn)):
        mean = len(drawn) / len(counts)
        assert all(abs(n - mean) < 5 * mean**0.5 for n in counts.values())  # far out for either
    assert len({name for name, _ in drawn}) == 9 and {level for _, level in drawn} == {-0.7, 0.7}


TIMM = {
    "brightness": "BrightnessIncreasing",
    "sharpness": "SharpnessIncreasing",
    "shear_x": "ShearX",
    "shear_y": "ShearY",
    "shift_x": "TranslateXRel",
    "shift_y": "TranslateYRel",
    "rotate": "Rotate",
}


@pytest.mark.parametrize("name", TIMM)
@pytest.mark.parametrize("magnitude", [0, 5, 9, 10])
def test_operations_are_timm_s(name: str, magnitude: int) -> None:
    """In both directions, between which timm draws by chance."""
    resample = Image.Resampling.BICUBIC
    theirs = AugmentOp(TIMM[name], 1.0, magnitude, {"img_mean": GREY, "interpolation": resample, "translate_pct": 0.1})
    random.seed(0)
    expected = {theirs(photo()).tobytes() for _ in range(20)}
    found = {OPERATIONS[name](photo(), sign * magnitude / 10).tobytes() for sign in (-1, 1)}
    assert found == expected and len(found) == (1 if magnitude == 0 else 2)


COLOURS = {"sky": (70, 130, 190), "sand": (190, 165, 120), "coat": (160, 50, 60), "lawn": (60, 150, 70)}


@pytest.mark.parametrize("level", [-0.5, 0.5])
@pytest.mark.parametrize("name", OPERATIONS)
def test_colours_keep_their_names(name: str, level: float) -> None:
    """A patch under a sky of many shades: a scene that an equalised histogram repaints."""
    for colour in COLOURS.values():
        scene = np.full((100, 100, 3), COLOURS["sky"]) + np.random.default_rng(0).integers(-30, 30, (100, 100, 1))
        scene[30:70, 30:70] = colour
        after = np.asarray(OPERATIONS[name](Image.fromarray(scene.astype(np.uint8)), level), float)[46:54, 46:54]
        assert after.mean((0, 1)).argsort().tolist() == np.argsort(colour).tolist()


def test_contrast_is_stretched_to_black_and_white() -> None:
    grey = Image.fromarray(np.linspace(80, 170, 64).astype(np.uint8)[None]).convert("RGB")
    assert OPERATIONS["autocontrast"](grey, 0.5).getextrema() == ((0, 255),) * 3


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
        (
            "Ein Mann mit der linken Hand, rechts davon sein Hund",
            "de",
            "Ein Mann mit der rechten Hand, links davon sein Hund",
        ),
        ("LINKS recht links", "de", "rechts recht rechts"),
        ("बाएं हाथ में, बाएंवाला", "hi", "दाएं हाथ में, बाएंवाला"),  # marks are letters of the word
        ("左边的狗和右手", "zh", "右边的狗和左手"),
        ("左の犬", "ja", "右の犬"),
        ("왼쪽에 있는 개", "ko", "오른쪽에 있는 개"),
        ("سمت چپ", "fa", "سمت راست"),
        ("à gauche", "fr", "à gauche"),  # no words are known
        ("left", "sw", "left"),
        ("links", "de-CH", "rechts"),
    ],
)
def test_mirror_words(caption: str, language: str, mirrored: str) -> None:
    assert mirror_words(caption, language) == mirrored


MIRRORED_WORDS = {tag: pairs for tag in known_languages() if (pairs := language_info(tag).mirrored_words)}
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


def test_languages_without_words_for_left_and_right_are_named() -> None:
    assert without_mirrored_words(["en", "fr", "ar", "sw", "x-own", "de-AT"]) == ["fr", "sw", "x-own"]


@pytest.mark.parametrize("rand", RAND)
def test_a_view_that_must_not_be_mirrored_is_the_same_view_otherwise(rand: RandAugment) -> None:
    for image in range(8):
        for view in range(3):
            mirrored, plain = (
                augment(photo(), 7, image, view, rand),
                augment(photo(), 7, image, view, rand, mirror=False),
            )
            if is_mirrored(7, image, view):
                mirrored = mirrored.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            assert mirrored == plain
