"""Reading recipes: YAML, overrides from the command line, and one message with every problem.

The settings, with meanings and defaults, are in `settings`. `section.key=value` on the command line overrides a recipe;
an unknown key is refused and the nearest one named. All problems of a recipe are reported together.
"""

from __future__ import annotations

import copy
import difflib
import reprlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from showtell.errors import BadConfig
from showtell.renamed_settings import new_name
from showtell.settings import DECODER_KINDS, DEFAULT_KIND, Recipe, Settings


def parse_recipe(raw: object, origin: str, outdated: str = "") -> Recipe:
    """Raises BadConfig with every problem in one line; `origin` says where `raw` came from, `outdated` what to do when
    it has settings that were renamed."""
    if not isinstance(raw, dict):
        raise BadConfig(
            f"{origin}: found {type(raw).__name__}; expected sections such as model, text, data, train, decode"
        )
    try:
        return Recipe.model_validate(raw)
    except ValidationError as error:
        problems = error.errors()
        is_outdated = any(problem["type"] == "extra_forbidden" and new_name(_key(problem)) for problem in problems)
        text = "; ".join(map(_describe, problems)) + (outdated if is_outdated else "")
        raise BadConfig(f"{origin}: {text}") from error


def read_recipe(path: Path) -> dict[str, Any]:
    """The raw sections of a YAML recipe. Raises BadConfig when there is no such file or it is no YAML mapping."""
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadConfig(f"{path}: cannot be read ({error.strerror})") from error
    # ValueError: bytes that are no UTF-8, and dates such as 2020-13-45; RecursionError: nested a thousand times.
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadConfig(f"{path}: no valid YAML ({' '.join(str(error).split())})") from error
    if not isinstance(raw, dict):
        raise BadConfig(f"{path}: found {type(raw).__name__}; expected a mapping of sections")
    return raw


KEPT_FOR_NEW_ENCODER = ("layer", "pca")


def apply_overrides(raw: dict[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """A copy of `raw` with `section.key=value` settings applied; values are read as YAML.

    A new `kind` resets its section: the settings of an LSTM mean nothing to the Transformer that replaces it. So does a
    new encoder, `model.encoder=NAME`, except for `layer` and `pca`, which define the decoder's input. Sections are
    therefore set before their keys, whatever the order given.
    """
    changed = copy.deepcopy(raw)
    for override in sorted(
        overrides, key=lambda o: (o.split("=")[0].count("."), not o.split("=")[0].endswith(".kind"))
    ):
        key, sign, text = override.partition("=")
        if not sign or not key:
            raise BadConfig(f"found {override!r}; expected key=value, such as train.epochs=3")
        try:
            value = yaml.safe_load(text) if text else ""
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise BadConfig(f"{key}: {_shown(text)} is no YAML value ({' '.join(str(error).split())})") from error
        *sections, name = key.split(".")
        parent = changed
        for section in sections:
            if isinstance(parent.get(section), str) and section == "encoder":
                parent[section] = {"name": parent[section]}
            parent = parent.setdefault(section, {})
            if not isinstance(parent, dict):
                raise BadConfig(f"{key}: {section!r} is a value, not a section")
        if name == "kind" and parent.get("kind", DEFAULT_KIND) != value:
            parent.clear()
        if key == "model.encoder" and isinstance(value, str):
            old = parent.get(name)
            kept = {k: old[k] for k in KEPT_FOR_NEW_ENCODER if k in old} if isinstance(old, dict) else {}
            value = {"name": value, **kept}
        parent[name] = value
    return changed


def dump_recipe(recipe: Recipe) -> str:
    """YAML that `read_recipe` reads back to the same recipe, every default written out."""
    text: str = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    return text


MAX_LISTED = 30
"""Names in one message at most: timm has over a thousand backbones."""


def nearest(word: str, known: Iterable[str]) -> str:
    """`"; did you mean 'x'?"`, or the list of names when none is close and the list is short."""
    options = sorted(known)
    matches = difflib.get_close_matches(word, options, n=1, cutoff=0.5)
    if matches:
        return f"; did you mean {matches[0]!r}?"
    return f"; expected one of: {', '.join(options)}" if len(options) <= MAX_LISTED else ""


def _key(error: Any) -> str:
    """The dotted key that an error is about."""
    location: Sequence[str | int] = error["loc"]
    # A discriminated union puts the kind behind `model.decoder`; the user did not write it as a key.
    skipped = 2 if location[:2] == ("model", "decoder") else len(location)
    return ".".join(str(part) for i, part in enumerate(location) if i != skipped)


def _describe(error: Any) -> str:
    where = _key(error)
    if error["type"] == "extra_forbidden":
        if renamed := new_name(where):
            return f"{where} is now {renamed}"
        return f"{where} is no setting" + nearest(where.rpartition(".")[2], _fields(error["loc"][:-1]))
    if error["type"] == "missing":
        return f"{where} is missing"
    return f"{where}: {error['msg']}, found {_shown(error['input'])}"


def _shown(value: object) -> str:
    """Its beginning: YAML's aliases make a thousand million items of a few lines."""
    short = reprlib.Repr()
    short.maxlevel, short.maxstring, short.maxother = 3, 200, 200
    return short.repr(value)


def _fields(location: Sequence[str | int]) -> Iterable[str]:
    """The allowed keys at a location in a recipe."""
    section: type[Settings] = Recipe
    for part in location:
        field = DECODER_KINDS.get(str(part)) or (
            section.model_fields[str(part)].annotation if part in section.model_fields else None
        )
        if isinstance(field, type) and issubclass(field, Settings):
            section = field
    return section.model_fields
