"""Files of captions by image, without the images: the formats that `candidates` and `references` share.

    JSON lines   {"image": "a.jpg", "caption": "A dog."}, one object per line
                 image may be file_name, image_name or image_id; caption may be text, comment or captions, a list;
                 also alternatives, more captions of the image, and language and split
    CSV          a header with image and caption; also caption_2, caption_3 ..., language and split
    JSON         a list of such objects, as COCO has its results; or by image: {"a.jpg": "A dog."},
                 {"a.jpg": ["A dog.", "The dog."]} or {"a.jpg": [{"caption": "A dog."}]}, as pycocoevalcap has them

The content decides the format, not the suffix: all of these are called `.json`, and `.txt` as well.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from showtell.data.files import collapse_whitespace
from showtell.data.tables import json_objects, table_cells
from showtell.errors import BadData
from showtell.languages.tags import lenient_tag

IMAGE_KEYS: Final = ("image", "file_name", "image_name", "image_id")
CAPTION_KEYS: Final = ("caption", "captions", "text", "comment")
NUMBERED_CAPTION: Final = re.compile(r"caption_(\d+)")


class CaptionRecord(NamedTuple):
    """The captions that one row or object of a file gives for one image."""

    location: str
    """The file and the line, index or key, for messages."""
    names: tuple[str, ...]
    captions: tuple[str, ...]
    """Best first. The first is blank where it is null or blank in the file; others are not."""
    split: str | None = None
    language: str | None = None


def parse_document(file: Path, text: str) -> Any:
    """The JSON value that the file is, or None for JSON lines and everything else.

    Raises BadData for JSON that is broken or has a key twice.
    """
    start = text.lstrip()
    if not start.startswith(("[", "{")) or (start.startswith("{") and _is_json_lines(file, start)):
        return None
    try:
        return json.loads(text, object_pairs_hook=_reject_duplicate_keys)
    except (ValueError, RecursionError) as error:
        raise BadData(file, f"no valid JSON ({error})", "one whole JSON value, or one object per line") from error


def parse_records(file: Path, text: str, document: Any) -> Iterator[CaptionRecord]:
    """`document` is `parse_document(file, text)`. Raises BadData with the location for any other format."""
    if document is not None:
        yield from _json_records(file, document)
    elif text.lstrip().startswith("{"):
        for line, value in json_objects(file, text):
            yield parse_record(f"{file}, line {line}", value)
    else:
        for line, cells in table_cells(file, text, _parse_header):
            captions = [cells["caption"], *(cells[column] for column in _numbered_columns(cells))]
            rest = {key: cell for key, cell in cells.items() if key not in CAPTION_KEYS}
            yield parse_record(f"{file}, line {line}", {**rest, "captions": captions})


def parse_record(location: str, row: Any, language: str | None = None) -> CaptionRecord:
    """One object; `language` is used where it has none. Raises BadData for missing or invalid values."""
    expected = "an object with image or image_id, and caption or captions"
    if not isinstance(row, dict):
        raise BadData(location, _excerpt(row), expected)
    texts = [key for key in CAPTION_KEYS if key in row]
    names = tuple(dict.fromkeys(_text(location, key, row[key]) for key in IMAGE_KEYS if key in row))
    if not names or not texts or texts[:2] == ["caption", "captions"]:
        raise BadData(location, f"the keys {', '.join(map(repr, row))}" if row else "no keys", expected)
    best, *others = parse_captions(location, row[texts[0]]) or ("",)
    alternatives = parse_captions(location, row.get("alternatives"))
    split, own_language = (
        _text(location, key, row.get(key) or "", blank=True) or None for key in ("split", "language")
    )
    return CaptionRecord(
        location, names, (best, *(c for c in (*others, *alternatives) if c)), split, own_language or language
    )


def parse_captions(location: str, value: Any) -> tuple[str, ...]:
    """The captions in a text, a list of texts, or a list of objects with `caption`; a null is a blank one.

    Raises BadData for anything else.
    """
    expected = "a caption, or a list of captions"
    captions = []
    for item in value if isinstance(value, list) else [value]:
        caption = item.get("caption", item) if isinstance(item, dict) and isinstance(value, list) else item
        if caption is not None and not isinstance(caption, str):
            raise BadData(location, _excerpt(caption), expected)
        captions.append(collapse_whitespace(caption or ""))
    return tuple(captions)


def select_language(file: Path, records: Iterable[CaptionRecord], language: str) -> list[CaptionRecord]:
    """The records in `language` and those without a language.

    Raises BadData when the file has no captions, or, naming its languages, none in `language`.
    """
    others: set[str] = set()
    chosen = []
    for record in records:
        if record.language is None or lenient_tag(record.language) == lenient_tag(language):
            chosen.append(record)
        else:
            others.add(str(record.language))
    if not chosen and others:
        raise BadData(file, f"captions in {', '.join(sorted(others))} only", f"captions in {language}")
    if not chosen:
        raise BadData(file, "no captions", "at least one image with its caption")
    return chosen


def _is_json_lines(file: Path, start: str) -> bool:
    """Whether it is JSON lines. A single line is one JSON document unless the suffix is .jsonl or .ndjson."""
    first, _, rest = start.partition("\n")
    return file.suffix in (".jsonl", ".ndjson") or (first.rstrip().endswith("}") and bool(rest) and not rest.isspace())


def _reject_duplicate_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} occurs twice")
    return value


def _json_records(file: Path, document: Any) -> Iterator[CaptionRecord]:
    if isinstance(document, list):
        for index, row in enumerate(document):
            yield parse_record(f"{file}, index {index}", row)
    elif document.keys() & set(IMAGE_KEYS) and document.keys() & set(CAPTION_KEYS):  # JSON lines of one line
        yield parse_record(str(file), document)
    else:
        for name, value in document.items():
            location = f"{file}, key {name!r}"
            captions = parse_captions(location, value)
            yield CaptionRecord(
                location, (_text(location, "image", name),), (*captions[:1], *(c for c in captions[1:] if c))
            )


def _parse_header(file: Path, header: list[str], line: int) -> list[str]:
    names = [name.lower() for name in header]
    columns = ["caption" if name in ("text", "comment") else name for name in names]
    known = [column for column in columns if column in (*IMAGE_KEYS, "caption", "split", "language")]
    numbered = _numbered_columns(columns)
    if (
        not set(IMAGE_KEYS) & set(known)
        or "caption" not in known
        or len({*known, *numbered}) < len(known) + len(numbered)
    ):
        found = f"the columns {', '.join(map(repr, header))}"
        raise BadData(file, found, "one column image or image_id, and one column caption", line)
    return columns


def _numbered_columns(columns: Iterable[str]) -> list[str]:
    """Those of `caption_2`, `caption_3` ..., in the order of their numbers."""
    matches = [match for column in columns if (match := NUMBERED_CAPTION.fullmatch(column))]
    return [match[0] for match in sorted(matches, key=lambda match: int(match[1]))]


def _text(location: str, key: str, value: object, blank: bool = False) -> str:
    """A number is text here: COCO's ids are numbers in one file and keys, which are text, in another."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise BadData(location, f"{key} {_excerpt(value)}", "text or a whole number")
    text = str(value).strip()
    if not text and not blank:
        raise BadData(location, f"an empty {key}", "the name of an image")
    return text


def _excerpt(value: object) -> str:
    """The beginning of a value, as its file might have it."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
