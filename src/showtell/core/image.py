"""Image loading: path, bytes, file, PIL image or array to one upright RGB image.

    bytes -> signature -> parts and header, checked against the limits -> pixels -> RGB over white -> upright

Six formats are decoded: those that cameras, phones and the web write. Pillow knows forty more, but each is another
parser for hostile bytes (EPS runs Ghostscript), so the others are refused by name.

Rejected: `PIL.Image.open`. It tries one parser after another, and its pixel limit is a global that warns, or raises at
twice that. Here the signature chooses the parser and the limits are arguments, so that threads may use different ones.
"""

from __future__ import annotations

import os
import re
import stat
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO, TextIOBase
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

from showtell.core.image_guards import DECODERS, EXIF_ORIENTATION, check_structure
from showtell.errors import BadImage

EncodedImage: TypeAlias = bytes | bytearray | BinaryIO
ImageSource: TypeAlias = (
    "str | os.PathLike[str] | EncodedImage | Image.Image | NDArray[np.uint8] | Callable[[], ImageSource]"
)

MAX_BYTES: Final = 64 * 1024 * 1024
MAX_PIXELS: Final = 80_000_000
"""Below Pillow's own limit (89 million), which therefore never warns; 320 MB decoded."""
MIN_SIDE: Final = 8
"""Pixels; a smaller image is a spacer or a tracking pixel."""

_SIGNATURES: Final = {
    "JPEG": rb"\xff\xd8\xff",
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "GIF": rb"GIF8[79]a",
    "WebP": rb"RIFF....WEBP",
    "TIFF": rb"II[*+]\0|MM\0[*+]",
    # Two letters begin many a text; the size of the second header is one of these.
    "BMP": rb"BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\0\0\0",
}
_UNSUPPORTED_SIGNATURES: Final = {
    "SVG": rb"(\xef\xbb\xbf)?\s*<(svg|(\?xml|!--|!DOCTYPE svg).*<svg)\b",
    "PDF": rb"%PDF-",
    "PostScript": rb"%!PS|\xc5\xd0\xd3\xc6",
    "AVIF": rb"....ftypavi[fs]",
    "HEIC": rb"....ftyp(hei[cmsx]|hev[cmsx]|mif1|msf1)",
    "MP4 film": rb"....ftyp",
    "JPEG 2000": rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51",
    "JPEG XL": rb"\xff\x0a|\0\0\0\x0cJXL ",
    "Photoshop": rb"8BPS",
    "icon": rb"\0\0[\x01\x02]\0",
    "portable any map": rb"P[1-7]\s",
    "OpenEXR": rb"\x76\x2f\x31\x01",
}
_SIGNATURE_BYTES: Final = 4096
"""Bytes searched for a signature; only SVG, which may begin with comments, needs more than 18."""

_PILLOW_ERRORS: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    Image.DecompressionBombError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    Warning,  # one that somebody's `-W error` made an exception
    struct.error,
    zlib.error,
)
"""All that Pillow is known to raise on damaged files; `tests/core/test_image.py` damages files at random.

Not MemoryError: its cause is this machine, not the image.
"""

