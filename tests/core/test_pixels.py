import functools
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests import bad_images

from showtell.core.image import load_image
from showtell.core.pixels import MAX_ASPECT_RATIO, normalise, resize, to_pixels
from showtell.settings import PixelSettings

SQUASH = PixelSettings(size=32, crop_mode="squash")
CENTER = PixelSettings(size=32, crop_mode="center")
PLAIN = PixelSettings(size=32, mean=(0, 0, 0), std=(1, 1, 1))


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize(
    "settings",
    [
        SQUASH,
        CENTER,
        PixelSettings(size=32, resize_size=37),
        PixelSettings(size=32, crop_mode="shortest_edge", resize_size=37),
        PixelSettings(size=32, crop_mode="pad"),
    ],
)
def test_shape_and_layout(settings: PixelSettings) -> None:
    photo = bad_images.photo(100, 40)
    small = resize(photo, settings)
    assert small.shape == (32, 32, 3) and small.dtype == np.uint8 and small.flags.c_contiguous and small.flags.writeable
    pixels = to_pixels(photo, settings)
    assert pixels.shape == (3, 32, 32) and pixels.dtype == np.float32 and pixels.flags.c_contiguous
    np.testing.assert_array_equal(pixels, normalise(small, settings))


@pytest.mark.parametrize("crop", ["squash", "center", "shortest_edge", "pad"])
@pytest.mark.parametrize("interpolation", ["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"])
def test_an_image_of_the_right_size_is_unchanged(crop: str, interpolation: str) -> None:
    settings = PixelSettings(size=32, crop_mode=crop, interpolation=interpolation)
    array = noise(32, 32, 3)
    np.testing.assert_array_equal(resize(Image.fromarray(array), settings), array)


