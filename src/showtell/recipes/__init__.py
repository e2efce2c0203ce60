"""The named recipes: one YAML file each."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from showtell.config import nearest, read_recipe
from showtell.errors import BadConfig

FOLDER = Path(str(files("showtell.recipes")))


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def find_recipe(name: str) -> dict[str, Any]:
    """The raw sections of a named recipe, or of a YAML file. Raises BadConfig, naming the nearest recipe."""
    if name in names():
        return read_recipe(FOLDER / f"{name}.yaml")
    if name.endswith((".yaml", ".yml")):
        return read_recipe(Path(name))
    raise BadConfig(f"no recipe {name!r}" + nearest(name, names()) + "; a file of your own ends in .yaml")
