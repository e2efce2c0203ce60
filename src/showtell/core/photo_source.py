"""What callers have as a photo, in a form that `load_image` takes; and, where it is none, what to do about it."""

from __future__ import annotations

import os
import re
from typing import Any, Final

import numpy as np
from PIL import Image

from showtell.core.sources import ImageInput
from showtell.errors import BadImage

_URL: Final = re.compile(r"(data|[a-z][a-z0-9+.-]+(?=:/)):", re.IGNORECASE)
"""With one slash as well: `Path` makes that of two. A drive has one letter."""
LONG_PATH: Final = 1000
"""Letters; a longer text without a file of that name is more likely a picture in base64."""


def photo_source(image: Any) -> Any:
    """A source for `load_image`. Raises BadImage for an `ImageInput` with an error, and an array that is elsewhere."""
    if isinstance(image, ImageInput):
        if image.error is not None:
            raise image.error
        return image.read or image.file or image.path
    if isinstance(image, memoryview):
        return image.tobytes()
    if isinstance(image, os.PathLike):
        return os.fsdecode(image)
    # Tensors of torch, JAX and TensorFlow.
    if hasattr(image, "__array__") and not isinstance(image, np.ndarray | Image.Image | str | bytes):
        try:
            return np.asarray(image)
        except Exception as error:  # on a GPU, with a gradient: each library has its own
            found = type(image).__name__
            raise BadImage("unsupported", f"found a {found} that is no array here ({_one_line(error)})") from error
    return image


def advised(error: BadImage, source: Any) -> BadImage:
    """The error with what to do about it, where the source shows that; else the error itself."""
    if isinstance(source, str):
        return _advised_path(error, source)
    if isinstance(source, Image.Image) and _is_closed(error, source):
        return BadImage("unreadable", "the image is closed; use it inside its `with` block, or call load() there")
    if error.code != "unsupported" or isinstance(source, bytes | bytearray | Image.Image) or callable(source):
        return error
    if isinstance(source, np.ndarray):
        if source.ndim == 3 and source.shape[0] in (1, 3, 4):
            return BadImage(error.code, f"{error.detail}; channels come last: image.transpose(1, 2, 0)")
        if source.ndim == 1:
            return BadImage(error.code, f"{error.detail}; the bytes of a file are image.tobytes()")
        return BadImage(error.code, f"{error.detail}; several go to caption_many") if source.ndim > 3 else error
    if hasattr(source, "read"):
        return error
    found = f"found {type(source).__name__}; expected one photo: a path, bytes, file, PIL image or array"
    return BadImage(error.code, f"{found} (caption_many takes an iterable of them)")


def _advised_path(error: BadImage, path: str) -> BadImage:
    if error.code not in ("missing", "unreadable"):
        return error
    if url := _URL.match(path):
        scheme = url.group(1).lower()
        advice = {"file": "the path without file://", "data": "its bytes: base64.b64decode(...)"}.get(
            scheme, "a file: download it, or use `showtell caption URL`"
        )
        return BadImage("url_refused", f"found a URL ({scheme}:), which is not fetched here; expected {advice}")
    if len(path) > LONG_PATH:
        return BadImage(
            "missing", f"found a text of {len(path)} letters; expected a path, or bytes: base64.b64decode(text)"
        )
    if not path:
        return BadImage("missing", "found an empty path; expected the path of a photo")
    if error.code == "missing" and path.startswith("~"):
        return BadImage("missing", f"{error.detail}; ~ is not expanded here: give the path as of os.path.expanduser")
    if os.path.isdir(path):  # noqa: PTH112 (a Path of "a\0b" raises)
        return BadImage("unreadable", "found a folder; expected a file: give caption_many the files in it")
    return error


def _is_closed(error: BadImage, image: Image.Image) -> bool:
    """Of an image that could not be loaded."""
    no_file = bool(getattr(image, "tile", ())) and getattr(image, "fp", None) is None
    return no_file or "closed" in str(error.__cause__)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
