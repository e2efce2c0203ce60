"""Image loading: path, bytes, file, PIL image or array to one upright RGB image.

    bytes -> signature -> parts and header, checked against the limits -> pixels -> RGB over white -> upright

The formats decoded are those that cameras, phones and the web write (`showtell.image_formats`). Pillow knows forty
more, but each is another parser for hostile bytes (EPS runs Ghostscript), so the others are refused by name.

Rejected: `PIL.Image.open`. It tries one parser after another, and its pixel limit is a global that warns, or raises at
twice that. Here the signature chooses the parser and the limits are arguments, so that threads may use different ones.
"""

from __future__ import annotations

import os
import re
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from showtell.core.image_exif import EXIF_ORIENTATION
from showtell.core.image_file import check_bytes, one_line, open_file, read_file
from showtell.core.image_grey import grey_to_8bit
from showtell.core.image_guards import damaged
from showtell.core.image_jpeg import Jpeg
from showtell.core.no_image import known_content
from showtell.errors import BadImage
from showtell.image_formats import (
    SIGNATURE_BYTES,
    ImageFormat,
    expected_formats,
    format_of_bytes,
    format_of_suffix,
    resolve,
)

EncodedImage: TypeAlias = bytes | bytearray | BinaryIO
ImageSource: TypeAlias = (
    "str | os.PathLike[str] | EncodedImage | Image.Image | NDArray[np.uint8] | Callable[[], ImageSource]"
)

MAX_BYTES: Final = 512 * 1024 * 1024
"""Of a file; MAX_PIXELS of three colours and 16 bits take 480 MB uncompressed, as scanners save them. What comes over a
network has limits of its own, in `fetch` and in the server."""
MAX_PIXELS: Final = 80_000_000
"""Below Pillow's own limit (89 million), which therefore never warns; 320 MB decoded."""
MAX_JPEG_REDUCTION: Final = 16
"""Pixels of a JPEG that is decoded small, for each one that is decoded: libjpeg still reads all of them."""
MAX_BUFFERED_BYTES: Final = 32 << 20
"""Of a JPEG that is read once, for guard and parser together; a larger one is read twice, and is not in memory beside
its pixels."""
_BYTES_PER_PIXEL: Final = 8
"""Memory while an image is loaded: its pixels as Pillow holds them and, where it is turned or of another mode, those of
the result."""
MIN_SIDE: Final = 8
"""Pixels; a smaller image is a spacer or a tracking pixel."""

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

    `max_pixels` counts the pixels that are decoded. A JPEG that has more, up to MAX_JPEG_REDUCTION times as many, is
    decoded at a part of its size, also without `hint_size`. A progressive one takes much memory at any size, and counts
    by that.

    Raises BadImage for every fault of the image. The limits are checked before anything is decoded.
    """
    if isinstance(source, np.ndarray):
        source = _from_array(source)
    if isinstance(source, Image.Image):
        file = _undecoded_file(source)
        if file is None:
            _check_size(source.size, max_pixels, min_side)
            return _to_rgb(source)
        source = file
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        with open_file(path, max_bytes) as file:
            return _decode(file, max_pixels, min_side, hint_size, path)
    if hasattr(source, "read"):
        source = read_file(cast(BinaryIO, source), max_bytes)
    if isinstance(source, bytes | bytearray):
        check_bytes(len(source), max_bytes)
        return _decode(BytesIO(source), max_pixels, min_side, hint_size, None)
    if callable(source):
        return load_image(
            _call_source(source), max_bytes=max_bytes, max_pixels=max_pixels, min_side=min_side, hint_size=hint_size
        )
    raise BadImage("unsupported", f"found {type(source).__name__}; expected a path, bytes, file, image or array")


def _undecoded_file(image: Image.Image) -> BinaryIO | None:
    """The file of an image that `PIL.Image.open` has not decoded yet, so that it is as good as its path; else None.

    Pillow would refuse some whole photos, such as a JPEG without its end marker, and decode some others wrongly.
    """
    file = getattr(image, "fp", None)
    if not (isinstance(image, ImageFile.ImageFile) and image.tile and file and image.tell() == 0):
        return None
    try:
        position = file.tell()
        file.seek(0)
        image_format = format_of_bytes(file.read(SIGNATURE_BYTES))
        file.seek(position)
    except (OSError, ValueError):  # it is closed, or cannot go back
        return None
    name = "JPEG" if image.format == "MPO" else image.format
    is_same = image_format is not None and image_format.is_decoded and image_format.name.upper() == name
    return cast(BinaryIO, file) if is_same else None


def _call_source(source: Callable[[], ImageSource]) -> ImageSource:
    """The result of the function; an OSError in it becomes a BadImage."""
    try:
        return source()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BadImage("missing", f"no such file: {error.filename}") from error
    except OSError as error:
        raise BadImage("unreadable", error.strerror or one_line(error)) from error


def _check_size(size: tuple[int, int], max_pixels: int, min_side: int) -> None:
    _check_pixels(size, size[0] * size[1], max_pixels)
    if min(size) < min_side:
        raise BadImage("too_small", f"found {size[0]} x {size[1]} pixels; expected at least {min_side} x {min_side}")


def _check_pixels(size: tuple[int, int], decoded: int, max_pixels: int) -> None:
    """`decoded`: the pixels of an image of `size` that are held in memory."""
    if decoded > max_pixels:
        limit = f"{max_pixels / 1e6:.3g} million; save it smaller, or raise max_pixels"
        raise BadImage("too_large", f"found {size[0]} x {size[1]} pixels; expected at most {limit}")


def _check_jpeg_size(image: Jpeg, max_pixels: int, min_side: int, hint_size: int | None) -> None:
    """As `_check_size`, but `max_pixels` is for those that are decoded, and the image is set to be decoded small."""
    width, height = image.size
    scale = 1 if hint_size is None else max(min(width, height) // (2 * hint_size), 1)
    while scale < 8 and width * height > max_pixels * scale**2:
        scale *= 2
    if scale > 1:
        image.draft(None, (width // scale, height // scale))
    decoded = max(image.width * image.height, image.coefficient_bytes // _BYTES_PER_PIXEL)
    _check_pixels((width, height), max(decoded, width * height // MAX_JPEG_REDUCTION), max_pixels)
    _check_size((width, height), width * height, min_side)


def _decode(file: BinaryIO, max_pixels: int, min_side: int, hint_size: int | None, name: Path | None) -> Image.Image:
    with _translated_errors("file"):
        head = file.read(SIGNATURE_BYTES)
        file.seek(0)
    image_format = _detect_format(head, name)
    with _translated_errors(image_format.name):
        if image_format.name == "JPEG":
            file = _buffered(file)
        if image_format.structure_check is not None:
            resolve(image_format.structure_check)(file)
            file.seek(0)
        image: Image.Image = resolve(cast(str, image_format.opener))(file)
    if isinstance(image, Jpeg):
        _check_jpeg_size(image, max_pixels, min_side, hint_size)
    else:
        _check_size(image.size, max_pixels, min_side)
    return _to_rgb(image, is_upright=image_format.opener_turns, is_ours=True)


def _buffered(file: BinaryIO) -> BinaryIO:
    """The file in memory, unless it is large; at its start."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    return BytesIO(file.read()) if size <= MAX_BUFFERED_BYTES else file