_TRANSPOSE: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation to the operation that undoes it."""

# Pillow warns of crooked metadata, which a caption does not need. `warnings.catch_warnings` would be undone by a second
# thread; a filter that names the modules stays true.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.(Png|Tiff)ImagePlugin")


def load_image(
    source: ImageSource,
    *,
    max_bytes: int = MAX_BYTES,
    max_pixels: int = MAX_PIXELS,
    min_side: int = MIN_SIDE,
    hint_size: int | None = None,
) -> Image.Image:
    """The image as mode RGB, upright, its first frame, transparency over white, without metadata.

    `source` is a path, the bytes of a file, a file opened in binary mode (read from its start, its position stays), a
    PIL image (its current frame), an array `[H, W]` or `[H, W, 1 | 3 | 4]` of uint8, or a function that gives one of
    these (see `records.Sample.image`).
    `hint_size` allows a JPEG to be decoded at a half, a quarter or an eighth as long as both sides keep twice that many
    pixels: faster, and almost the same after shrinking to `hint_size`.

    Raises BadImage for every fault of the image. The limits are checked before anything is decoded.
    """
    if isinstance(source, np.ndarray):
        source = _from_array(source)
    if isinstance(source, Image.Image):
        _check_size(source.size, max_pixels, min_side)
        return _to_rgb(source)
    if isinstance(source, str | os.PathLike):
        with _open_file(Path(source), max_bytes) as file:
            return _decode(file, max_pixels, min_side, hint_size)
    if hasattr(source, "read"):
        source = _read_file(cast(BinaryIO, source), max_bytes)
    if isinstance(source, bytes | bytearray):
        _check_bytes(len(source), max_bytes)
        return _decode(BytesIO(source), max_pixels, min_side, hint_size)
    if callable(source):
        return load_image(
            _call_source(source), max_bytes=max_bytes, max_pixels=max_pixels, min_side=min_side, hint_size=hint_size
        )
    raise BadImage("unsupported", f"found {type(source).__name__}; expected a path, bytes, file, image or array")


def _call_source(source: Callable[[], ImageSource]) -> ImageSource:
    """The result of the function; an OSError in it becomes a BadImage."""
    try:
        return source()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BadImage("missing", f"no such file: {error.filename}") from error
    except OSError as error:
        raise BadImage("unreadable", error.strerror or _one_line(error)) from error


def _open_file(path: Path, max_bytes: int) -> BinaryIO:
    try:
        status = path.stat()
        # Opening a named pipe would wait for a writer that may never come.
        if not stat.S_ISREG(status.st_mode):
            found = "a folder" if stat.S_ISDIR(status.st_mode) else "a device or pipe"
            raise BadImage("unreadable", f"found {found}; expected a file")
        _check_bytes(status.st_size, max_bytes)
        return path.open("rb")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BadImage("missing", "no such file") from error
    except OSError as error:
        raise BadImage("unreadable", error.strerror or str(error)) from error
    except ValueError as error:  # a NUL or a lone surrogate in the name: no file can be called that
        raise BadImage("missing", "no file can have this name") from error


def _read_file(file: BinaryIO, max_bytes: int) -> bytes:
    """From its start, and its position stays; one that has none (a pipe, a download) from where it is."""
    if getattr(file, "closed", False) is True:
        raise BadImage("unreadable", "the file is closed; expected an open one")
    if isinstance(file, TextIOBase):
        raise BadImage("unreadable", "the file is opened in text mode; expected binary mode: open(path, 'rb')")
    try:
        try:
            position = file.tell()
            file.seek(0)
        except (OSError, AttributeError):
            return _read_all(file, max_bytes)
        try:
            return _read_all(file, max_bytes)
        finally:
            file.seek(position)
    except (BadImage, MemoryError):
        raise
    except Exception as error:  # a download, an archive's member: each kind of file has errors of its own
        raise BadImage("unreadable", _one_line(error) or type(error).__name__) from error


def _read_all(file: BinaryIO, max_bytes: int) -> bytes:
    """At most `max_bytes` and one more."""
    data = bytearray()
    while len(data) <= max_bytes:
        part = file.read(max_bytes + 1 - len(data))  # unbuffered ones give a part of it
        if not isinstance(part, bytes):
            raise BadImage("unreadable", f"reading gave {type(part).__name__}; expected a file opened in binary mode")
        if not part:
            break
        data += part
    return bytes(data)


def _check_bytes(count: int, max_bytes: int) -> None:
    if count == 0:
        raise BadImage("empty", "found 0 bytes; expected an image")
    if count > max_bytes:
        raise BadImage("too_large", f"found more than {max_bytes / 2**20:.3g} MiB, which is the limit")


def _check_size(size: tuple[int, int], max_pixels: int, min_side: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise BadImage("too_large", f"found {width} x {height} pixels; expected at most {max_pixels / 1e6:.3g} million")
    if min(size) < min_side:
        raise BadImage("too_small", f"found {width} x {height} pixels; expected at least {min_side} x {min_side}")


def _decode(file: BinaryIO, max_pixels: int, min_side: int, hint_size: int | None) -> Image.Image:
    with _translated_errors("file"):
        head = file.read(_SIGNATURE_BYTES)
        file.seek(0)
    format_name = _detect_format(head)
    with _translated_errors(format_name):
        check_structure(format_name, file)
        image = DECODERS[format_name](file)
    _check_size(image.size, max_pixels, min_side)
    if hint_size is not None:
        image.draft(None, (2 * hint_size, 2 * hint_size))
    return _to_rgb(image)


def _detect_format(head: bytes) -> str:
    """A key of `DECODERS`. Raises BadImage: `unsupported` for a known other format, else `not_an_image`."""
    for format_name, signature in _SIGNATURES.items():
        if re.match(signature, head, re.DOTALL):
            return format_name
    expected = f"expected {', '.join(DECODERS)}"
    for format_name, signature in _UNSUPPORTED_SIGNATURES.items():
        if re.match(signature, head, re.DOTALL | re.IGNORECASE):
            raise BadImage("unsupported", f"found {format_name}; {expected}")
    raise BadImage("not_an_image", f"the file begins with {head[:12]!r}; {expected}")


def _from_array(array: NDArray[Any]) -> Image.Image:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.dtype != np.uint8 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))):
        raise BadImage("unsupported", f"found {array.dtype} {list(array.shape)}; expected uint8 [H, W, 1 | 3 | 4]")
    if array.size == 0:
        raise BadImage("too_small", f"found an array of {list(array.shape)}; expected pixels")
    return Image.fromarray(array)


def _to_rgb(image: Image.Image) -> Image.Image:
    """Decodes `image` if necessary; the result owns its pixels and holds no file."""
    with _translated_errors(image.format or "image"):
        image.load()
    transpose = _TRANSPOSE.get(_orientation(image))
    with _translated_errors(image.format or "image"):
        rgb = _flatten_alpha(_to_8bit(image))
    # With its metadata, the image would be transposed again when it is loaded a second time.
    rgb.info = {}
    return rgb if transpose is None else rgb.transpose(transpose)


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 (upright) to 8; other numbers of a broken file unchanged."""
    try:
        orientation = image.getexif().get(EXIF_ORIENTATION)
    except _PILLOW_ERRORS:
        # The image is sound, only its EXIF cannot be read: a viewer would show it too.
        return 1
    return orientation if isinstance(orientation, int) else 1


