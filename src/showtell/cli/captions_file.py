"""Reading back the captions that were written as JSONL."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from showtell.errors import BadData


def read_captions(file: Path, names: Sequence[str]) -> dict[str, str]:
    """The caption of each of `names`, found by whole path or by file name; a null caption (a failed image) is empty.

    Raises BadData, with the line, for what is no row; and when a name has no row.
    """
    captions: dict[str, str] = {}
    by_file_name: dict[str, list[str]] = {}
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadData(file, f"no readable file ({error})", "UTF-8 JSONL with image and caption") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            image, caption = str(row["image"]), row["caption"]
        except (ValueError, KeyError, TypeError) as error:
            raise BadData(file, f"{line[:60]!r}", "a JSON object with image and caption", number) from error
        captions[image] = caption or ""
        by_file_name.setdefault(Path(image).name, []).append(caption or "")
    for file_name, found in by_file_name.items():
        if len(set(found)) == 1:  # photos of one name in several folders are known by their whole path only
            captions.setdefault(file_name, found[0])
    missing = [name for name in names if name not in captions]
    if missing:
        raise BadData(
            file, f"no row for {missing[0]} and {len(missing) - 1} others", f"one for each of {len(names)} images"
        )
    return {name: captions[name] for name in names}
