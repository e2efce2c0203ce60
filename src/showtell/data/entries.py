"""Files of captions by image, without photos: the forms that `candidates` and `references` have in common.

    JSON lines   {"image": "a.jpg", "caption": "A dog."}, one object per line
                 image may be file_name, image_name or image_id; caption may be text, comment or captions, a list;
                 also alternatives, more captions of the image, and language and split
    CSV          a header with image and caption; also caption_2, caption_3 ..., language and split
    JSON         a list of such objects, as COCO has its results; or by image: {"a.jpg": "A dog."},
                 {"a.jpg": ["A dog.", "The dog."]} or {"a.jpg": [{"caption": "A dog."}]}, as pycocoevalcap has them

What a file holds is read off its content: `.json` is the name of all of these, and `.txt` as well.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from showtell.data.files import tidy
from showtell.data.tables import json_objects, table_cells
from showtell.errors import BadData

NAMES: Final = ("image", "file_name", "image_name", "image_id")
TEXTS: Final = ("caption", "captions", "text", "comment")
NUMBERED: Final = re.compile(r"caption_(\d+)")


class Entry(NamedTuple):
    """What a file says of one image in one place."""

    where: str
    """The file and the place in it, for messages."""
    names: tuple[str, ...]
    captions: tuple[str, ...]
    """Best first. The first is blank where it is null or blank in the file; others are not."""
    split: str | None = None
    language: str | None = None


def parse_whole(file: Path, text: str) -> Any:
    """The JSON value that the file is, or None for JSON lines and everything else.

    Raises BadData for JSON that is broken or has a key twice.
    """
    start = text.lstrip()
    if not start.startswith(("[", "{")) or (start.startswith("{") and _is_lines(file, start)):
        return None
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise BadData(file, f"no valid JSON ({error})", "one whole JSON value, or one object per line") from error


def entries_of(file: Path, text: str, whole: Any) -> Iterator[Entry]:
    """`whole` is what `parse_whole` made of `text`. Raises BadData with the place for what is none of the forms."""
    if whole is not None:
        yield from _json_entries(file, whole)
    elif text.lstrip().startswith("{"):
        for line, value in json_objects(file, text):
            yield entry_of(f"{file}, line {line}", value)
    else:
        for line, cells in table_cells(file, text, _columns):
            captions = [cells["caption"], *(cells[column] for column in _numbered(cells))]
            rest = {key: cell for key, cell in cells.items() if key not in TEXTS}
            yield entry_of(f"{file}, line {line}", {**rest, "captions": captions})


def entry_of(where: str, row: Any, language: str | None = None) -> Entry:
    """One object; `language` is what it is in unless it says so itself. Raises BadData for missing and odd values."""
    expected = "an object with image or image_id, and caption or captions"
    if not isinstance(row, dict):
        raise BadData(where, _shown(row), expected)
    texts = [key for key in TEXTS if key in row]
    names = tuple(dict.fromkeys(_text(where, key, row[key]) for key in NAMES if key in row))
    if not names or not texts or texts[:2] == ["caption", "captions"]:
        raise BadData(where, f"the keys {', '.join(map(repr, row))}" if row else "no keys", expected)
    best, *others = captions_of(where, row[texts[0]]) or ("",)
    alternatives = captions_of(where, row.get("alternatives"))
    split, said = (_text(where, key, row.get(key) or "", blank=True) or None for key in ("split", "language"))
    return Entry(where, names, (best, *(c for c in (*others, *alternatives) if c)), split, said or language)


def captions_of(where: str, value: Any) -> tuple[str, ...]:
    """The captions in a text, a list of texts, or a list of objects with `caption`; a null is a blank one.

    Raises BadData for anything else.
    """
    expected = "a caption, or a list of captions"
    captions = []
    for each in value if isinstance(value, list) else [value]:
        caption = each.get("caption", each) if isinstance(each, dict) and isinstance(value, list) else each
        if caption is not None and not isinstance(caption, str):
            raise BadData(where, _shown(caption), expected)
        captions.append(tidy(caption or ""))
    return tuple(captions)


def of_language(file: Path, entries: Iterable[Entry], language: str) -> list[Entry]:
    """The entries in `language` and those that say no language.

    Raises BadData when the file has none at all, and, naming the languages there, when all are in others.
    """
    others: set[str] = set()
    chosen = []
    for entry in entries:
        if entry.language in (None, language):
            chosen.append(entry)
        else:
            others.add(str(entry.language))
    if not chosen and others:
        raise BadData(file, f"captions in {', '.join(sorted(others))} only", f"captions in {language}")
    if not chosen:
        raise BadData(file, "no captions", "at least one image with its caption")
    return chosen


def _is_lines(file: Path, start: str) -> bool:
    """Whether objects follow each other. A file of one line is taken as a whole unless its name says otherwise."""
    first, _, rest = start.partition("\n")
    return file.suffix in (".jsonl", ".ndjson") or (first.rstrip().endswith("}") and bool(rest) and not rest.isspace())


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} is there twice")
    return value


def _json_entries(file: Path, whole: Any) -> Iterator[Entry]:
    if isinstance(whole, list):
        for index, row in enumerate(whole):
            yield entry_of(f"{file}, index {index}", row)
    elif whole.keys() & set(NAMES) and whole.keys() & set(TEXTS):  # JSON lines of one line
        yield entry_of(str(file), whole)
    else:
        for name, value in whole.items():
            where = f"{file}, key {name!r}"
            captions = captions_of(where, value)
            yield Entry(where, (_text(where, "image", name),), (*captions[:1], *(c for c in captions[1:] if c)))


def _columns(file: Path, header: list[str], line: int) -> list[str]:
    names = [name.lower() for name in header]
    columns = ["caption" if name in ("text", "comment") else name for name in names]
    known = [column for column in columns if column in (*NAMES, "caption", "split", "language")]
    numbered = _numbered(columns)
    if not set(NAMES) & set(known) or "caption" not in known or len({*known, *numbered}) < len(known) + len(numbered):
        found = f"the columns {', '.join(map(repr, header))}"
        raise BadData(file, found, "one column image or image_id, and one column caption", line)
    return columns


def _numbered(columns: Iterable[str]) -> list[str]:
    """Those of `caption_2`, `caption_3` ..., in the order of their numbers."""
    found = [match for column in columns if (match := NUMBERED.fullmatch(column))]
    return [match[0] for match in sorted(found, key=lambda match: int(match[1]))]


def _text(where: str, key: str, value: object, blank: bool = False) -> str:
    """A number is text here: COCO's ids are numbers in one file and keys, which are text, in another."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise BadData(where, f"{key} {_shown(value)}", "text or a whole number")
    text = str(value).strip()
    if not text and not blank:
        raise BadData(where, f"an empty {key}", "the name of an image")
    return text


def _shown(value: object) -> str:
    """The beginning of a value, as its file might have it."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