def test_squash_keeps_the_whole_image_and_center_its_middle() -> None:
    thirds = np.zeros((32, 96, 3), np.uint8)
    thirds[:, :32], thirds[:, 32:64], thirds[:, 64:] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    image = Image.fromarray(thirds)
    squashed = resize(image, SQUASH)
    assert [tuple(squashed[16, x]) for x in (2, 16, 29)] == [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    np.testing.assert_array_equal(resize(image, CENTER), thirds[:, 32:64])
    np.testing.assert_array_equal(resize(image.transpose(Image.Transpose.ROTATE_90), CENTER)[:, 0], thirds[:, 32])


def test_center_equals_crop_after_resize() -> None:
    image = bad_images.photo(128, 64)
    by_hand = image.resize((64, 32), Image.Resampling.BICUBIC).crop((16, 0, 48, 32))
    assert np.abs(resize(image, CENTER).astype(int) - np.asarray(by_hand)).max() <= 1


def test_resize_size_cuts_the_middle_out() -> None:
    columns = np.zeros((40, 80, 3), np.uint8)
    columns[:, :, 0] = np.arange(80)
    image = Image.fromarray(columns)
    cut = resize(image, PixelSettings(size=32, crop_mode="shortest_edge", resize_size=40))
    np.testing.assert_array_equal(cut, columns[4:36, 24:56])
    squashed = resize(image.resize((40, 40)), PixelSettings(size=32, crop_mode="squash", resize_size=40))
    np.testing.assert_array_equal(squashed, np.asarray(image.resize((40, 40)))[4:36, 4:36])


@pytest.mark.parametrize("size", [(64, 40), (40, 64), (8, 5), (64, 1)])
def test_pad_keeps_the_whole_image_in_the_middle(size: tuple[int, int]) -> None:
    padded = resize(Image.new("RGB", size, "white"), PixelSettings(size=32, crop_mode="pad"))
    rows, columns = (np.nonzero(padded.max((1 - axis, 2)))[0] for axis in (0, 1))
    height, width = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
    assert (width, height) == tuple(max(1, 32 * side // max(size)) for side in size)
    assert rows[0] == (32 - height) // 2 and columns[0] == (32 - width) // 2
    assert (padded.max(-1) > 0).sum() == width * height


def test_shrinking_averages_and_does_not_pick() -> None:
    board = (np.indices((256, 256)).sum(0) % 2 * 255).astype(np.uint8)
    small = resize(Image.fromarray(board).convert("RGB"), SQUASH)
    assert np.abs(small.astype(float) - 127.5).max() <= 1


@functools.cache
def processors() -> list[Any]:
    """A processor of transformers with a field or two changed, and the same as PixelSettings."""
    transformers = pytest.importorskip("transformers")
    vit, clip = transformers.ViTImageProcessorPil, transformers.CLIPImageProcessorPil
    blip, deit, donut = (getattr(transformers, f"{name}ImageProcessorPil") for name in ("Blip", "DeiT", "Donut"))
    square = {"height": 48, "width": 48}
    cut = {"size": {"height": 55, "width": 55}, "crop_size": {"height": 32, "width": 32}}
    half = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
    openai = {"mean": tuple(clip.image_mean), "std": tuple(clip.image_std)}
    return [
        (vit(size=square), PixelSettings(size=48, interpolation="bilinear", **half)),
        (vit(size=square, resample=1), PixelSettings(size=48, interpolation="lanczos", **half)),
        (vit(size=square, resample=0), PixelSettings(size=48, interpolation="nearest", **half)),
        (blip(size=square), PixelSettings(size=48, **openai)),
        (deit(**cut), PixelSettings(size=32, resize_size=55, **half)),
        (deit(**cut, resample=4), PixelSettings(size=32, resize_size=55, interpolation="box", **half)),
        *[
            (
                clip(size={"shortest_edge": side}, crop_size={"height": size, "width": size}),
                PixelSettings(size=size, resize_size=side, crop_mode="shortest_edge", **openai),
            )
            for side, size in ((48, 48), (57, 48), (49, 48), (33, 17))
        ],
        (
            donut(size=square, do_resize=False, do_thumbnail=True, do_align_long_axis=False, do_pad=True, resample=2),
            PixelSettings(size=48, crop_mode="pad", interpolation="bilinear", **half),
        ),
    ]


@pytest.mark.parametrize("number", range(11))
@pytest.mark.parametrize("size", [(97, 61), (61, 97), (101, 100), (64, 64), (300, 49), (51, 777), (500, 333)])
def test_pixels_are_those_of_transformers(number: int, size: tuple[int, int]) -> None:
    processor, settings = processors()[number]
    image = Image.fromarray(noise(size[1], size[0], 3))
    expected = processor(image)["pixel_values"][0]
    np.testing.assert_allclose(to_pixels(image, settings), expected, atol=1e-5)


def test_a_strip_is_not_resized_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of 400,000 x 20 pixels would become 3 GB; its middle is what a strip of the allowed ratio gives."""
    settings = PixelSettings(size=224, crop_mode="shortest_edge")
    strip, ratio = Image.fromarray(np.tile(noise(20, 4, 3), (1, 100_000, 1))), MAX_ASPECT_RATIO * 20
    middle = strip.crop((200_000 - ratio // 2, 0, 200_000 + ratio // 2, 20))
    sizes, original = [], Image.Image.resize

    def recorded(image: Image.Image, size: tuple[int, int], *rest: Any, **more: Any) -> Image.Image:
        sizes.append(size)
        return original(image, size, *rest, **more)

    monkeypatch.setattr(Image.Image, "resize", recorded)
    for turn in (None, Image.Transpose.ROTATE_90):
        one, other = (image if turn is None else image.transpose(turn) for image in (strip, middle))
        np.testing.assert_array_equal(resize(one, settings), resize(other, settings))
    assert max(width * height for width, height in sizes) == MAX_ASPECT_RATIO * 224 * 224


def test_normalise_known_values() -> None:
    settings = PixelSettings()
    black, white = np.zeros((1, 1, 3), np.uint8), np.full((1, 1, 3), 255, np.uint8)
    # (0 - 0.485) / 0.229 and (1 - 0.485) / 0.229, and so on: ImageNet's statistics
    np.testing.assert_allclose(normalise(black, settings).ravel(), [-2.117904, -2.035714, -1.804444], rtol=1e-6)
    np.testing.assert_allclose(normalise(white, settings).ravel(), [2.248908, 2.428571, 2.640000], rtol=1e-6)
    half = PixelSettings(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    np.testing.assert_array_equal(normalise(np.array([[[0, 255, 51]]], np.uint8), half).ravel()[:2], [-1, 1])


def test_normalise_moves_channels_and_keeps_batches() -> None:
    batch = noise(2, 5, 32, 31, 3)
    pixels = normalise(batch, PLAIN)
    assert pixels.shape == (2, 5, 3, 32, 31) and pixels.flags.c_contiguous
    assert pixels[1, 4, 2, 30, 7] == pytest.approx(batch[1, 4, 30, 7, 2] / 255)
    np.testing.assert_array_equal(pixels[1, 3], normalise(batch[1, 3], PLAIN))


def test_normalise_leaves_its_input_alone() -> None:
    batch = noise(4, 4, 3)
    before = batch.copy()
    normalise(batch, SQUASH)
    np.testing.assert_array_equal(batch, before)


@pytest.mark.parametrize(
    "wrong", [np.zeros((4, 4, 3), np.float32), np.zeros((4, 4, 4), np.uint8), np.zeros(3, np.uint8)]
)
def test_normalise_refuses_other_arrays(wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected uint8"):
        normalise(wrong, SQUASH)


def test_resize_refuses_other_modes() -> None:
    with pytest.raises(ValueError, match="mode L; expected RGB"):
        resize(Image.new("L", (32, 32)), SQUASH)


def test_rotated_photo_gives_the_pixels_of_the_upright_one() -> None:
    upright = to_pixels(load_image(bad_images.rotated_jpeg(1)), PLAIN)
    rotated = to_pixels(load_image(bad_images.rotated_jpeg(6)), PLAIN)
    assert np.abs(upright - rotated).mean() < 2 / 255
