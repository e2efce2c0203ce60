"""PNGs with broken or huge chunks that carry no pixels, and a grid of kinds beside a second decoder (imagecodecs)."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests import bad_images, skips
from tests.core.test_image import code_of
from tests.core.test_image_guards import chunk, png_with

from showtell.core.image import load_image
from showtell.errors import BadImage

PHOTO = bad_images.photo()
PNG = bad_images.encode(PHOTO, "PNG")
SIGNATURE, HEADER = PNG[:8], PNG[8:33]
ROWS = b"".join(b"\0" + row.tobytes() for row in np.asarray(PHOTO))
COMPRESSED = zlib.compress(ROWS)
END = chunk(b"IEND")
CHUNKS = {
    b"tEXt": b"key\0value",
    b"zTXt": b"key\0\0" + zlib.compress(b"value"),
    b"iTXt": b"key\0\0\0\0\0value",
    b"iCCP": b"key\0\0" + zlib.compress(b"no profile"),
    b"gAMA": struct.pack(">I", 45455),
    b"cHRM": bytes(32),
    b"pHYs": bytes(9),
    b"sRGB": b"\0",
    b"sBIT": b"\x08\x08\x08",
    b"bKGD": bytes(6),
    b"tIME": bytes(7),
    b"eXIf": b"II*\0\x08\0\0\0\0\0",
    b"acTL": struct.pack(">II", 2, 0),
    b"fcTL": bytes(26),
    b"cICP": bytes(4),
    b"abCd": b"of a program's own",
}


def wrong(data: bytes) -> bytes:
    """A chunk with another checksum."""
    return data[:-4] + bytes(byte ^ 0xFF for byte in data[-4:])


@pytest.mark.parametrize("name", CHUNKS)
def test_a_broken_chunk_without_pixels_does_not_matter(name: bytes) -> None:
    content = CHUNKS[name]
    for broken in (
        wrong(chunk(name, content)),
        chunk(name),
        chunk(name, content[:1]),
        chunk(name, content[:-1]),
        chunk(name, b"\xff" * 300),
        chunk(name, b"key\0\7" + content),
    ):
        assert load_image(png_with(broken)) == PHOTO
        assert load_image(PNG[:-12] + broken + END) == PHOTO, "behind the pixels"


@pytest.mark.parametrize("place", ["before", "behind"])
@pytest.mark.parametrize(
    "start", [(b"zTXt", b"key\0\0"), (b"iTXt", b"key\0\1\0\0\0"), (b"iCCP", b"key\0\0")], ids=lambda start: start[0]
)
def test_a_text_or_profile_above_pillows_limit_does_not_matter(start: tuple[bytes, bytes], place: str) -> None:
    huge = chunk(start[0], start[1] + zlib.compress(bytes(20_000_000)))
    data = png_with(huge) if place == "before" else PNG[:-12] + huge + END
    assert load_image(data) == PHOTO


def test_many_texts_above_pillows_limit_for_all() -> None:
    texts = b"".join(chunk(b"zTXt", b"key%d\0\0" % i + zlib.compress(b"x" * 900_000)) for i in range(80))
    assert load_image(png_with(texts)) == PHOTO


def test_a_png_whose_pixels_are_whole_is_whole() -> None:
    assert load_image(PNG[:-12]) == PHOTO, "without IEND"
    assert load_image(PNG[:-4] + b"1234") == PHOTO, "with a wrong checksum of IEND"
    assert load_image(PNG[:-6]) == PHOTO
    assert load_image(PNG + b"what a program wrote behind it") == PHOTO
    split = chunk(b"IDAT", COMPRESSED[:50]) + chunk(b"tEXt", b"a\0b") + chunk(b"IDAT", COMPRESSED[50:])
    assert load_image(SIGNATURE + HEADER + split + END) == PHOTO, "with a text between its pixels"
    many = b"".join(chunk(b"IDAT", COMPRESSED[i : i + 7]) for i in range(0, len(COMPRESSED), 7))
    assert load_image(SIGNATURE + HEADER + many + END) == PHOTO


def test_a_png_from_which_pixels_are_missing_is_truncated() -> None:
    at = PNG.index(b"IDAT")
    for share in (0.1, 0.5, 0.7):
        assert code_of(PNG[: at + int((len(PNG) - at) * share)]) == "truncated"
    for share in (0.2, 0.9):
        part = chunk(b"IDAT", COMPRESSED[: int(len(COMPRESSED) * share)])
        assert code_of(SIGNATURE + HEADER + part + END) == "truncated"
    assert code_of(SIGNATURE + HEADER + END) == "truncated"
    assert code_of(SIGNATURE + wrong(HEADER) + PNG[33:]) == "truncated", "the header carries the size"
    assert code_of(SIGNATURE + chunk(b"IHDR", HEADER[8:20]) + PNG[33:]) == "truncated"


def test_pixels_of_another_checksum_are_damaged(tmp_path: Path) -> None:
    """As of a download that stopped, in a file of the final size: zeros may still be decoded, to noise."""
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    png = bad_images.encode(Image.fromarray(noise), "PNG")
    (tmp_path / "zeros.png").write_bytes(png[: len(png) // 2] + bytes(len(png) // 2))
    for source in ((tmp_path / "zeros.png"), png[: len(png) // 2] + bytes(len(png) // 2)):
        with pytest.raises(BadImage, match="its pixels have another checksum than their own"):
            load_image(source)
    assert code_of(SIGNATURE + HEADER + wrong(chunk(b"IDAT", COMPRESSED)) + END) == "truncated"
    large = np.random.default_rng(0).integers(0, 256, (700, 800, 3), np.uint8)  # more than a block in one IDAT
    assert np.array_equal(np.asarray(load_image(bad_images.encode(Image.fromarray(large), "PNG"))), large)


def test_apples_own_png_is_named() -> None:
    packer = zlib.compressobj(wbits=-15)
    raw = packer.compress(ROWS) + packer.flush()
    data = SIGNATURE + chunk(b"CgBI", b"\x50\0\x20\2") + HEADER + chunk(b"IDAT", raw) + END
    with pytest.raises(BadImage, match=r"unsupported: found a PNG of Apple's own kind \(CgBI\); expected "):
        load_image(data)


def test_transparency_that_cannot_be_meant_is_left_out() -> None:
    for broken in (wrong(chunk(b"tRNS", bytes(6))), chunk(b"tRNS", b"\0"), chunk(b"tRNS"), chunk(b"tRNS", bytes(300))):
        assert load_image(png_with(broken)) == PHOTO
    black = np.asarray(PHOTO).copy()
    black[:10] = (10, 20, 30)
    png = bad_images.encode(Image.fromarray(black), "PNG")
    loaded = np.asarray(load_image(png[:33] + chunk(b"tRNS", struct.pack(">HHH", 10, 20, 30)) + png[33:]))
    assert (loaded[:10] == 255).all() and np.array_equal(loaded[10:], black[10:])


@pytest.mark.parametrize("where", ["eXIf", "eXIf behind", "tEXt", "zTXt", "xmp", "compressed xmp"])
def test_orientation_wherever_it_is(where: str) -> None:
    exif = b"II*\0\x08\0\0\0" + struct.pack("<HHHLHH", 1, 0x0112, 3, 1, 6, 0) + bytes(4)
    raw = b"\nexif\n%d\n" % len(exif) + exif.hex().encode()
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    added = {
        "eXIf": chunk(b"eXIf", exif),
        "eXIf behind": chunk(b"eXIf", exif),
        "tEXt": chunk(b"tEXt", b"Raw profile type exif\0" + raw),
        "zTXt": chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(raw)),
        "xmp": chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp),
        "compressed xmp": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(xmp)),
    }[where]
    stored = bad_images.encode(PHOTO.transpose(Image.Transpose.ROTATE_90), "PNG")
    data = stored[:-12] + added + END if "behind" in where else stored[:33] + added + stored[33:]
    assert load_image(data) == PHOTO


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("colour_type", [0, 2, 3, 4, 6])
@pytest.mark.parametrize("interlaced", [False, True])
def test_every_kind_of_png_beside_a_second_decoder(bits: int, colour_type: int, interlaced: bool) -> None:
    imagecodecs = pytest.importorskip("imagecodecs", reason=skips.PACKAGES)
    allowed = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
    if bits not in allowed[colour_type]:
        return
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour_type]
    width, height = 19, 13
    values = np.random.default_rng(bits).integers(0, 2**bits, (height, width, samples))
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, interlaced)
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    parts = [values[y::dy, x::dx] for x, y, dx, dy in passes] if interlaced else [values]
    rows = b"".join(b"\0" + packed(row, bits) for part in parts if part.size for row in part)
    palette = np.random.default_rng(9).integers(0, 256, (2**bits if bits < 16 else 1, 3)).astype(np.uint8)
    chunks = chunk(b"IHDR", header) + (chunk(b"PLTE", palette.tobytes()) if colour_type == 3 else b"")
    data = SIGNATURE + chunks + chunk(b"IDAT", zlib.compress(rows)) + END
    decoded = imagecodecs.png_decode(data).reshape(height, width, -1).astype(float)
    decoded *= 255 / np.iinfo(imagecodecs.png_decode(data).dtype).max
    if decoded.shape[2] in (2, 4):
        alpha = decoded[:, :, -1:] / 255
        decoded = decoded[:, :, :-1] * alpha + 255 * (1 - alpha)
    wanted = np.repeat(decoded, 3, axis=2) if decoded.shape[2] == 1 else decoded
    assert np.abs(np.asarray(load_image(data), float) - wanted).max() <= 2


def packed(row: np.ndarray, bits: int) -> bytes:
    if bits == 16:
        return row.astype(">u2").tobytes()
    binary = (row.reshape(-1, 1) >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(binary.reshape(-1).astype(np.uint8)).tobytes()
