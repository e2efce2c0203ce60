"""What columns of tables and keys of JSON objects are called: for the image, its captions, split and language.

Case, spaces, hyphens and camelCase do not count. The names of a role come in groups; a group counts only where no name
of an earlier one is there, so that `path` beside `image`, or `description` beside `caption`, is another column.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Sequence
from typing import Final

ROLES: Final = {
    "image": (
        # Hugging Face's imagefolder says file_name, Flickr30k's results.csv image_name.
        ("image", "file_name", "image_name", "filename"),
        (
            *("image_file", "image_filename", "image_file_name", "image_path", "img", "img_name", "img_path"),
            *("file", "filepath", "file_path", "path", "photo", "picture", "photo_path"),
        ),
        ("image_id", "img_id", "image_url"),
    ),
    "caption": (
        ("caption", "text", "comment"),
        ("description", "sentence", "image_caption", "caption_text", "raw", "prompt", "alt_text"),
    ),
    "captions": (("captions",), ("sentences", "descriptions", "texts")),
    "split": (("split",), ("subset", "partition")),
    "language": (("language",), ("lang",)),
}
_NUMBERED: Final = re.compile(r"(?:caption|text|comment|sentence|description)_?(\d+)")
_KNOWN: Final = frozenset(name for groups in ROLES.values() for group in groups for name in group)


def column_key(name: str) -> str:
    """How names of columns are compared."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.strip())  # imagePath
    return re.sub(r"[\s\-_]+", "_", words.casefold())


def is_known(name: str) -> bool:
    key = column_key(name)
    return key in _KNOWN or _NUMBERED.fullmatch(key) is not None


def columns_of(role: str, names: Sequence[str]) -> list[str]:
    """The names that say the role: those of the first group that is there, the plainest first. More than one is for the
    caller to refuse."""
    keys = [column_key(name) for name in names]
    for group in ROLES[role]:
        if found := [name for name, key in zip(names, keys, strict=True) if key in group]:
            return sorted(found, key=lambda name: group.index(column_key(name)))
    return []


def numbered_captions(names: Iterable[str]) -> list[str]:
    """Columns such as caption_2, caption_3 or caption1, in the order of their numbers."""
    matches = [(name, match) for name in names if (match := _NUMBERED.fullmatch(column_key(name)))]
    return [name for name, _ in sorted(matches, key=lambda pair: int(pair[1][1]))]


def captions_in_cell(cell: str) -> list[str]:
    """The captions in a cell: a list of texts as JSON or Python writes it (Flickr30k's table on Hugging Face, pandas),
    else the cell itself."""
    stripped = cell.strip()
    if stripped.startswith("[") and stripped.endswith("]"):
        for parse in (json.loads, ast.literal_eval):
            try:
                value = parse(stripped)
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                continue
            if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
                return value
    return [cell]
