import errno
import io
import os
import struct
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests import bad_images
from tests.counting import count_calls

from showtell.core import image as image_module
from showtell.core.image import load_image
from showtell.errors import IMAGE_CODES, BadImage


def code_of(source: object, **limits: int) -> str:
    with pytest.raises(BadImage) as caught:
        load_image(source, **limits)
    assert "\n" not in str(caught.value)
    return caught.value.code


def colour(data: bytes, at: tuple[int, int] = (4, 4)) -> tuple[int, int, int]:
    image = load_image(data)
    assert image.mode == "RGB"
    return image.getpixel(at)


def difference(a: Image.Image, b: Image.Image) -> float:
    assert a.size == b.size
    return float(np.abs(np.asarray(a, dtype=float) - np.asarray(b, dtype=float)).mean())


# What is refused


@pytest.mark.parametrize("name", bad_images.BAD)
def test_bad_image_has_its_code_from_bytes_and_from_a_file(name: str, tmp_path: Path) -> None:
    make, code = bad_images.BAD[name]
    path = tmp_path / name
    path.write_bytes(make())
    assert code_of(make()) == code
    assert code_of(path) == code
    assert code_of(str(path)) == code
    assert code_of(io.BytesIO(make())) == code


def test_every_code_is_reached_by_some_test() -> None:
    reached = {code for _, code in bad_images.BAD.values()} | {"missing", "unreadable"}
    elsewhere = {"url_refused", "url_failed", "crashed"}  # in tests/fetch, and in tests/bulk/test_ray_engine.py
    assert reached == set(IMAGE_CODES) - elsewhere


@pytest.mark.parametrize("name", ["none.jpg", "file.jpg/below.jpg", "nul\0.jpg", "surrogate\ud800.jpg"])
def test_missing_file(name: str, tmp_path: Path) -> None:
    (tmp_path / "file.jpg").write_bytes(b"")
    assert code_of(tmp_path / name) == "missing"


def test_folder_is_unreadable(tmp_path: Path) -> None:
    assert code_of(tmp_path) == "unreadable"


