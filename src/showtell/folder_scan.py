"""What a scan of a folder takes, refuses and passes over: the same for captioning and for data readers.

    name -> passed over by its name (hidden, the system's, our own)
         -> a picture by its suffix
         -> a name that says nothing: its first bytes decide
         -> no picture

Names that say nothing are those without a suffix, and suffixes that neither the registry nor `mimetypes` knows:
`photo.jpg~`, `DSC_1.JPG_large`, `Screenshot at 10.20.30`, `download.part`. Such files are few, so that they can be
opened. Rejected: opening every file, since a folder of photos may have a text and a JSON file beside each of them, and
on a network drive opening one takes longer than captioning.
"""

from __future__ import annotations

import mimetypes
import os
import stat
from collections import Counter
from functools import cache, lru_cache
from pathlib import Path, PurePath
from typing import Final

from showtell.errors import BadImage
from showtell.image_formats import SIGNATURE_BYTES, expected_formats, format_of_bytes, format_of_suffix

ATTENTION_SUFFIXES: Final = (".attention.png", ".attention.webp")
"""Of the pictures that `showtell caption --attention` writes; no photo has them."""

HIDDEN, SYSTEM, ATTENTION_MAP, OTHER = "hidden", "of the system", "attention map", "no picture"
REPEATED: Final = "link to a folder searched before"
_PLURALS: Final = {ATTENTION_MAP: "attention maps", OTHER: "no pictures", REPEATED: "links to folders searched before"}

_SYSTEM_NAMES: Final = frozenset(
    [
        *("@eadir", "#recycle", "#snapshot"),  # Synology
        *("@recycle", "@recently-snapshot", "@sharebin"),  # QNAP
        *("__macosx", "icon\r"),
        *("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini"),  # Windows
        *("$recycle.bin", "system volume information", "lost+found"),
    ]
)
_OTHER_SUFFIXES: Final = frozenset(
    [".aae", ".caption", ".jsonl", ".log", ".npy", ".npz", ".parquet", ".pt", ".safetensors", ".xmp", ".yaml", ".yml"]
)
"""Of files that come by the thousand beside photos, and which `mimetypes` does not know."""


class PassedOver:
    """Counts what scans left out on purpose, by kind; a folder that is left out counts as one."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def add(self, kind: str) -> None:
        self.counts[kind] += 1

    @property
    def total(self) -> int:
        return self.counts.total()

    def __str__(self) -> str:
        """For a closing line; of use where `total` is not 0."""
        largest_first = sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))
        kinds = ", ".join(
            f"{count} {kind if count == 1 else _PLURALS.get(kind, kind)}" for kind, count in largest_first
        )
        return f"{self.total} {'file' if self.total == 1 else 'files'} passed over: {kinds}"


def skip_reason(name: str) -> str | None:
    """The kind of a file or folder that is passed over by its name alone, whatever is in it."""
    if name.startswith("."):
        return HIDDEN
    if name.casefold() in _SYSTEM_NAMES:
        return SYSTEM
    return ATTENTION_MAP if name.endswith(ATTENTION_SUFFIXES) else None


def is_other(name: str) -> bool:
    """Whether a file is no picture by its suffix; other files are to be given to `check_file`."""
    return _is_other_suffix(os.path.splitext(name)[1].lower())  # noqa: PTH122  # a tenth of the time of `PurePath`


@lru_cache(maxsize=1000)
def _is_other_suffix(suffix: str) -> bool:
    image_format = format_of_suffix(f"name{suffix}")
    if image_format is not None:
        return not image_format.is_picture
    if suffix in _OTHER_SUFFIXES or suffix in _media_types().encodings_map:
        return True
    media_type = _media_type(suffix)
    return not (media_type == "" or media_type.startswith("image/"))


def check_file(path: str) -> bool:
    """Whether a file of which `is_other` is false is to be loaded as an image. Opens it only where its suffix is not of
    a decoded format.

    Raises BadImage: `unsupported` for what is a picture by its suffix alone, `missing` or `unreadable` where the first
    bytes would decide but cannot be read.
    """
    by_suffix = format_of_suffix(path)
    if by_suffix is not None and by_suffix.is_decoded:
        return True
    head = _first_bytes(path)
    if head is None:
        return False
    by_content = format_of_bytes(head, path)
    if by_content is not None and by_content.is_picture:
        return True  # where it is not decoded, loading it says so
    what = by_suffix.name if by_suffix else _media_type(PurePath(path).suffix.lower())
    if what and head:
        raise BadImage("unsupported", f"found {what}, by its name; {expected_formats()}; convert it")
    return bool(what)


def unreadable(error: OSError) -> BadImage:
    """The error of a file or folder, with `error` as its cause."""
    is_missing = isinstance(error, FileNotFoundError | NotADirectoryError)
    reason = BadImage("missing" if is_missing else "unreadable", error.strerror or str(error))
    reason.__cause__ = error
    return reason


@cache
def _media_types() -> mimetypes.MimeTypes:
    """Python's own list; not that of the machine, which would make scans differ."""
    return mimetypes.MimeTypes()


def _media_type(suffix: str) -> str:
    """Empty where it is not known, or says nothing (.bin)."""
    media_type = _media_types().types_map[True].get(suffix, "")
    return "" if media_type == "application/octet-stream" else media_type


def _first_bytes(path: str) -> bytes | None:
    """None for what is no file: opening a named pipe would wait for its writer."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116
            return None
        with Path(path).open("rb", buffering=0) as file:
            return file.read(SIGNATURE_BYTES)
    except OSError as error:
        raise unreadable(error) from error
