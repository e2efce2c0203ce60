"""JPEGs whose end is missing, kinds that are not decoded, and large ones, which are decoded small."""

import io
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile
from tests import bad_images, skips
from tests.core.test_image import code_of, difference
from tests.counting import peak_memory

from showtell.core import image_jpeg
from showtell.core.image import MAX_PIXELS, load_image
from showtell.errors import BadImage
from showtell.image_formats import SIGNATURE_BYTES

PHOTO = bad_images.photo(400, 300)


def noisy(width: int = 400, height: int = 300) -> Image.Image:
    """As a photo, every block of which has something in it."""
    pixels = np.asarray(bad_images.photo(width, height)).astype(int)
    return Image.fromarray(
        np.clip(pixels + np.random.default_rng(0).normal(0, 30, pixels.shape), 0, 255).astype(np.uint8)
    )


KINDS = {
    "baseline": {},
    "progressive": {"progressive": True},
    "4:4:4": {"subsampling": 0},
    "progressive 4:4:4": {"progressive": True, "subsampling": 0},
    "restarts": {"restart_marker_rows": 1},
    "optimised": {"optimize": True},
}


def encoded(kind: str, image: Image.Image | None = None) -> bytes:
    return bad_images.encode(image or noisy(), "JPEG", quality=75, **KINDS[kind])


@pytest.mark.parametrize("hint", [None, 40])
@pytest.mark.parametrize("kind", KINDS)
def test_a_jpeg_without_its_end_marker_is_whole(kind: str, hint: int | None) -> None:
    whole = encoded(kind)
    wanted = load_image(whole, hint_size=hint)
    for ending in (b"", b"\xff", b"\0\0", bytes(5000), b"\xff\xff\xff"):
        assert load_image(whole[:-2] + ending, hint_size=hint) == wanted, ending
    assert load_image(whole + b"what a program wrote behind it", hint_size=hint) == wanted
    grey = encoded(kind, noisy().convert("L"))
    assert load_image(grey[:-2]) == load_image(grey)


@pytest.mark.parametrize("kind", KINDS)
def test_a_jpeg_from_which_pixels_are_missing_is_truncated(kind: str) -> None:
    whole = encoded(kind)
    first_scan = whole.index(b"\xff\xda")
    for share in (0.05, 0.3, 0.6, 0.9, 0.98):
        cut = whole[: first_scan + int((len(whole) - first_scan) * share)]
        for ending in (b"", b"\xff\xd9"[:1], bytes(20_000)):
            assert code_of(cut + ending) == "truncated", (share, ending)
            assert code_of(cut + ending, hint_size=40) == "truncated"


def test_a_few_bytes_may_lack_of_the_last_block_of_a_photo() -> None:
    for kind in ("baseline", "4:4:4"):
        whole = encoded(kind)
        wanted = np.asarray(load_image(whole), float)
        for missing in (3, 4, 6):
            loaded = np.asarray(load_image(whole[:-missing]), float)
            assert np.array_equal(loaded[:-20], wanted[:-20]) and np.array_equal(loaded[:, :-20], wanted[:, :-20])
    small = encoded("4:4:4", noisy(40, 30))  # a block is 5 % of it
    assert code_of(small[:-6]) == "truncated"


def test_whole_scans_may_not_be_missing() -> None:
    """Each scan adds to all pixels: a file cut between two of them would be a blurred or a grey photo."""
    whole = encoded("progressive")
    starts = [at for at in range(len(whole)) if whole.startswith((b"\xff\xda", b"\xff\xc4"), at)]
    cuts = [at for at in starts[2:] if whole[at:].count(b"\xff\xda")]
    assert len(cuts) > 5
    for at in cuts:
        assert code_of(whole[:at]) == "truncated"


