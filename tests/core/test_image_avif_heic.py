"""AVIF and HEIC, written by Pillow, pillow-heif and imagecodecs; what is read is compared with the photo they wrote."""

import builtins
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests import bad_images, skips
from tests.bmff import heic
from tests.core.test_image import code_of, difference

from showtell.core.image import load_image
from showtell.errors import BadImage
from showtell.install import install_hint

pytest.importorskip("pillow_heif", reason=skips.PACKAGES)

PHOTO = bad_images.photo(100, 76)


def avif(image: Image.Image = PHOTO, **options: object) -> bytes:
    return bad_images.encode(image, "AVIF", **{"quality": 95, "subsampling": "4:4:4", **options})


@pytest.mark.parametrize("encode", [avif, heic])
def test_a_photo(encode: Any) -> None:
    loaded = load_image(encode(PHOTO))
    assert loaded.mode == "RGB"
    assert difference(loaded, PHOTO) < 2


@pytest.mark.parametrize("encode", [avif, heic])
def test_grey_and_alpha(encode: Any) -> None:
    assert difference(load_image(encode(PHOTO.convert("L"))), PHOTO.convert("L").convert("RGB")) < 2
    half = PHOTO.convert("RGBA")
    half.paste((0, 0, 0, 0), (0, 0, 50, 76))
    loaded = load_image(encode(half))
    assert np.asarray(loaded)[:, :40].min() > 250, "transparent is white"
    assert difference(loaded.crop((60, 0, 100, 76)), PHOTO.crop((60, 0, 100, 76))) < 2


@pytest.mark.parametrize("subsampling", ["4:0:0", "4:2:0", "4:2:2", "4:4:4"])
def test_avif_of_every_subsampling(subsampling: str) -> None:
    wanted = PHOTO.convert("L").convert("RGB") if subsampling == "4:0:0" else PHOTO
    assert difference(load_image(avif(subsampling=subsampling)), wanted) < 3


@pytest.mark.parametrize("bits", [8, 10, 12])
def test_avif_of_more_bits(bits: int) -> None:
    imagecodecs = pytest.importorskip("imagecodecs", reason=skips.PACKAGES)
    pixels = np.asarray(PHOTO).astype(np.uint8 if bits == 8 else np.uint16) << (bits - 8)
    assert difference(load_image(imagecodecs.avif_encode(pixels, level=95, bitspersample=bits)), PHOTO) < 3


def test_heic_of_10_bits() -> None:
    import pillow_heif

    wide = (np.asarray(PHOTO).astype("<u2") * 257).tobytes()
    file = io.BytesIO()
    pillow_heif.from_bytes("RGB;16", PHOTO.size, wide).save(file, quality=95)
    assert difference(load_image(file.getvalue()), PHOTO) < 3


def test_an_animation_is_its_first_frame() -> None:
    others = [Image.new("RGB", PHOTO.size, "blue")] * 3
    data = avif(save_all=True, append_images=others)
    assert data[8:12] == b"avis"
    assert difference(load_image(data), PHOTO) < 2


@pytest.mark.parametrize("primary", [0, 1])
def test_a_heic_of_several_pictures_is_its_primary_one(primary: int) -> None:
    import pillow_heif

    pictures = [Image.new("RGB", (64, 64), "red")]
    pictures.insert(primary, PHOTO)
    file = io.BytesIO()
    several = pillow_heif.from_pillow(pictures[0])
    several.add_from_pillow(pictures[1])
    several.save(file, quality=95, primary_index=primary)
    assert difference(load_image(file.getvalue()), PHOTO) < 2


def test_a_heic_of_tiles_as_phones_write_it() -> None:
    large = bad_images.photo(600, 500)
    data = heic(large, tile_size=256)
    assert data.count(b"hvc1") >= 6 and b"grid" in data
    assert difference(load_image(data), large) < 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_container_turns_a_heic_and_exif_does_not_turn_it_again(orientation: int) -> None:
    exif = Image.Exif()
    exif[bad_images.ORIENTATION] = orientation
    stored = PHOTO.transpose(bad_images._STORED[orientation]) if orientation > 1 else PHOTO
    both = heic(stored, exif=exif.tobytes())
    assert b"Exif" in both and (b"irot" in both or b"imir" in both) == (orientation > 1)
    loaded = load_image(both)
    assert difference(loaded, PHOTO) < 2
    assert load_image(loaded) == loaded
    # Alone, the orientation of EXIF does not count in this container (MIAF): viewers show the pixels as stored.
    alone = heic(stored, exif=exif)
    assert b"Exif" in alone and b"irot" not in alone and b"imir" not in alone
    assert difference(load_image(alone), stored) < 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_container_turns_an_avif_and_exif_does_not_turn_it_again(orientation: int) -> None:
    exif = Image.Exif()
    exif[bad_images.ORIENTATION] = orientation
    exif[0x0113] = 6  # becomes an orientation below: Pillow writes that of EXIF to the container only
    stored = PHOTO.transpose(bad_images._STORED[orientation]) if orientation > 1 else PHOTO
    data = avif(stored, exif=exif)
    for tag, wanted in ((b"\x13\x01\x03\0", b"\x12\x01\x03\0"), (b"\x01\x13\0\x03", b"\x01\x12\0\x03")):
        data = data.replace(tag, wanted)
    with Image.open(io.BytesIO(data)) as image:
        assert b"\x01\x12\0\x03" in image.info["exif"] or b"\x12\x01\x03\0" in image.info["exif"]
    assert difference(load_image(data), PHOTO) < 2


def test_heic_without_its_extra_is_unsupported_and_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    data, original = heic(PHOTO), builtins.__import__

    def refuse(name: str, *arguments: Any, **options: Any) -> Any:
        if name.startswith("pillow_heif"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return original(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(BadImage) as caught:
        load_image(data)
    assert caught.value.code == "unsupported"
    assert caught.value.detail == f"HEIC needs pillow-heif, which is not installed; {install_hint('heif')}"


def test_limits_hold_for_both() -> None:
    for data in (avif(), heic(PHOTO)):
        assert load_image(data, max_pixels=7600, min_side=76).size == (100, 76)
        assert code_of(data, max_pixels=7599) == "too_large"
        assert code_of(data, min_side=77) == "too_small"


def test_a_cut_off_file_is_truncated() -> None:
    for data in (avif(), heic(PHOTO), heic(bad_images.photo(300, 200), tile_size=128)):
        for share in (0.1, 0.4, 0.7, 0.9):
            assert code_of(data[: int(len(data) * share)]) == "truncated", share


def test_zeros_in_the_place_of_the_end_are_no_picture() -> None:
    """As an interrupted download leaves them; libheif would show something for them."""
    for data in (heic(noise()), avif(noise())):
        with pytest.raises(BadImage, match=r"^truncated: .*; copy or download it again$"):
            load_image(data[:-64] + bytes(64))


def noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8))
