"""The reading of recipes: YAML, overrides from the command line, and one message that holds every problem.

The settings themselves, with meanings and defaults, are in `settings`. `section.key=value` overrides a recipe from the
command line; an unknown key is refused and the nearest one named. All problems of a recipe are reported together.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from showtell.errors import BadConfig
from showtell.settings import DECODER_KINDS, DEFAULT_KIND, Recipe, Settings


def parse_recipe(raw: object, origin: str) -> Recipe:
    """Raises BadConfig with every problem in one line; `origin` says where `raw` came from."""
    if not isinstance(raw, dict):
        raise BadConfig(
            f"{origin}: found {type(raw).__name__}; expected sections such as model, text, data, train, decode"
        )
    try:
        return Recipe.model_validate(raw)
    except ValidationError as error:
        raise BadConfig(f"{origin}: " + "; ".join(_problem(e, raw) for e in error.errors())) from error


def read_recipe(path: Path) -> dict[str, Any]:
    """The raw sections of a YAML recipe. Raises BadConfig when there is no such file or it is no YAML mapping."""
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadConfig(f"{path}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: bytes that are no UTF-8, and dates such as 2020-13-45
        raise BadConfig(f"{path}: no valid YAML ({' '.join(str(error).split())})") from error
    if not isinstance(raw, dict):
        raise BadConfig(f"{path}: found {type(raw).__name__}; expected a mapping of sections")
    return raw


KEPT_OF_AN_ENCODER = ("layer", "pca")


def apply_overrides(raw: dict[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """A copy of `raw` with `section.key=value` settings applied; values are read as YAML.

    A new `kind` begins its section anew: the settings of an LSTM mean nothing to the Transformer that replaces it. So
    does a new encoder, `model.encoder=NAME`, save for `layer` and `pca`, which say what the decoder is given. Sections
    are therefore set before what is in them, whatever the order given.
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
        except (yaml.YAMLError, ValueError) as error:
            raise BadConfig(f"{key}: {text!r} is no YAML value ({' '.join(str(error).split())})") from error
        *sections, name = key.split(".")
        place = changed
        for section in sections:
            if isinstance(place.get(section), str) and section == "encoder":
                place[section] = {"name": place[section]}
            place = place.setdefault(section, {})
            if not isinstance(place, dict):
                raise BadConfig(f"{key}: {section!r} is a value, not a section")
        if name == "kind" and place.get("kind", DEFAULT_KIND) != value:
            place.clear()
        if key == "model.encoder" and isinstance(value, str):
            old = place.get(name)
            kept = {each: old[each] for each in KEPT_OF_AN_ENCODER if each in old} if isinstance(old, dict) else {}
            value = {"name": value, **kept}
        place[name] = value
    return changed


def dump_recipe(recipe: Recipe) -> str:
    """YAML that `read_recipe` reads back to the same recipe, every default written out."""
    text: str = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    return text


READABLE = 30
"""Names that may stand in one message: timm has over a thousand backbones."""


def nearest(word: str, known: Iterable[str]) -> str:
    """`"; did you mean 'x'?"`, or what there is, when nothing is near and it can be read in one go."""
    options = sorted(known)
    near = difflib.get_close_matches(word, options, n=1, cutoff=0.5)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; expected one of: {', '.join(options)}" if len(options) <= READABLE else ""


def _problem(error: Any, raw: dict[str, Any]) -> str:
    location: Sequence[str | int] = error["loc"]
    # A discriminated union puts the kind into the location; the user did not write it as a key.
    path = [str(part) for part in location if part not in DECODER_KINDS]
    where = ".".join(path)
    if error["type"] == "extra_forbidden":
        return f"{where} is no setting" + nearest(path[-1], _fields(location[:-1]))
    return f"{where}: {error['msg']}, found {error['input']!r}" if error["type"] != "missing" else f"{where} is missing"


def _fields(location: Sequence[str | int]) -> Iterable[str]:
    """The names that are allowed at a place in a recipe."""
    section: type[Settings] = Recipe
    for part in location:
        field = DECODER_KINDS.get(str(part)) or (
            section.model_fields[str(part)].annotation if part in section.model_fields else None
        )
        if isinstance(field, type) and issubclass(field, Settings):
            section = field
    return section.model_fields