def _to_8bit(image: Image.Image) -> Image.Image:
    """16-bit, 32-bit and float grey values scaled (not clipped) to 0..255; other modes unchanged.

    Mode `I` holds 16 or 32 bits and `F` any range, and neither says which: the smallest usual range that holds the
    values is taken.
    """
    if image.mode not in ("I", "F") and not image.mode.startswith("I;16"):
        return image
    transparent = image.info.get("transparency")
    values = np.array(image, dtype=np.float32)
    # In place from here: this may be 80 million pixels.
    np.nan_to_num(values, copy=False, nan=0, posinf=0, neginf=0)
    transparent_pixels = values == transparent if isinstance(transparent, int) else None
    maximum = float(values.max())
    ranges = (1.0, 255.0, 65535.0) if image.mode == "F" else (65535.0,)
    white = next((limit for limit in ranges if maximum <= limit), maximum)
    np.clip(values, 0, white, out=values)
    values *= 255 / white
    pixels = np.rint(values, out=values).astype(np.uint8)
    if transparent_pixels is not None:
        pixels[transparent_pixels] = 255
    return Image.fromarray(pixels)


def _flatten_alpha(image: Image.Image) -> Image.Image:
    if image.mode == "CMYK" and image.format == "JPEG" and "adobe" not in image.info:
        # Pillow turns every CMYK JPEG around, as Adobe's need it; one without Adobe's marker is stored as it is meant.
        image = ImageChops.invert(image)
    if image.mode == "La":
        image = image.convert("LA")
    if not image.has_transparency_data:
        return image.convert("RGB")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")


@contextmanager
def _translated_errors(what: str) -> Iterator[None]:
    """Turns whatever Pillow raises within into BadImage."""
    try:
        yield
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadImage("too_large", f"{what}: {_one_line(error)}") from error
    except _PILLOW_ERRORS as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise BadImage("unreadable", error.strerror or str(error)) from error
        if re.search(r"data too large|too much memory", str(error), re.IGNORECASE):
            raise BadImage("too_large", f"{what}: {_one_line(error)}") from error
        if re.search(r"unsupported|not supported|unknown|not available", str(error), re.IGNORECASE):
            raise BadImage("unsupported", f"{what} of a kind that is not decoded: {_one_line(error)}") from error
        raise BadImage("truncated", f"{what}, damaged or cut off: {_one_line(error)}") from error


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