def test_pillows_own_way_would_accept_what_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """So the tests above have a reference: the same cut, with the missing part grey."""
    whole = encoded("baseline")
    cut = whole[: len(whole) // 2]
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with Image.open(io.BytesIO(cut)) as image:
        half = np.asarray(image.convert("RGB"))
    assert len(np.unique(half[-20:])) == 1
    with Image.open(io.BytesIO(whole[:-2])) as image:
        assert difference(image.convert("RGB"), load_image(whole)) == 0


def test_an_mpo_is_its_first_picture() -> None:
    second = Image.new("RGB", (400, 300), "red")
    mpo = bad_images.encode(noisy(), "MPO", save_all=True, append_images=[second], quality=75)
    wanted = load_image(mpo)
    assert difference(wanted, load_image(encoded("baseline"))) < 1
    assert load_image(mpo[:-500]) == wanted, "the second one is not needed"
    end = mpo.index(b"\xff\xd9\xff\xd8")
    assert load_image(mpo[:end] + mpo[end + 2 :]) == wanted, "nor is the first one's end"
    assert code_of(mpo[: end - 8000] + mpo[end + 2 :]) == "truncated"


@pytest.mark.parametrize(
    ("code", "precision", "found"),
    [
        (0xC1, 12, "a JPEG of 12 bits"),
        (0xC2, 12, "a JPEG of 12 bits"),
        (0xC3, 16, "a lossless JPEG of 16 bits"),
        (0xCB, 8, "a lossless JPEG with arithmetic coding"),
        (0xC5, 8, "a hierarchical JPEG"),
        (0xCF, 8, "a hierarchical JPEG"),
        (0xF7, 8, "JPEG-LS"),
    ],
)
def test_kinds_that_are_not_decoded_are_named(code: int, precision: int, found: str, tmp_path: Path) -> None:
    data = bytearray(encoded("4:4:4"))
    at = data.index(b"\xff\xc0")
    data[at + 1], data[at + 4] = code, precision
    with pytest.raises(BadImage, match=f"^unsupported: found {found}; expected "):
        load_image(bytes(data))


def test_what_other_encoders_write_is_named() -> None:
    imagecodecs = pytest.importorskip("imagecodecs", reason=skips.PACKAGES)
    pixels = np.asarray(PHOTO)
    wide = pixels.astype(np.uint16) * 16
    for data in (
        imagecodecs.jpeg8_encode(wide, level=95, bitspersample=12),
        imagecodecs.jpeg8_encode(wide, lossless=True, bitspersample=16),
        imagecodecs.ljpeg_encode(wide[:, :, 0], bitspersample=12),
        imagecodecs.jpegls_encode(pixels),
        imagecodecs.jpeg2k_encode(pixels),
        imagecodecs.jpegxl_encode(pixels),
    ):
        assert code_of(data) == "unsupported"
    lossless = imagecodecs.jpeg8_encode(pixels, lossless=True)
    assert np.array_equal(np.asarray(load_image(lossless)), pixels), "which libjpeg-turbo 3 decodes"


def test_a_height_behind_the_picture_is_named() -> None:
    data = bytearray(encoded("4:4:4"))
    at = data.index(b"\xff\xc0") + 5
    height = bytes(data[at : at + 2])
    data[at : at + 2] = b"\0\0"
    data[-2:-2] = b"\xff\xdc\0\4" + height
    with pytest.raises(BadImage, match=r"^unsupported: found a JPEG whose height comes after its picture \(DNL\); "):
        load_image(bytes(data))


def test_two_components_are_named() -> None:
    data = bytearray(encoded("4:4:4"))
    at = data.index(b"\xff\xc0")
    data[at + 9] = 2
    with pytest.raises(BadImage, match="unsupported: found a JPEG of 2 components"):
        load_image(bytes(data))


def test_cmyk_is_inverted_with_and_without_adobes_marker() -> None:
    assert difference(load_image(bad_images.cmyk_jpeg()), load_image(bad_images.cmyk_jpeg_without_adobe())) == 0


# Large ones


def large(width: int, height: int, **options: object) -> bytes:
    return bad_images.encode(Image.linear_gradient("L").resize((width, height)), "JPEG", **options)


def test_a_panorama_of_more_than_the_limit_is_decoded_small(tmp_path: Path) -> None:
    data = large(30_000, 2_700)
    assert MAX_PIXELS < 30_000 * 2_700
    path = tmp_path / "panorama.jpg"
    path.write_bytes(data)
    for source in (data, path):
        assert load_image(source, hint_size=224).size == (7_500, 675)
    assert load_image(data).size == (15_000, 1_350), "as large as the limit allows"
    # 2,700 is less than twice this hint twice, but one above the limit may have less.
    assert load_image(data, hint_size=800).size == (15_000, 1_350)
    assert peak_memory(lambda: load_image(data, hint_size=224)) < 4 * len(data) + 30_000_000


def test_the_limit_counts_what_is_decoded() -> None:
    data = encoded("baseline", noisy(1600, 1200))
    assert load_image(data, hint_size=150, max_pixels=400 * 300).size == (400, 300)
    with pytest.raises(BadImage, match=r"too_large: found 1600 x 1200 pixels; expected at most .* raise max_pixels"):
        load_image(data, hint_size=151, max_pixels=1600 * 1200 // 16 - 1)
    assert load_image(data, max_pixels=1600 * 1200 - 1).size == (800, 600)
    assert load_image(data, max_pixels=1600 * 1200).size == (1600, 1200)


def test_a_photo_above_the_limit_may_have_fewer_pixels_than_the_hint() -> None:
    data = encoded("baseline", noisy(1600, 1200))
    assert load_image(data, hint_size=600).size == (1600, 1200)
    assert load_image(data, hint_size=600, max_pixels=1600 * 1200 - 1).size == (800, 600)
    assert load_image(data, hint_size=900, max_pixels=1600 * 1200 - 1).size == (800, 600)


def test_a_progressive_one_counts_by_its_memory() -> None:
    data = encoded("progressive 4:4:4", noisy(1600, 1200))
    coefficients = 1600 * 1200 * 3 * 2  # bytes, however small it is decoded
    assert load_image(data, hint_size=75, max_pixels=coefficients // 8).size == (200, 150)
    assert code_of(data, hint_size=75, max_pixels=coefficients // 8 - 1) == "too_large"
    half = encoded("progressive", noisy(1600, 1200))  # 4:2:0
    assert load_image(half, hint_size=75, max_pixels=coefficients // 16).size == (200, 150)


def test_far_more_pixels_than_are_decoded_are_refused() -> None:
    data = encoded("baseline", noisy(1600, 1200))
    least = 1600 * 1200 // 16
    assert load_image(data, hint_size=75, max_pixels=least).size == (200, 150)
    assert code_of(data, hint_size=75, max_pixels=least - 1) == "too_large"


def test_the_side_limit_is_for_the_photo_not_for_what_is_decoded() -> None:
    data = encoded("baseline", noisy(1600, 1200))
    assert load_image(data, hint_size=75, min_side=1200).size == (200, 150)
    assert code_of(data, hint_size=75, min_side=1201) == "too_small"


def test_a_photo_is_read_once_where_nothing_is_missing() -> None:
    """A plain photo costs no more than before: no pixel is compared, no byte walked over in Python."""
    data = encoded("baseline") + random.Random(0).randbytes(50_000)
    calls: list[str] = []
    original = image_jpeg.Jpeg._completed

    def counted(self: image_jpeg.Jpeg, *arguments: object) -> object:
        calls.append("completed")
        return original(self, *arguments)

    image_jpeg.Jpeg._completed = counted  # type: ignore[method-assign]
    try:
        load_image(data)
        assert not calls
        load_image(encoded("baseline")[:-2])
        assert calls
    finally:
        image_jpeg.Jpeg._completed = original  # type: ignore[method-assign]


class CountingFile(io.BytesIO):
    """Counts the bytes that are read from it."""

    count = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.count += len(data)
        return data


def test_file_is_read_once_unless_it_is_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded("baseline")
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    expected = Image.open(io.BytesIO(data)).convert("RGB").tobytes()
    for limit, times in (len(data), 1), (len(data) - 1, 2):
        file = CountingFile(data)
        monkeypatch.setattr("showtell.core.image.MAX_BUFFERED_BYTES", limit)
        monkeypatch.setattr("showtell.core.image.open_file", lambda *_, file=file: file)
        assert load_image(path).tobytes() == expected
        assert times * len(data) <= file.count <= times * len(data) + SIGNATURE_BYTES + 1024
