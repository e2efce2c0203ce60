"""Splits that folders name: `train/`, `Valid/`, `images/test2017/` and the like."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from showtell.data.omissions import first_names
from showtell.data.rows import SPLITS
from showtell.errors import BadData

# Words beside the split in a folder's name, as in train_images, val2017 or Test Set.
_OTHER_WORDS: Final = frozenset({"", "set", "split", "data", "images", "image", "imgs", "img", "photos", "pictures"})
_SEPARATORS: Final = re.compile(r"[\s\d,.()_\-]+")
EXPECTED: Final = (
    "every captioned photo in a folder train, dev (or val, valid, validation) or test, where there are such folders; "
    "rename or move it"
)


class SplitFolder(NamedTuple):
    depth: int
    """Folders above it."""
    split: str


def split_of_folder_name(name: str) -> str | None:
    words = _words(name)
    return SPLITS.get(*words) if len(words) == 1 else None


def _words(name: str) -> frozenset[str]:
    return frozenset(word for word in map(_split_word, _SEPARATORS.split(name.casefold())) if word not in _OTHER_WORDS)


def _split_word(word: str) -> str:
    """`train` for `trainset`, `testimages` and the like; other words as they are."""
    split, rest = _prefix(word)
    return split if rest in _OTHER_WORDS else word


def _prefix(word: str) -> tuple[str, str]:
    """The longest name of a split that the word begins with, or nothing, and the rest of the word."""
    split = max((split for split in SPLITS if word.startswith(split)), key=len, default="")
    return split, word[len(split) :]


def split_folder(name: str) -> SplitFolder | None:
    """The outermost folder in the path of an image that names a split."""
    for depth, part in enumerate(PurePosixPath(name).parts[:-1]):
        if (split := split_of_folder_name(part)) is not None:
            return SplitFolder(depth, split)
    return None


class FolderSplits:
    """The split of each image by its folder. Called with names; `check` refuses those in no split folder, if there are
    any in one: they would go into training unnoticed."""

    def __init__(self) -> None:
        self._with: dict[tuple[str, ...], None] = {}
        self._without: list[str] = []

    def __call__(self, name: str) -> str | None:
        found = split_folder(name)
        if found is None:
            self._without.append(name)
            return None
        self._with[PurePosixPath(name).parts[: found.depth + 1]] = None
        return found.split

    def check(self, root: Path) -> None:
        """Raises BadData, naming the folder or the photo."""
        if not self._with:
            self._check_pairs(root)
        if not self._with or not self._without:
            return
        above = {parts[:depth] for parts in self._with for depth in range(len(parts))}
        parts = PurePosixPath(self._without[0]).parts
        depth = next(depth for depth in range(len(parts) - 1, -1, -1) if parts[:depth] in above)
        place = parts[: depth + 1]
        same = [name for name in self._without if PurePosixPath(name).parts[: depth + 1] == place]
        splits = first_names(sorted("/".join(split) for split in self._with))
        if len(place) == len(parts):
            photos = [name for name in self._without if PurePosixPath(name).parts[:-1] == parts[:-1]]
            found = f"{_photos(len(photos))} beside the split folders {splits} ({first_names(photos)})"
            raise BadData(root.joinpath(*place[:-1]), found, EXPECTED)
        found = f"{_photos(len(same))} in a folder beside the split folders {splits}, but of no known split"
        raise BadData(root.joinpath(*place), found, EXPECTED)

    def _check_pairs(self, root: Path) -> None:
        """Raises BadData for folders such as dogs_train/ beside dogs_val/, or trainA/ beside testA/. One alone may be a
        subject: steam trains."""
        pairs: dict[tuple[tuple[str, ...], frozenset[str]], dict[str, str]] = {}
        for parts in dict.fromkeys(PurePosixPath(name).parts[:-1] for name in self._without):
            for depth, part in enumerate(parts):
                words = _words(part)
                prefixes = [(word, *_prefix(word)) for word in words if word in SPLITS or not words & SPLITS.keys()]
                found = [(word, split, rest) for word, split, rest in prefixes if split]
                if len(found) == 1:
                    word, split, rest = found[0]
                    pairs.setdefault((parts[:depth], words - {word} | {rest}), {})[SPLITS[split]] = part
        for (above, _), names in pairs.items():
            if len(names) > 1:
                shown = f"the folders {' and '.join(sorted(names.values()))}, which may mean splits"
                raise BadData(root.joinpath(*above), shown, "folders train, dev (or val, valid, validation) and test")


def _photos(number: int) -> str:
    return f"{number} captioned photo{'' if number == 1 else 's'}"