def test_file_without_permission_is_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Not by chmod: root, as whom tests may run, reads everything.
    def refuse(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    path = tmp_path / "photo.jpg"
    path.write_bytes(bad_images.grey_png())
    monkeypatch.setattr(Path, "open", refuse)
    assert code_of(path) == "unreadable"


def test_disk_error_while_decoding_is_unreadable() -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError(errno.EIO, "Input/output error")

    assert code_of(Failing(b"x")) == "unreadable"


def test_file_opened_as_text_is_unreadable() -> None:
    assert code_of(io.StringIO("text")) == "unreadable"


def test_a_function_that_cannot_read_its_file_has_a_bad_image(tmp_path: Path) -> None:
    assert code_of(lambda: (tmp_path / "absent").read_bytes()) == "missing"
    assert code_of(tmp_path.read_bytes) == "unreadable"
    assert code_of(lambda: tmp_path / "absent") == "missing"
    with pytest.raises(ZeroDivisionError):  # not the image's fault
        load_image(lambda: 1 // 0)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_named_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    assert code_of(tmp_path / "pipe.jpg") == "unreadable"


@pytest.mark.parametrize("source", [None, 7, np.zeros((20, 20, 2), np.uint8), np.zeros((20, 20, 3), np.float32)])
def test_what_is_no_image_at_all_is_unsupported(source: object) -> None:
    assert code_of(source) == "unsupported"


def test_limits_are_inclusive_and_hold_for_every_kind_of_source() -> None:
    photo = bad_images.photo(64, 48)
    data = bad_images.encode(photo, "PNG")
    for source in (data, photo, np.asarray(photo), lambda: photo):
        assert load_image(source, max_pixels=64 * 48, min_side=48).size == (64, 48)
        assert code_of(source, max_pixels=64 * 48 - 1) == "too_large"
        assert code_of(source, min_side=49) == "too_small"
    assert load_image(data, max_bytes=len(data)).size == (64, 48)
    assert code_of(data, max_bytes=len(data) - 1) == "too_large"
    assert code_of(io.BytesIO(data), max_bytes=len(data) - 1) == "too_large"


def test_limits_are_checked_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    huge, dot = bad_images.huge_png(), bad_images.one_pixel_png()
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda _: pytest.fail("decoded before the limits were checked"))
    assert code_of(huge) == "too_large"
    assert code_of(dot) == "too_small"


def test_a_page_as_a_scanner_saves_it_is_within_the_limit(tmp_path: Path) -> None:
    """A4 at 600 dpi, uncompressed: 104 MB."""
    path = tmp_path / "page.bmp"
    side = struct.pack("<ii", 4960, 7016)
    header = b"BM" + struct.pack("<IHHI", 0, 0, 0, 54) + struct.pack("<I", 40) + side + struct.pack("<HH", 1, 24)
    with path.open("wb") as file:
        file.write(header + bytes(24))
        file.truncate(54 + 3 * 4960 * 7016)
    assert load_image(path).size == (4960, 7016)
    with pytest.raises(BadImage, match=r"expected at most that; save it smaller$"):
        load_image(b"x" * 11, max_bytes=10)


def test_bytes_limit_is_checked_before_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "large.jpg"
    path.write_bytes(bytes(1000))
    monkeypatch.setattr(Path, "open", lambda *_: pytest.fail("opened before its size was checked"))
    assert code_of(path, max_bytes=999) == "too_large"


# What is read


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
@pytest.mark.parametrize("name", bad_images.ODD)
def test_odd_image_is_read_as_rgb(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(bad_images.ODD[name]())
    assert load_image(path).mode == "RGB"


def test_all_kinds_of_source_give_the_same_image(tmp_path: Path) -> None:
    photo = bad_images.photo()
    data = bad_images.encode(photo, "PNG")
    path = tmp_path / "photo.png"
    path.write_bytes(data)
    array = np.asarray(photo)
    for source in (path, str(path), data, bytearray(data), io.BytesIO(data), photo, array, lambda: photo, lambda: path):
        assert load_image(source) == photo
    with path.open("rb") as file:
        assert load_image(file) == photo
    assert load_image(array[:, :, :1]) == load_image(array[:, :, 0]) == photo.getchannel("R").convert("RGB")


def test_result_is_independent_of_the_source() -> None:
    photo = bad_images.photo()
    loaded = load_image(photo)
    loaded.paste("black", (0, 0, 64, 48))
    assert photo == bad_images.photo()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "TIFF", "WEBP"])
def test_the_pixels_of_a_file_are_not_copied_and_the_file_is_let_go(kind: str, tmp_path: Path) -> None:
    """A photo of 80 million pixels takes 320 MB, and not twice that."""
    path = tmp_path / "photo"
    path.write_bytes(bad_images.encode(bad_images.photo(), kind))
    calls = count_calls(lambda: load_image(path))
    assert calls["convert"] == calls["copy"] == 0
    loaded = load_image(path)
    assert type(loaded) is Image.Image and loaded.info == {}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(orientation: int) -> None:
    upright = load_image(bad_images.rotated_jpeg(1))
    loaded = load_image(bad_images.rotated_jpeg(orientation))
    assert difference(loaded, upright) < 2
    assert load_image(loaded) == loaded, "turned a second time"


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_exif_orientation_of_other_formats(kind: str) -> None:
    exif = Image.Exif()
    exif[bad_images.ORIENTATION] = 6
    stored = bad_images.photo().transpose(Image.Transpose.ROTATE_90)
    options = {"lossless": True} if kind == "WEBP" else {}
    assert load_image(bad_images.encode(stored, kind, exif=exif, **options)) == bad_images.photo()