def _detect_format(head: bytes, name: Path | None) -> ImageFormat:
    """A decoded format. Raises BadImage: `unsupported` for a known other format, else `not_an_image`."""
    image_format = format_of_bytes(head, name)
    if image_format is None and name is not None:
        by_name = format_of_suffix(name)
        image_format = by_name if by_name and by_name.signature is None else None
    if image_format is None:
        known = known_content(head)
        found = f"found {known}" if known else f"the file begins with {head[:12]!r}; {expected_formats()}"
        raise BadImage("not_an_image", found)
    if not image_format.is_decoded:
        raise BadImage("unsupported", f"found {image_format.name}; {expected_formats()}; convert it")
    return image_format


def _from_array(array: NDArray[Any]) -> Image.Image:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.dtype != np.uint8 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))):
        raise BadImage(
            "unsupported",
            f"found {array.dtype} {list(array.shape)}; expected uint8 [H, W, 1 | 3 | 4], 0 black and 255 white",
        )
    if array.size == 0:
        raise BadImage("too_small", f"found an array of {list(array.shape)}; expected pixels")
    return Image.fromarray(array)


def _to_rgb(image: Image.Image, is_upright: bool = False, is_ours: bool = False) -> Image.Image:
    """Decodes `image` if necessary; the result owns its pixels and holds no file. `is_ours`: nobody else has the image,
    and so a photo of 80 million pixels is not copied, which would take 320 MB."""
    with _translated_errors(image.format or "image"):
        image.load()
    transpose = None if is_upright else _TRANSPOSE.get(_orientation(image))
    with _translated_errors(image.format or "image"):
        has_pixels = is_ours and image.mode == "RGB" and not image.has_transparency_data
        rgb = image._new(image.im) if has_pixels else _flatten_alpha(_to_8bit(image))
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
    """16-bit, 32-bit and float grey values scaled (see `grey_to_8bit`); other modes unchanged.

    Mode `I` holds 16 or 32 bits and `F` any range, and neither says which.
    """
    if image.mode not in ("I", "F") and not image.mode.startswith("I;16"):
        return image
    transparent = image.info.get("transparency")
    white = 65535 if image.mode.startswith("I;16") else None
    return grey_to_8bit(np.asarray(image), white, transparent if isinstance(transparent, int) else None)


def _flatten_alpha(image: Image.Image) -> Image.Image:
    if image.mode == "LAB":
        return _lab_to_rgb(image)
    if image.mode == "La":
        image = image.convert("LA")
    if not image.has_transparency_data:
        return image.convert("RGB")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")


def _lab_to_rgb(image: Image.Image) -> Image.Image:
    from PIL import ImageCms  # rarely needed, and loads a library

    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    return cast(Image.Image, converted)


@contextmanager
def _translated_errors(what: str) -> Iterator[None]:
    """Turns whatever Pillow raises within into BadImage."""
    try:
        yield
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadImage("too_large", f"{what}: {one_line(error)}") from error
    except _PILLOW_ERRORS as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise BadImage("unreadable", error.strerror or str(error)) from error
        if re.search(r"data too large|too much memory", str(error), re.IGNORECASE):
            raise BadImage("too_large", f"{what}: {one_line(error)}") from error
        if re.search(r"unsupported|not supported|unknown|not available", str(error), re.IGNORECASE):
            detail = f"{one_line(error)}; save it again as JPEG or PNG"
            raise BadImage("unsupported", f"{what} of a kind that is not decoded: {detail}") from error
        # Where a header should be and is not, the message would be about Python's code.
        is_of_code = isinstance(error, AssertionError | LookupError | struct.error)
        detail = "its header is not complete" if is_of_code else one_line(error)
        raise damaged(f"{what}, damaged or cut off: {detail}") from error
