"""Captions by image in the forms that Python programs have them, above all those of pycocoevalcap.

    candidates   {id: caption}, {id: [caption]} or {id: [{"caption": caption}]}; COCO's results,
                 [{"image_id": id, "caption": caption}]
    references   {id: [caption, ...]} or {id: [{"caption": caption}, ...]}; COCO's annotations,
                 {"annotations": [{"image_id": id, "caption": caption}, ...]}, or that list

An id is a text or a whole number; 1 and "1" are the same id, since JSON makes texts of the former, and so is 1.0, which
pandas makes of it in a column with gaps.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

from showtell.errors import BadData

Candidates = Mapping[Any, Any] | Sequence[Mapping[str, Any]]
References = Mapping[Any, Any] | Sequence[Mapping[str, Any]]


def candidate_captions(candidates: Candidates) -> dict[str, str]:
    """One caption by image. Raises BadData for another form and for several captions of an image."""
    captions: dict[str, str] = {}
    for name, value in _by_image("candidates", candidates).items():
        values = value if isinstance(value, list | tuple) else [value]
        if len(values) != 1:
            raise BadData("candidates", f"{len(values)} captions for {name}", "one caption for each image")
        captions[name] = _text("candidates", name, values[0])
    return captions


def reference_captions(references: References) -> dict[str, list[str]]:
    """Captions by image. Raises BadData for another form."""
    captions: dict[str, list[str]] = {}
    for name, value in _by_image("references", references).items():
        if isinstance(value, str) or not isinstance(value, Sequence):
            kind = "string" if isinstance(value, str) else type(value).__name__
            raise BadData("references", f"a {kind} for {name}", "a list of strings per image")
        captions[name] = [_text("references", name, item) for item in value]
    return captions


def _by_image(what: str, captions: Candidates | References) -> dict[str, Any]:
    if isinstance(captions, Mapping) and isinstance(captions.get("annotations"), list):
        captions = captions["annotations"]
    by_image: dict[str, Any] = {}
    if isinstance(captions, Mapping):
        for key, value in captions.items():
            if by_image.setdefault(name := _name(what, key), value) is not value:
                raise BadData(what, f"the id {name} as a text and as a number", "one of them")
        return by_image
    expected = "a mapping of images to captions, or COCO's list of objects with image_id and caption"
    if isinstance(captions, str) or not isinstance(captions, Sequence):
        raise BadData(what, f"a {type(captions).__name__}", expected)
    for index, row in enumerate(captions):
        if not isinstance(row, Mapping) or not {"image_id", "caption"} <= row.keys():
            raise BadData(what, f"{row!r:.60} at index {index}", expected)
        by_image.setdefault(_name(what, row["image_id"]), []).append(row["caption"])
    return by_image


def _name(what: str, key: object) -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, float) and key.is_integer():
        key = int(key)
    try:
        return str(operator.index(key))  # type: ignore[arg-type]  # numpy's whole numbers as well
    except TypeError as error:
        raise BadData(what, f"the id {key!r}", "a text or a whole number") from error


def _text(what: str, name: str, value: object) -> str:
    caption = value.get("caption") if isinstance(value, Mapping) else value
    if not isinstance(caption, str):
        raise BadData(what, f"{value!r:.60} for {name}", "a text, or a dict with caption")
    return caption
