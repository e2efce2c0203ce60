"""Captions in a file beside each photo: which file belongs to which photo, and the rows of these files.

    dog.txt         beside dog.jpg; also .caption and .captions; one caption per line
    dog.jpg.txt     where the name of the photo is kept whole
    dog.en.txt      captions of one language
    dog.json        with caption or captions, as img2dataset and gallery-dl write them
    captions/a.txt  for images/a.jpg: folders that are the same but for these names

A JSON file beside a text file of the same photo holds more about it, and is left alone.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from showtell.columns import columns_of
from showtell.data.folder_files import JSON_SUFFIX
from showtell.data.rows import Row
from showtell.data.text_files import collapse_whitespace, decode_text, read_lines
from showtell.errors import BadData

_LANGUAGE: Final = re.compile(r"\.([a-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})*)")
_IMAGE_FOLDERS: Final = frozenset(
    {"images", "image", "imgs", "img", "photos", "pictures", "jpg", "jpegs", "jpegimages"}
)
_TEXT_FOLDERS: Final = frozenset({"captions", "caption", "texts", "text", "txt", "sidecars", "descriptions"})


class Sidecar(NamedTuple):
    file: Path
    language: str | None


def match_sidecars(photos: Sequence[Path], texts: Sequence[Path]) -> tuple[dict[Path, list[Sidecar]], list[Path]]:
    """The caption files of each photo that has any, and those of no photo.

    Raises BadData for two photos that a file may belong to, and for two files of one photo and language.
    """
    exact, loose, parallel = (defaultdict[str, list[Path]](list) for _ in range(3))
    for photo in photos:
        for key in dict.fromkeys((str(photo), str(photo.with_suffix("")))):
            exact[key].append(photo)
            loose[_folded(key)].append(photo)
            parallel[_without_folders(key, _IMAGE_FOLDERS)].append(photo)
    found: dict[Path, list[Sidecar]] = {}
    unmatched = []
    for text in texts:
        base = str(text.with_suffix(""))
        for key, language in _keys(base):
            candidates = (
                exact.get(key) or loose.get(_folded(key)) or parallel.get(_without_folders(key, _TEXT_FOLDERS)) or []
            )
            if len(candidates) > 1:
                one, other = candidates[:2]
                found_ = f"{one.name} beside it" if one.parent == other.parent else f"{one} as well"
                raise BadData(other, found_, f"one image for each stem; or {other.name}.txt, with the whole name")
            if candidates:
                found.setdefault(candidates[0], []).append(Sidecar(text, language))
                break
        else:
            unmatched.append(text)
    return {photo: _one_of_each_language(photo, found[photo]) for photo in photos if photo in found}, unmatched


def sidecar_rows(photo: Path, sidecar: Sidecar) -> list[Row]:
    """One row for each caption; none where the file is empty, or JSON about something else. Raises BadData."""
    file = sidecar.file
    if file.suffix.lower() == JSON_SUFFIX:
        return [Row(file, 1, str(photo), (caption,), None, sidecar.language) for caption in _json_captions(file)]
    return [
        Row(file, line, str(photo), (collapse_whitespace(text),), None, sidecar.language)
        for line, text in read_lines(file)
    ]


def _keys(base: str) -> Iterator[tuple[str, str | None]]:
    """The photo that a file may belong to, without its suffix, and the language that the file's name states."""
    yield base, None
    path = Path(base)
    if match := _LANGUAGE.fullmatch(path.suffix):
        yield str(path.with_suffix("")), match[1]


def _one_of_each_language(photo: Path, sidecars: list[Sidecar]) -> list[Sidecar]:
    texts = [sidecar for sidecar in sidecars if sidecar.file.suffix.lower() != JSON_SUFFIX]
    by_language: dict[str | None, Sidecar] = {}
    for sidecar in texts or sidecars:
        first = by_language.setdefault(sidecar.language, sidecar)
        if first is not sidecar:
            raise BadData(
                sidecar.file, f"{first.file.name} for {photo.name}, too", "one file of captions; remove the other"
            )
    return list(by_language.values())


def _json_captions(file: Path) -> list[str]:
    try:
        document = json.loads(decode_text(file, file.read_bytes()))
    except (OSError, ValueError, RecursionError) as error:
        raise BadData(file, f"no valid JSON ({error})", "a JSON object with caption or captions") from error
    if not isinstance(document, dict):
        return []
    names = columns_of("caption", list(document)) + columns_of("captions", list(document))
    if not names:
        return []
    value = document[names[0]]
    captions = value if isinstance(value, list) else [value]
    if not all(caption is None or isinstance(caption, str) for caption in captions):
        raise BadData(file, f"{names[0]} {json.dumps(value)[:60]}", "a text, or a list of texts")
    return [text for caption in captions if (text := collapse_whitespace(caption or ""))]


def _folded(key: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", key).casefold())


def _without_folders(key: str, names: frozenset[str]) -> str:
    *folders, name = _folded(key).split("/")
    return "/".join([*(folder for folder in folders if folder not in names), name])