def test_orientation_of_a_pil_image() -> None:
    with Image.open(io.BytesIO(bad_images.rotated_jpeg(6))) as opened:
        assert load_image(opened).size == (64, 48)


def test_an_image_that_pillow_has_only_opened_is_as_good_as_its_file() -> None:
    whole = bad_images.encode(bad_images.photo(), "JPEG")
    pixels = np.asarray(load_image(whole))
    opened = Image.open(io.BytesIO(whole[:-2]))  # Pillow itself decodes no JPEG without its end
    assert np.array_equal(np.asarray(load_image(opened)), pixels)
    assert np.array_equal(np.asarray(load_image(opened)), pixels)
    large = Image.open(io.BytesIO(bad_images.encode(Image.new("RGB", (300, 200)), "JPEG")))
    assert load_image(large, max_pixels=20_000).size == (150, 100)
    assert large.size == (300, 200) and large.convert("RGB").size == (300, 200)
    white, black = Image.new("L", (16, 16), 255), Image.new("L", (16, 16))
    second = Image.open(io.BytesIO(bad_images.encode(white, "GIF", save_all=True, append_images=[black])))
    second.seek(1)
    assert load_image(second).getpixel((4, 4)) == (0, 0, 0)


def test_meaningless_orientation_is_ignored() -> None:
    assert load_image(bad_images.rotated_jpeg(9)).size == (64, 48)


def test_sixteen_bits_are_scaled() -> None:
    # 0x8000 / 0xFFFF * 255 = 127.502
    assert colour(bad_images.png_16bit(0x8000)) == (128, 128, 128)
    assert colour(bad_images.png_16bit(0xFFFF)) == (255, 255, 255)
    assert colour(bad_images.png_16bit(0x0100)) == (1, 1, 1)
    wide = Image.fromarray(np.full((16, 16), 0x8000, dtype=np.int32))
    assert wide.mode == "I"
    assert load_image(wide).getpixel((0, 0)) == (128, 128, 128)


def test_sixteen_bits_of_the_other_byte_order() -> None:
    big_endian = Image.frombytes("I;16B", (16, 16), b"\x80\x00" * 256)
    assert load_image(big_endian).getpixel((0, 0)) == (128, 128, 128)


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0.0, 0.5, 1.0], [0, 128, 255]), ([-5, 100, 255], [0, 100, 255]), ([0, 500, 1e6], [0, 0, 255])],
)
def test_floats_are_scaled_by_their_range(values: list[float], expected: list[int]) -> None:
    row = np.repeat(np.asarray(values, dtype=np.float32), 8)
    loaded = load_image(Image.fromarray(np.tile(row, (8, 1))))
    assert [loaded.getpixel((8 * i, 0))[0] for i in range(3)] == expected


def test_float_image_without_numbers_is_black() -> None:
    assert load_image(Image.fromarray(np.full((8, 8), np.nan, np.float32))).getpixel((0, 0)) == (0, 0, 0)


def test_transparency_is_laid_over_white() -> None:
    # 255 * (1 - 128 / 255) = 127
    assert colour(bad_images.half_red_png()) == (255, 127, 127)
    assert colour(bad_images.grey_alpha_png(grey=0, alpha=128)) == (127, 127, 127)
    assert load_image(np.full((8, 8, 4), (255, 0, 0, 128), np.uint8)).getpixel((0, 0)) == (255, 127, 127)


def test_palette_with_transparency() -> None:
    assert colour(bad_images.palette_alpha_png(), at=(0, 0)) == (0, 255, 0)
    assert colour(bad_images.palette_alpha_png(), at=(15, 0)) == (255, 255, 255)


def test_one_transparent_value() -> None:
    black = np.zeros((16, 16), np.uint8)
    for image in (Image.fromarray(black), Image.fromarray(black.astype(np.uint16))):
        assert colour(bad_images.encode(image, "PNG", transparency=0)) == (255, 255, 255)


