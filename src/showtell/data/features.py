"""`features:FILE`: what `showtell data features` wrote, the features of every photo with its captions.

One safetensors file: `features` `[N, S, C]`, the principal components where there are any, and `samples`, JSON lines
as bytes: one per photo and language, in the order of the features' rows. The encoder that made them is in the header.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from showtell.data.files import expand_path
from showtell.errors import BadData, MissingExtra
from showtell.records import FeatureRow, Sample

FORMAT = "showtell features 1"
EXPECTED = "a file that `showtell data features` wrote"


def read_features(location: str, languages: Sequence[str]) -> list[Sample]:
    """Raises BadData for what is no such file, and for a language without captions; MissingExtra without
    safetensors."""
    path = expand_path(location)
    header, lines = _open(path)
    if header.get("format") != FORMAT:
        raise BadData(path, f"the format {header.get('format')!r}", f"{FORMAT!r}: {EXPECTED}")
    try:
        samples = [_sample(path, row) for row in map(json.loads, lines.splitlines())]
    except (ValueError, KeyError, TypeError) as error:
        raise BadData(path, f"broken captions ({error})", EXPECTED) from error
    available = {sample.language for sample in samples}
    for language in languages:
        if language not in available:
            raise BadData(path, f"captions in {', '.join(sorted(available))} only", f"captions in {language}")
    return [sample for sample in samples if sample.language in languages]


def _open(path: Path) -> tuple[dict[str, str], str]:
    """The metadata of the header and the JSON lines of `samples`."""
    try:
        from safetensors import SafetensorError, safe_open
    except ModuleNotFoundError as error:
        raise MissingExtra("safetensors", "train") from error
    try:
        with safe_open(str(path), "numpy") as file:
            metadata: dict[str, str] = file.metadata() or {}
            lines = file.get_tensor("samples").tobytes() if "samples" in file.keys() else b""  # noqa: SIM118
        return metadata, lines.decode("utf-8")
    except (OSError, SafetensorError, UnicodeDecodeError) as error:
        raise BadData(path, f"nothing that can be read ({error})", EXPECTED) from error


def _sample(path: Path, row: dict[str, Any]) -> Sample:
    captions = tuple(str(caption) for caption in row["captions"])
    return Sample(
        str(row["name"]), FeatureRow(path, int(row["row"])), captions, str(row["split"]), str(row["language"])
    )
