"""Images that are odd and whole: each must be accepted, with the pixels that it was made from.

Where the coding is lossless, the reference is the array that was written; where it loses something, the plain decoder
of Pillow or pillow-heif, without showtell's guards and parsers, on the same file.
"""

from __future__ import annotations

import io
import random
from typing import Any

import numpy as np
import pillow_heif
import tifffile
from PIL import Image
from tests import bad_images
from tests.core.test_image_guards import HARMLESS, chunk

from torture.image_case import Case, Family, Pixels, accepted, encode, grey, over_white, scene

TURNS = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, 3),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}
"""EXIF orientation to what makes the stored pixels upright."""


def plain(data: bytes) -> Pixels:
    """As Pillow alone decodes it."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def jpeg(rng: random.Random) -> Case:
    options: dict[str, Any] = {"quality": rng.choice([10, 50, 75, 95, 100]), "progressive": rng.random() < 0.4}
    options |= {"subsampling": rng.choice([0, 1, 2]), "optimize": rng.random() < 0.5}
    if rng.random() < 0.3:
        options["restart_marker_blocks"] = rng.randint(1, 5)
    data = encode(scene(rng, rng.choice([1, 3])), "JPEG", **options)
    return accepted(data, ".jpg", plain(data))


def jpeg_cmyk(rng: random.Random) -> Case:
    data = encode(scene(rng, 3), "JPEG", "CMYK", quality=95)
    return accepted(data, ".jpg", plain(data))


def jpeg_without_end(rng: random.Random) -> Case:
    """Only the end marker is missing."""
    whole = encode(scene(rng), "JPEG", quality=90, subsampling=0)
    return accepted(whole[:-2], ".jpg", plain(whole))


def png(rng: random.Random) -> Case:
    kind = rng.choice(["RGB", "L", "1", "P"])
    if kind == "1":
        bits = scene(rng, 1) > rng.randint(60, 190)
        return accepted(bad_images.encode(Image.fromarray(bits), "PNG"), ".png", grey(bits.astype(np.uint8) * 255))
    array = scene(rng, 1 if kind == "L" else 3)
    if kind == "P":
        image = Image.fromarray(array).quantize(rng.choice([2, 4, 16, 255]))
        palette = np.array(image.getpalette(), np.uint8).reshape(-1, 3)
        return accepted(bad_images.encode(image, "PNG"), ".png", palette[np.asarray(image)])
    return accepted(encode(array, "PNG"), ".png", grey(array) if kind == "L" else array)


def png_with_alpha(rng: random.Random) -> Case:
    channels = rng.choice([2, 4])
    array = scene(rng, channels)
    colour = grey(array[:, :, 0]) if channels == 2 else array[:, :, :3]
    return accepted(encode(array, "PNG"), ".png", over_white(colour, array[:, :, -1]), 1)


def palette_with_transparency(rng: random.Random) -> Case:
    """In PNG an alpha for each colour, in GIF one colour without any."""
    image = Image.fromarray(scene(rng)).quantize(16)
    indices, palette = np.asarray(image), np.array(image.getpalette(), np.uint8).reshape(-1, 3)
    if rng.random() < 0.5:
        clear = int(rng.choice(np.unique(indices).tolist()))
        data = bad_images.encode(image, "GIF", transparency=clear)
        return accepted(data, ".gif", over_white(palette[indices], np.where(indices == clear, 0, 255)))
    alphas = bytes(rng.randrange(256) for _ in range(16))
    data = bad_images.encode(image, "PNG", transparency=alphas)
    return accepted(data, ".png", over_white(palette[indices], np.frombuffer(alphas, np.uint8)[indices]), 1)


def grey_of_16_bits(rng: random.Random) -> Case:
    array = scene(rng, 1, "u2")
    kind = rng.choice(["PNG", "TIFF"])
    return accepted(encode(array, kind), f".{kind.lower()[:3]}", grey(np.rint(array / 257.0).astype(np.uint8)), 1)


def grey_of_floats(rng: random.Random) -> Case:
    """0 to 1, as programs of science write them."""
    array = (scene(rng, 1) / np.float32(255)).astype(np.float32)
    return accepted(encode(array, "TIFF"), ".tif", grey(np.rint(array * 255).astype(np.uint8)), 1)


def bmp(rng: random.Random) -> Case:
    array = scene(rng)
    if rng.random() < 0.4:
        image = Image.fromarray(array).quantize(64)
        palette = np.array(image.getpalette(), np.uint8).reshape(-1, 3)
        return accepted(bad_images.encode(image, "BMP"), ".bmp", palette[np.asarray(image)])
    return accepted(encode(array, "BMP"), ".bmp", array)


def gif(rng: random.Random) -> Case:
    image = Image.fromarray(scene(rng)).quantize(rng.choice([2, 32, 256]))
    palette = np.array(image.getpalette(), np.uint8).reshape(-1, 3)
    return accepted(bad_images.encode(image, "GIF", interlace=rng.random() < 0.5), ".gif", palette[np.asarray(image)])


def webp(rng: random.Random) -> Case:
    array = scene(rng)
    if rng.random() < 0.5:
        return accepted(encode(array, "WEBP", lossless=True), ".webp", array)
    data = encode(array, "WEBP", quality=rng.randint(1, 100))
    return accepted(data, ".webp", plain(data))


def tiff(rng: random.Random) -> Case:
    """In the ways that tifffile, which is no part of Pillow, writes them."""
    kind = rng.choice(["u1", "u2"])
    array = scene(rng, 3, kind)
    order = rng.choice("<>")
    options: dict[str, Any] = {"byteorder": order, "bigtiff": order == "<" and rng.random() < 0.5}
    writing: dict[str, Any] = {"photometric": "rgb", "compression": rng.choice([None, "lzw", "zlib", "packbits"])}
    if rng.random() < 0.3:
        writing["tile"] = (16, 16)
    else:
        writing["rowsperstrip"] = rng.randint(1, array.shape[0])
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **options, **writing)
    pixels = array if kind == "u1" else np.rint(array / 257.0).astype(np.uint8)
    return accepted(buffer.getvalue(), rng.choice([".tif", ".tiff"]), pixels, 0 if kind == "u1" else 1)


def avif_or_heic(rng: random.Random) -> Case:
    image = Image.fromarray(scene(rng))
    if rng.random() < 0.5:
        data = bad_images.encode(image, "AVIF", quality=rng.randint(20, 100))
        return accepted(data, ".avif", plain(data))
    buffer = io.BytesIO()
    pillow_heif.from_pillow(image).save(buffer, quality=rng.randint(20, 95))
    decoded = pillow_heif.open_heif(io.BytesIO(buffer.getvalue())).to_pillow()
    return accepted(buffer.getvalue(), ".heic", np.asarray(decoded.convert("RGB")))


def orientation(rng: random.Random) -> Case:
    number, kind = rng.randint(1, 8), rng.choice(["PNG", "WEBP", "TIFF"])
    exif, stored = Image.Exif(), scene(rng)
    exif[bad_images.ORIENTATION] = number
    options = {"lossless": True} if kind == "WEBP" else {}
    suffix = {"PNG": ".png", "WEBP": ".webp", "TIFF": ".tif"}[kind]
    return accepted(encode(stored, kind, exif=exif, **options), suffix, TURNS[number](stored))


def orientation_of_a_jpeg(rng: random.Random) -> Case:
    exif, number = Image.Exif(), rng.randint(1, 8)
    exif[bad_images.ORIENTATION] = number
    stored = scene(rng)
    data = encode(stored, "JPEG", exif=exif)
    return accepted(data, ".jpg", TURNS[number](plain(encode(stored, "JPEG"))))


def animation(rng: random.Random) -> Case:
    """The first frame counts."""
    kind = rng.choice(["GIF", "PNG", "WEBP"])
    width, height = rng.randint(16, 40), rng.randint(16, 40)
    frames = [Image.fromarray(scene(rng, 3, "u1", width, height)) for _ in range(rng.randint(2, 5))]
    if kind == "GIF":
        frames = [frame.quantize(64) for frame in frames]
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    data = bad_images.encode(frames[0], kind, save_all=True, append_images=frames[1:], duration=50, **options)
    return accepted(data, f".{kind.lower()}", np.asarray(frames[0].convert("RGB")))


def several_pictures(rng: random.Random) -> Case:
    """MPO of a phone, or pages of a TIFF."""
    first, second = Image.fromarray(scene(rng)), Image.fromarray(scene(rng))
    if rng.random() < 0.5:
        data = bad_images.encode(first, "MPO", save_all=True, append_images=[second])
        return accepted(data, ".mpo", plain(data))
    data = bad_images.encode(first, "TIFF", save_all=True, append_images=[second])
    return accepted(data, ".tif", np.asarray(first))


def garbage_as_metadata(rng: random.Random) -> Case:
    """Bytes that are no colour profile, no EXIF and no XMP."""
    array, kind = scene(rng), rng.choice(["JPEG", "PNG", "WEBP", "TIFF"])
    garbage = b"\0" + rng.randbytes(rng.randint(1, 3000))  # no byte order mark of EXIF
    key = rng.choice(["icc_profile", "icc_profile", "exif", "xmp"]) if kind in ("JPEG", "WEBP") else "icc_profile"
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    prefix = b"Exif\0\0" if key == "exif" else b""
    data = encode(array, kind, **options, **{key: prefix + garbage})
    pixels = plain(encode(array, kind)) if kind == "JPEG" else array
    return accepted(data, {"JPEG": ".jpg", "TIFF": ".tif"}.get(kind, f".{kind.lower()}"), pixels)


def png_with_broken_chunks(rng: random.Random) -> Case:
    """Of texts and the like, which carry no pixels: random contents, some with a wrong checksum."""
    array = scene(rng)
    whole, extra = encode(array, "PNG"), b""
    for _ in range(rng.randint(1, 20)):
        name = rng.choice([b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"gAMA", b"tIME", b"iCCP", b"aaAa"])
        piece = chunk(name, b"\0" + rng.randbytes(rng.randint(0, 200)))
        extra += piece if rng.random() < 0.5 else piece[:-4] + rng.randbytes(4)
    return accepted(whole[:33] + extra + whole[33:], ".png", array)


def costly_metadata(rng: random.Random) -> Case:
    """Bombs in metadata; the photo is sound."""
    data = HARMLESS[rng.choice(sorted(HARMLESS))]()
    kind = "JPEG" if data[:2] == b"\xff\xd8" else "PNG" if data[1:4] == b"PNG" else "WEBP"
    return accepted(data, f".{kind.lower()}", plain(bad_images.encode(bad_images.photo(), kind)))


def bytes_behind_the_end(rng: random.Random) -> Case:
    """A film, a second file, zeros."""
    tail = rng.choice([bytes(rng.randint(1, 5000)), rng.randbytes(5000), encode(scene(rng), "PNG"), b"\r\n"])
    kind = rng.choice(["JPEG", "PNG", "BMP"])
    array = scene(rng)
    whole = encode(array, kind)
    return accepted(whole + tail, {"JPEG": ".jpg"}.get(kind, f".{kind.lower()}"), plain(whole))


def wrong_suffix(rng: random.Random) -> Case:
    kind, array = rng.choice(["JPEG", "PNG", "BMP", "WEBP"]), scene(rng)
    data = encode(array, kind, **({"lossless": True} if kind == "WEBP" else {}))
    suffix = rng.choice([".jpg", ".png", ".gif", ".webp", ".tif", ".bmp", ".avif", ".heic", ".JPG", ".jfif"])
    return accepted(data, suffix, plain(data))


def extreme_shape(rng: random.Random) -> Case:
    short, long = rng.randint(8, 12), rng.randint(1000, 4000)
    width, height = (short, long) if rng.random() < 0.5 else (long, short)
    array = scene(rng, 3, "u1", width, height)
    return accepted(encode(array, "PNG"), ".png", array)


def large(rng: random.Random) -> Case:
    """As many pixels as cameras have, 6 to 24 million; a photo so large is what time and memory are limited for."""
    pixels = rng.uniform(6e6, 24e6)
    width = int((pixels * rng.uniform(0.5, 2)) ** 0.5)
    side = Image.fromarray(scene(rng)).resize((width, int(pixels / width)), Image.Resampling.NEAREST)
    if rng.random() < 0.3:
        return accepted(bad_images.encode(side, "PNG", compress_level=1), ".png", np.asarray(side))
    data = bad_images.encode(side, "JPEG", progressive=rng.random() < 0.3)
    return accepted(data, ".jpg", plain(data))


ODD: dict[str, Family] = {
    family.__name__: family
    for family in (
        *(jpeg, jpeg_cmyk, jpeg_without_end, png, png_with_alpha, palette_with_transparency, grey_of_16_bits),
        *(grey_of_floats, bmp, gif, webp, tiff, avif_or_heic, orientation, orientation_of_a_jpeg, animation),
        *(several_pictures, garbage_as_metadata, png_with_broken_chunks, costly_metadata, bytes_behind_the_end),
        *(wrong_suffix, extreme_shape, large),
    )
}