@pytest.mark.parametrize("make", [bad_images.cmyk_jpeg, bad_images.cmyk_jpeg_without_adobe, bad_images.cmyk_tiff])
def test_cmyk(make: object) -> None:
    red, green, blue = colour(make())
    assert red >= 253 and green <= 2 and blue <= 2


@pytest.mark.parametrize("mode", ["1", "L", "LA", "La", "P", "PA", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV"])
def test_modes_of_pil(mode: str) -> None:
    image = Image.new("RGB", (16, 16), "white")
    for step in {"La": ["LA", "La"], "RGBa": ["RGBA", "RGBa"]}.get(mode, [mode]):
        image = image.convert(step)
    assert load_image(image).getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_first_frame_of_an_animation(kind: str) -> None:
    red, green, blue = colour(bad_images.animated(kind))
    assert red >= 253 and green <= 2 and blue <= 2


def test_hint_leaves_a_small_jpeg_alone_and_shrinks_a_large_one() -> None:
    small = bad_images.encode(bad_images.photo(400, 300), "JPEG")
    assert load_image(small, hint_size=224) == load_image(small)
    large = bad_images.encode(bad_images.photo(2000, 1500), "JPEG", quality=95)
    fast, exact = load_image(large, hint_size=224), load_image(large)
    assert fast.size == (667, 500) or fast.size == (1000, 750)
    assert difference(fast.resize((224, 224)), exact.resize((224, 224))) < 1


def test_crooked_metadata_do_not_matter_and_are_not_spoken_of() -> None:
    # In a process of its own: pytest has its own filters for warnings.
    program = (
        "from tests import bad_images\nfrom showtell.core.image import load_image\n"
        "print(load_image(bad_images.crooked_exif_jpeg()).size)"
    )
    root = Path(__file__).parents[2]
    command = [sys.executable, "-W", "default::UserWarning", "-c", program]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(64, 48)"
    assert done.stderr == ""


# Nothing else escapes


@pytest.mark.parametrize("error", image_module._PILLOW_ERRORS)
def test_foreign_errors_are_translated_with_their_cause(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise error("first line\nsecond line")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fail)
    with pytest.raises(BadImage) as caught:
        load_image(bad_images.encode(bad_images.photo(), "BMP"))
    assert isinstance(caught.value.__cause__, error)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
def test_errors_that_are_not_the_images_pass_through(
    error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fail)
    with pytest.raises(error):
        load_image(bad_images.encode(bad_images.photo(), "BMP"))


FILES = bad_images.sound_files()
BYTES = st.one_of(st.sampled_from([0, 1, 127, 128, 255]), st.integers(0, 255))
PLACES = st.one_of(st.integers(0, 120), st.integers(0, 100_000))


@given(
    name=st.sampled_from(sorted(FILES)),
    changes=st.lists(st.tuples(PLACES, BYTES), max_size=8),
    cut=st.one_of(st.just(1.0), st.floats(0, 1)),
)
def test_damaged_files_give_bad_image_or_rgb(name: str, changes: list[tuple[int, int]], cut: float) -> None:
    data = bytearray(FILES[name])
    for place, value in changes:
        data[place % len(data)] = value
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            loaded = load_image(bytes(data[: int(cut * len(data))]), max_pixels=1_000_000)
        except BadImage:
            return
    assert loaded.mode == "RGB"
    assert loaded.width * loaded.height <= 1_000_000


def test_threads_do_not_meet() -> None:
    data = [bad_images.rotated_jpeg(orientation) for orientation in range(1, 9)]
    bad = [make() for make, code in bad_images.BAD.values() if code != "too_large"]
    expected = [load_image(each) for each in data]

    def work(index: int) -> bool:
        assert code_of(bad[index % len(bad)])
        assert code_of(data[index % 8], max_pixels=10) == "too_large"
        return load_image(data[index % 8]) == expected[index % 8]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(200)))
