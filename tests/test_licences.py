"""docs/licences.md: nothing that showtell asks for is left out."""

import re
from pathlib import Path

import pytest

tomllib = pytest.importorskip("tomllib", reason="Python 3.10 reads no TOML")

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (\S+) \| (\S+) \| (.+) \| (.+) \|$", TEXT, re.MULTILINE)[1:]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def normal(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~; ]", requirement)[0]).lower()


@pytest.mark.parametrize("extra", ["", *PROJECT["optional-dependencies"]])
def test_every_direct_dependency_is_in_the_table(extra: str) -> None:
    """In bold, with the extra that asks for it, unless captioning or an extra that is no tool of ours asks as well."""
    lines = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    uses = {name.strip("*"): use for name, _, _, use in ROWS if name.startswith("**")}
    for name in {normal(line) for line in lines} - {"showtell"}:
        assert name in uses, f"{name}: run python docs/licences.py"
        is_named = f"`[{extra}]`" in uses[name] if extra else uses[name] == "captioning"
        assert is_named or uses[name] == "captioning" or extra == "dev", name


def test_every_row_has_a_licence() -> None:
    names = [name.strip("*") for name, *_ in ROWS]
    assert names == sorted(set(names)) and len(names) > 100
    assert all(licence.strip() and licence != "UNKNOWN" for _, _, licence, _ in ROWS)


def test_the_terms_of_all_training_data_are_named() -> None:
    """Those that the model card names, here by what is licensed."""
    card = (ROOT / "docs" / "model_card.md").read_text(encoding="utf-8").split("## Licence")[1]
    for source in ("Flickr8k", "Flickr8k-Rev", "CC0 1.0", "ImageNet", "timm"):
        assert source in card and source in TEXT, source
    assert ("German" in card) == ("German captions" in TEXT), (
        "docs/licences.py: German captions have terms of their own"
    )
