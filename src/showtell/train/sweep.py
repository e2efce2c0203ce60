"""The combinations of a sweep: `key=a,b other=c,d` gives four runs, each with its recipe and its name.

A value ends where it would in a YAML list, so that brackets, braces and quotes keep their commas. `data` is never
split: commas belong to data specs (`karpathy:FILE.json,IMAGES`). A key that is given again adds its values, which is
how several data sets are compared. Rejected: another separator. There is none that no shell, path or YAML value uses.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from showtell.config import apply_overrides, parse_recipe
from showtell.errors import BadConfig
from showtell.settings import Recipe
from showtell.train.start_from import complete

UNSPLIT = ("data",)
"""Keys whose values are never split."""
MAX_NAME_LENGTH = 120
"""Of a folder, in characters; file systems allow 255 bytes."""


@dataclass(frozen=True)
class Combination:
    """One run of a sweep."""

    name: str
    """Of its folder: the varied settings. It does not depend on the other values, so that a sweep can be widened."""
    varied: dict[str, str]
    """By short key, values as they were written."""
    recipe: Recipe


def combinations(raw: Mapping[str, Any], settings: Sequence[str], origin: str) -> list[Combination]:
    """Every combination, the last key changing fastest. Raises BadConfig with the problems of all of them."""
    grid = _grid(settings)
    varied = [key for key, values in grid.items() if len(values) > 1]
    if not varied:
        raise BadConfig(
            "nothing to sweep; expected a setting with several values, such as train.lr=1e-3,1e-4 (one run: train)"
        )
    short = _short(varied)
    result: list[Combination] = []
    problems: list[str] = []
    for values in itertools.product(*grid.values()):
        chosen = dict(zip(grid, values, strict=True))
        try:
            changed = apply_overrides(dict(raw), [f"{key}={value}" for key, value in chosen.items()])
            recipe = parse_recipe(complete(changed), origin)
        except BadConfig as error:
            problems.append(str(error))
            continue
        settings_here = {short[key]: chosen[key] for key in varied}
        result.append(Combination(_name(settings_here), settings_here, recipe))
    problems += _repeated(result)
    if problems:
        raise BadConfig("; ".join(dict.fromkeys(problems)))
    return result


def split_values(text: str) -> list[str]:
    """The values between commas, as written. Raises BadConfig when a bracket, brace or quote is left open."""
    try:
        sequence = yaml.compose(f"[{text}]", Loader=yaml.SafeLoader)
    except (yaml.YAMLError, ValueError) as error:
        raise BadConfig(
            f"found {text!r}; expected values with commas between them, as in a YAML list "
            f"({' '.join(str(getattr(error, 'problem', error)).split())})"
        ) from error
    assert isinstance(sequence, yaml.SequenceNode)
    return [text[node.start_mark.index - 1 : node.end_mark.index - 1] for node in sequence.value]


def _grid(settings: Sequence[str]) -> dict[str, list[str]]:
    """The values of every key, in the order given."""
    grid: dict[str, list[str]] = {}
    for setting in settings:
        key, sign, text = setting.partition("=")
        if not sign or not key:
            raise BadConfig(f"found {setting!r}; expected key=value or key=value,value, such as train.lr=1e-3,1e-4")
        grid.setdefault(key, []).extend([text] if key in UNSPLIT else split_values(text) or [""])
    for key, values in grid.items():
        repeated = [value for value, count in Counter(values).items() if count > 1]
        if repeated:
            raise BadConfig(f"{key}: found {repeated[0]} more than once; expected different values")
    return grid


def _short(keys: Sequence[str]) -> dict[str, str]:
    """The last word of each key, where no other varied key ends in the same."""
    ends = [key.rpartition(".")[2] for key in keys]
    return {key: end if ends.count(end) == 1 else key for key, end in zip(keys, ends, strict=True)}


def _name(varied: Mapping[str, str]) -> str:
    """A name that is safe on any file system. Where this changes it (a slash, a capital letter, since some file systems
    ignore case, or the length), a few digits of a hash keep names distinct."""
    exact = ",".join(f"{key}={value}" for key, value in varied.items())
    safe = re.sub(r"[^a-z0-9_.=,+-]+", "-", exact.lower())
    if safe == exact and len(safe) <= MAX_NAME_LENGTH and not safe.endswith("."):
        return safe
    digest = hashlib.sha256(exact.encode()).hexdigest()[:8]
    return f"{safe[: MAX_NAME_LENGTH - 9].rstrip('-.')}-{digest}"


def _repeated(combinations: Sequence[Combination]) -> list[str]:
    """Combinations with equal recipes, such as 1e-4 and 0.0001."""
    first: dict[str, Combination] = {}
    problems: list[str] = []
    for combination in combinations:
        same = first.setdefault(combination.recipe.model_dump_json(), combination)
        if same is not combination:
            problems.append(f"{_describe(same.varied)} and {_describe(combination.varied)} are the same run")
    return problems


def _describe(varied: Mapping[str, str]) -> str:
    return " ".join(f"{key}={value}" for key, value in varied.items())
