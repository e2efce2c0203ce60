"""What a caller passes to the captioner, checked: a mistake is one sentence with the argument, what was found and what
was expected.

Whole numbers are of any type that Python counts with (numpy's as well), but neither 2.0 nor True nor "2": each of them
is more often a mistake than meant.
"""

from __future__ import annotations

import itertools
import operator
import os
import reprlib
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from PIL import Image
from pydantic import ValidationError

from showtell.core.sources import ImageInput
from showtell.errors import BadBundle, BadConfig
from showtell.settings import DecodeSettings
from showtell.urls import is_url

T = TypeVar("T")
_NONE: Final = object()


def whole_number(name: str, value: object, minimum: int, maximum: int | None = None) -> int:
    """Raises BadConfig unless `value` is a whole number in the range."""
    expected = f"{minimum} or more" if maximum is None else f"{minimum} to {maximum}"
    try:
        number = operator.index(value)  # type: ignore[arg-type]
        if isinstance(value, bool):
            raise TypeError
    except TypeError as error:
        raise BadConfig(f"{name}: found {_shown(value)}; expected a whole number, {expected}") from error
    if number < minimum or (maximum is not None and number > maximum):
        raise BadConfig(f"{name}: found {number}; expected {expected}")
    return number


def text(name: str, value: object) -> str:
    """Raises BadConfig unless `value` is a text without control characters and halves of characters."""
    if not isinstance(value, str) or any(unicodedata.category(letter) in ("Cc", "Cs") for letter in value):
        raise BadConfig(f"{name}: found {_shown(value)}; expected a text of one line")
    return value


def true_or_false(name: str, value: object) -> bool:
    """Raises BadConfig unless `value` is a bool of Python or numpy: any text is true, "no" as well."""
    if type(value).__name__ not in ("bool", "bool_"):
        raise BadConfig(f"{name}: found {_shown(value)}; expected True or False")
    return bool(value)


def decode_settings(defaults: Mapping[str, Any], changes: Mapping[str, Any]) -> DecodeSettings:
    """`defaults` with `changes`. Raises BadConfig with every setting that is unknown or out of range."""
    plain = {key: _of_setting(key, value) for key, value in changes.items()}
    try:
        return DecodeSettings.model_validate({**defaults, **plain})
    except ValidationError as error:
        raise BadConfig("; ".join(_describe(problem) for problem in error.errors())) from error


def check_length(settings: DecodeSettings, prompt_length: int, positions: int) -> None:
    """Raises BadConfig when a network has not the `positions` for what it would read: the prompt and the caption, but
    for the last token of a caption that is truncated."""
    most = positions - prompt_length + settings.truncate
    if most < 1:
        raise BadConfig(
            f"found a prompt of {prompt_length} tokens; this model reads at most {positions}, the caption among them; "
            "give a shorter one"
        )
    if settings.max_length > most:
        after = f" after a prompt of {prompt_length}" if prompt_length > 1 else ""
        raise BadConfig(f"found max_length {settings.max_length}; this model writes at most {most} tokens{after}")


def _of_setting(key: str, value: Any) -> Any:
    """The value of a setting; of text and bool, which pydantic would convert, no number is made."""
    field = DecodeSettings.model_fields.get(key)
    kind = None if field is None else field.annotation
    if kind is int:
        try:
            return whole_number(key, value, 0)
        except BadConfig as error:
            raise BadConfig(str(error).removesuffix(", 0 or more")) from error
    if kind is float and isinstance(value, bool | str | bytes):
        raise BadConfig(f"{key}: found {_shown(value)}; expected a number")
    return value


def _describe(problem: Mapping[str, Any]) -> str:
    """A validation error of pydantic, of one field or of several together."""
    message = problem["msg"].removeprefix("Value error, ").replace("Input should be", "expected it to be")
    where = ".".join(map(str, problem["loc"]))
    if problem["type"] == "extra_forbidden":
        from showtell.config import nearest  # imports YAML, which captioning does not need
        from showtell.renamed_settings import new_name

        if renamed := new_name(f"decode.{where}"):
            return f"{where} is now {renamed.removeprefix('decode.')}"
        return f"{where} is no decode setting{nearest(where, DecodeSettings.model_fields)}"
    return f"{where}: found {_shown(problem['input'])}; {message}" if where else message


def model_folders(model: Any) -> list[Path]:
    """The folders of one model or of an ensemble. Raises BadConfig for anything but paths, BadBundle for no path."""
    try:
        folders = [model] if isinstance(model, str | bytes | os.PathLike | Mapping) else list(model)
    except TypeError as error:
        raise BadConfig(f"model: found {_shown(model)}; expected a folder, or a list of folders") from error
    if not folders:
        raise BadBundle("found no model folder; expected one or more, or None for the built-in model")
    paths = []
    for folder in folders:
        if not isinstance(folder, str | os.PathLike) or not isinstance(os.fspath(folder), str) or not str(folder):
            raise BadConfig(f"model: found {_shown(folder)}; expected the path of a folder")
        paths.append(Path(folder))
        if is_url(os.fspath(folder)):
            raise BadBundle(f"{folder}: is a URL, and models are not downloaded; expected a folder on this machine")
    return paths


def photos(images: Any) -> Iterator[Any]:
    """The photos of an iterable; a photo alone is one. Raises BadConfig for what is neither."""
    if is_one_photo(images):
        return iter((images,))
    if hasattr(images, "columns"):  # a table of pandas, say, whose iterator gives the names of its columns
        raise BadConfig(f"images: found a {type(images).__name__}; expected photos, give one of its columns")
    try:
        return iter(images)
    except TypeError as error:
        raise BadConfig(
            f"images: found {_shown(images)}; expected a photo, or an iterable of paths, bytes, files, PIL images or "
            "arrays"
        ) from error


def is_one_photo(images: Any) -> bool:
    """Whether `caption_many` has been given a photo and not several.

    An array, of whatever library, is one if it has up to three axes, and several if it has four, or holds paths.
    """
    if isinstance(images, str | bytes | bytearray | memoryview | os.PathLike | Image.Image | ImageInput):
        return True
    if hasattr(images, "read") or (callable(images) and not hasattr(images, "__iter__")):
        return True
    kind = getattr(getattr(images, "dtype", None), "kind", "u")  # of numpy; torch's types have none
    return getattr(images, "ndim", None) in (0, 1, 2, 3) and kind not in "OUS" and not hasattr(images, "columns")


def references(captions: Any) -> list[str]:
    """The reference captions of one photo; a text alone is one. Raises BadConfig unless all are texts."""
    if isinstance(captions, str):
        return [captions]
    try:
        texts = list(captions)
    except TypeError as error:
        raise BadConfig(f"captions: found {_shown(captions)}; expected a list of texts for each image") from error
    if not texts or not all(isinstance(text, str) for text in texts):
        raise BadConfig(f"captions: found {_shown(captions)}; expected one or more texts for each image")
    return texts


def image_pairs(images: Iterator[Any], captions: Iterator[T]) -> Iterator[tuple[Any, T]]:
    """Raises BadConfig at the first that is without the other."""
    for image, texts in itertools.zip_longest(images, captions, fillvalue=_NONE):
        if image is _NONE or texts is _NONE:
            more = "captions than images" if image is _NONE else "images than captions"
            raise BadConfig(f"captions: found more {more}; expected a list of texts for each image")
        yield image, cast(T, texts)


def _shown(value: object) -> str:
    """On one line, and short."""
    return " ".join(reprlib.repr(value).split())
