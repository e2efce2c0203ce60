"""What a reader leaves out of the samples, so that nothing is dropped silently.

`data check` names everything that is a fault; other commands say in one line how many there are of each kind.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from typing import Final

from showtell.image_formats import format_of_suffix
from showtell.terminal import escape

NO_CAPTION: Final = "no caption"
NO_PHOTO: Final = "no photo"
NOT_READ: Final = "unsupported"
BLANK_ROW: Final = "blank"
CONVERT: Final = "expected a format that is read, such as JPEG or PNG; convert it"
_KINDS: Final = {
    NO_CAPTION: ("photo", "without captions"),
    NO_PHOTO: ("file", "with captions of no photo"),
    BLANK_ROW: ("row", "without a caption"),
    NOT_READ: ("picture", "of a format that is not read"),
}


class Omissions:
    """Filled by a reader. Each name has one kind of fault."""

    def __init__(self) -> None:
        self.faults: dict[str, dict[str, str]] = {}
        """By kind: names, and more about each."""
        self.skipped: Counter[tuple[str, str]] = Counter()
        """What is left out on purpose, by what it is, such as `hidden file`: singular and plural."""

    def add(self, kind: str, name: str, detail: str) -> None:
        self.faults.setdefault(kind, {})[name] = detail

    def skip(self, what: str, number: int = 1, plural: str = "") -> None:
        """`plural` where it is not `what` and an s."""
        if number:
            self.skipped[what, plural or f"{what}s"] += number

    def lines(self) -> list[str]:
        """One for each fault, for `data check`."""
        return [escape(f"{name}: {detail}") for names in self.faults.values() for name, detail in names.items()]

    def summary(self) -> str:
        """One line with the number and the first names of each kind of fault, and with what is left out on purpose;
        empty when there is nothing to say."""
        parts = []
        if self.faults:
            kinds = [
                f"{number_of(len(names), _KINDS[kind][0])} {_KINDS[kind][1]} ({first_names(list(names))})"
                for kind, names in self.faults.items()
            ]
            parts.append(f"left out: {', '.join(kinds)}")
        if self.skipped:
            counts = [f"{number} {one if number == 1 else many}" for (one, many), number in self.skipped.items()]
            parts.append(f"skipped: {', '.join(counts)}")
        return "; ".join(parts)


def not_read_detail(path: str | os.PathLike[str]) -> str:
    """Why a picture of that name is not taken, and what to do."""
    image_format = format_of_suffix(path)
    name = "its format" if image_format is None else image_format.name
    return f"unsupported: found {name}; {CONVERT}"


def first_names(names: Sequence[str]) -> str:
    """Up to three names, on one line whatever they contain, and how many more there are."""
    first = escape(", ".join(names[:3]))
    return f"{first} and {len(names) - 3} more" if len(names) > 3 else first


def number_of(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
