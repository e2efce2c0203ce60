"""Writes docs/licences.md: the licences of showtell, of what it ships, and of the packages that it installs.

python docs/licences.py

Licences are those that the metadata of the installed packages name, so that it runs where `.[dev]` is installed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import tomllib
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from showtell.files import write_text

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LONGEST = 80  # characters; some packages put the whole text of the licence into the field for its name
CLASSIFIER = "License :: "

TEXT = """# Licences

What you may do with showtell depends on five things. None of this is legal advice.

| what | terms |
|---|---|
| the code | Apache-2.0, [LICENSE](../LICENSE): use, change and pass it on, also commercially; keep the notices |
| the built-in model | Apache-2.0, like the code. Whether a model trained on the data below suits your purpose is yours to judge |
| the fonts in the package | Noto Sans and Noto Sans Arabic, SIL Open Font License 1.1, [OFL.txt](../src/showtell/view/fonts/OFL.txt): part of any program, not sold by themselves |
| packages that are installed with it | each its own, in the table below |
| models and data that you add | theirs: `showtell import` writes the licence of an imported model into its card; see [hub.md](hub.md) and [data.md](data.md) |

## What the built-in model was made from

No photo and no caption of these data is in the package. More in the [model card](model_card.md#licence).

- **Encoder weights**, trained on ImageNet: from timm, Apache-2.0. The photos of ImageNet belong to their owners and are
  for non-commercial research; whether that binds weights trained on them is not settled.
- **Photos and English captions**: Flickr8k (M. Hodosh, P. Young, J. Hockenmaier, JAIR 47, 2013), for research use; the
  photos remain their owners' property.
- **Arabic captions**: Flickr8k-Rev (A. Alsayed, T. Qadah, M. Arif, JKSUCIS 35, 2023), written by people, CC0 1.0.
- **German captions**: Multi30K (D. Elliott, S. Frank, K. Sima'an, L. Specia, 2016), written by people, for
  non-commercial research and education.
- **Sentences without photos**, English and German: Flickr30k (P. Young, A. Lai, M. Hodosh, J. Hockenmaier, TACL 2,
  2014) and Multi30K, for non-commercial research and education.

The built-in model has learned from all of these, in every language that it writes. Whoever may not use a model that has
seen data for non-commercial research trains one without them, from data whose terms suit; without German, tags and
sentences that is

```
showtell train default 'text.languages=[en,ar]' data=flickr:DIR
```

## Packages

`pip install .` installs those that captioning needs, an extra such as `'.[train]'` those with its name. In bold:
what showtell asks for itself; the others come with these. Licences are those that each package's metadata name
(`python docs/licences.py`, Python PYTHON on PLATFORM); other systems and versions may bring others, and a wheel may hold
libraries with licences of their own. Two kinds differ from the rest:

- **python-bidi**, which captioning needs to draw and print Arabic, is under the LGPL: whoever passes it on must let
  others replace it by a version of their own. It is a package by itself, installed and replaced by pip.
- **NVIDIA's packages** (`nvidia-*`), which torch brings on Linux, are under NVIDIA's own terms, not open source. The
  wheels of torch for processors come without them.

| package | version | licence | needed for |
|---|---|---|---|
"""


def main() -> None:
    table = "".join(f"| {' | '.join(row)} |\n" for row in rows())
    version = ".".join(map(str, sys.version_info[:2]))
    write_text(ROOT / "docs" / "licences.md", TEXT.replace("PYTHON", version).replace("PLATFORM", sys.platform) + table)


def rows() -> Iterator[tuple[str, str, str, str]]:
    """By name. What only tests and checks need is for `dev`, which asks for everything else as well."""
    extras = [*sorted(PROJECT["optional-dependencies"].keys() - {"dev"}), "dev"]
    needed = {extra: closure(extra) for extra in ["", *extras]}
    direct = {name for extra in needed for name in requirements("showtell", {extra})}
    for name in sorted(set().union(*needed.values()) - {"showtell"}):
        found = metadata.distribution(name)
        uses = [extra for extra, names in needed.items() if name in names]
        if "" in uses:
            uses = [""]
        uses = [f"`[{extra}]`" if extra else "captioning" for extra in uses if extra != "dev" or uses == ["dev"]]
        title = f"**{name}**" if name in direct else name
        yield title, found.version, licence(found.metadata), ", ".join(uses)


def closure(extra: str) -> set[str]:
    """All packages that captioning or an extra installs here."""
    asked: dict[str, set[str]] = {}
    pending = [("showtell", frozenset({extra}))]
    while pending:
        name, extras = pending.pop()
        if name in asked and extras <= asked[name]:
            continue
        asked.setdefault(name, set()).update(extras)
        pending += [(n, frozenset(e or {""})) for n, e in requirements(name, asked[name]).items()]
    return set(asked)


def requirements(name: str, extras: set[str]) -> dict[str, set[str]]:
    """What a package asks for here, by name, each with the extras of it."""
    found: dict[str, set[str]] = {}
    for requirement in map(Requirement, own_requirements() if name == "showtell" else metadata.requires(name) or []):
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras):
            found.setdefault(canonicalize_name(requirement.name), set()).update(requirement.extras)
    return found


def own_requirements() -> list[str]:
    """Those of pyproject.toml: the installed metadata may be older."""
    extras = PROJECT["optional-dependencies"].items()
    return [*PROJECT["dependencies"], *(f"{line}; extra == '{extra}'" for extra, lines in extras for line in lines)]


def licence(fields: metadata.PackageMetadata) -> str:
    """The SPDX expression, or else the field for the name, or else the classifiers."""
    name = (fields.get("License") or "").strip()
    is_name = "\n" not in name and len(name) <= LONGEST and name.upper() != "UNKNOWN"
    classifiers = [c.rsplit(" :: ", 1)[-1] for c in fields.get_all("Classifier") or [] if c.startswith(CLASSIFIER)]
    known = [fields.get("License-Expression"), name if is_name else "", ", ".join(classifiers), "see its licence file"]
    return next(text for text in known if text).replace("|", "/")


if __name__ == "__main__":
    main()
