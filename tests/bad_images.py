"""The images that go wrong, and the odd ones that must not, each made here from nothing.

`BAD` and `ODD` list them all; `write_all` puts them into a folder.
"""

import io
import struct
import zlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

ORIENTATION = 0x0112
_STORED: dict[int, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How a camera held in each EXIF orientation stores an upright scene."""


def photo(width: int = 64, height: int = 48) -> Image.Image:
    """RGB; smooth, and different in every corner, so that no turn or flip goes unseen."""
    y, x = np.mgrid[0 : height - 1 : height * 1j, 0 : width - 1 : width * 1j]
    red, green = 255 * x / (width - 1), 255 * y / (height - 1)
    return Image.fromarray(np.stack([red, green, 255 - red], axis=-1).astype(np.uint8))


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def no_bytes() -> bytes:
    return b""


def truncated_jpeg() -> bytes:
    whole = encode(photo(), "JPEG")
    return whole[: len(whole) // 2]


def truncated_png() -> bytes:
    whole = encode(photo(), "PNG")
    return whole[: len(whole) // 2]


def html() -> bytes:
    return b"<!DOCTYPE html>\n<html><body><h1>404 Not ImageInput</h1></body></html>\n"


def plain_text() -> bytes:
    return b"BMW and GIF are three letters each.\n"


def svg() -> bytes:
    return (
        b'<?xml version="1.0"?>\n<!-- drawn by hand -->\n'
        b'<svg xmlns="http://www.w3.org/2000/svg" width="64" height="48"><rect width="9" height="9"/></svg>\n'
    )


def pdf() -> bytes:
    return b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< /Type /Catalog >>\nendobj\n"


def jpeg_xl() -> bytes:
    return b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(100)


def one_pixel_png() -> bytes:
    return encode(Image.new("RGB", (1, 1), "red"), "PNG")


@lru_cache
def huge_png() -> bytes:
    """20000 x 20000 white pixels in 50 kB: whole, and 1.6 GB once decoded to RGB."""
    side = 20000
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\xff" * (side // 8)) * side)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        _png_chunk(n, d) for n, d in ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b""))
    )


def _png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def rotated_jpeg(orientation: int = 6, image: Image.Image | None = None) -> bytes:
    """`image`, or `photo()`, as a camera held in that EXIF orientation writes it."""
    scene = image or photo()
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored = scene.transpose(_STORED[orientation]) if orientation in _STORED else scene
    return encode(stored, "JPEG", exif=exif, quality=95, subsampling=0)


def crooked_exif_jpeg() -> bytes:
    """A sound photo whose metadata point outside the file; Pillow warns of it."""
    description = struct.pack("<HHII", 0x010E, 2, 500, 60_000)
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + description + struct.pack("<I", 0)
    return encode(photo(), "JPEG", exif=exif)


def grey_png() -> bytes:
    return encode(photo().convert("L"), "PNG")


def one_bit_png() -> bytes:
    return encode(photo().convert("1"), "PNG")


def grey_alpha_png(grey: int = 0, alpha: int = 128) -> bytes:
    return encode(Image.new("LA", (16, 16), (grey, alpha)), "PNG")


def half_red_png() -> bytes:
    """Red, alpha 128 of 255."""
    return encode(Image.new("RGBA", (16, 16), (255, 0, 0, 128)), "PNG")


def palette_alpha_png() -> bytes:
    """A palette image: the left half opaque green, the right half a colour whose alpha is 0."""
    image = Image.new("P", (16, 16), 0)
    image.putpalette([0, 255, 0, 10, 20, 30])
    image.paste(1, (8, 0, 16, 16))
    return encode(image, "PNG", transparency=b"\xff\x00")


def png_16bit(value: int = 0x8000) -> bytes:
    return encode(Image.fromarray(np.full((16, 16), value, dtype=np.uint16)), "PNG")


def float_tiff(value: float = 0.5) -> bytes:
    return encode(Image.fromarray(np.full((16, 16), value, dtype=np.float32)), "TIFF")


def cmyk_jpeg() -> bytes:
    """Red, as Adobe's programs (and Pillow) write it: inverted, with their marker."""
    return encode(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG")


def cmyk_jpeg_without_adobe() -> bytes:
    """Red to browsers, libvips and OpenCV, which take every CMYK JPEG as inverted."""
    whole = cmyk_jpeg()
    at = whole.index(b"\xff\xee")
    length = struct.unpack(">H", whole[at + 2 : at + 4])[0]
    return whole[:at] + whole[at + 2 + length :]


def cmyk_tiff() -> bytes:
    """Red."""
    return encode(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "TIFF")


def animated(kind: str) -> bytes:
    """Two frames, red and then blue; `kind` is GIF, WEBP or PNG."""
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    options: dict[str, object] = {"lossless": True} if kind == "WEBP" else {}
    return encode(frames[0], kind, save_all=True, append_images=frames[1:], duration=100, **options)


def animated_gif() -> bytes:
    return animated("GIF")


def sound_files() -> dict[str, bytes]:
    """Small images of every format that is read, to be damaged."""
    scene = photo(40, 30)
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    files = {
        "jpeg": encode(scene, "JPEG", exif=exif),
        "progressive jpeg": encode(scene, "JPEG", progressive=True),
        "cmyk jpeg": cmyk_jpeg(),
        "png": encode(scene, "PNG", exif=exif),
        "palette png": palette_alpha_png(),
        "16-bit png": png_16bit(),
        "gif": encode(scene.convert("P"), "GIF", transparency=3),
        "webp": encode(scene.convert("RGBA"), "WEBP", exif=exif),
        "lossless webp": encode(scene, "WEBP", lossless=True),
        "tiff": encode(scene, "TIFF", exif=exif),
        "float tiff": float_tiff(),
        "bmp": encode(scene, "BMP"),
        "palette bmp": encode(scene.convert("P"), "BMP"),
    }
    files |= {f"animated {kind}": animated(kind) for kind in ("GIF", "WEBP", "PNG")}
    files |= {f"{how} tiff": encode(scene, "TIFF", compression=how) for how in ("tiff_lzw", "jpeg", "tiff_deflate")}
    return files


BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "no_bytes.jpg": (no_bytes, "empty"),
    "truncated.jpg": (truncated_jpeg, "truncated"),
    "truncated.png": (truncated_png, "truncated"),
    "html.jpg": (html, "not_an_image"),
    "text.bmp": (plain_text, "not_an_image"),
    "drawing.svg": (svg, "unsupported"),
    "drawing.png": (svg, "unsupported"),
    "page.pdf": (pdf, "unsupported"),
    "phone.jxl": (jpeg_xl, "unsupported"),
    "dot.png": (one_pixel_png, "too_small"),
    "huge.png": (huge_png, "too_large"),
}
"""Name of a file, what makes its bytes, and the code of the BadImage that it must give."""

ODD: dict[str, Callable[[], bytes]] = {
    "rotated.jpg": rotated_jpeg,
    "crooked_exif.jpg": crooked_exif_jpeg,
    "grey.png": grey_png,
    "one_bit.png": one_bit_png,
    "grey_alpha.png": grey_alpha_png,
    "half_red.png": half_red_png,
    "palette_alpha.png": palette_alpha_png,
    "16_bit.png": png_16bit,
    "float.tiff": float_tiff,
    "cmyk.jpg": cmyk_jpeg,
    "cmyk_without_adobe.jpg": cmyk_jpeg_without_adobe,
    "cmyk.tif": cmyk_tiff,
    "animated.gif": animated_gif,
    "Ünïcödé 写真 صورة 🐕.JPG": rotated_jpeg,
}
"""Name of a file and what makes its bytes; each is to be captioned like any other image."""


def write_all(folder: Path) -> dict[Path, str | None]:
    """Writes every image above into `folder`; gives the code that each must fail with, `None` if it is sound."""
    expected: dict[Path, str | None] = {}
    for name, (make, code) in BAD.items():
        (folder / name).write_bytes(make())
        expected[folder / name] = code
    for name, make in ODD.items():
        (folder / name).write_bytes(make())
        expected[folder / name] = None
    return expected
