"""Extras and versions, from metadata folders as pip writes them. `packaging` is the reference for requirements."""

import importlib
from collections.abc import Callable, Iterator
from importlib import metadata
from itertools import chain
from pathlib import Path

import pytest
from tests.skips import PACKAGES

from showtell.diagnosis import packages
from showtell.diagnosis.packages import examine_extras, examine_packages, examine_runtimes, parse, release

tomllib = pytest.importorskip("tomllib", reason="Python 3.10 reads no TOML")
ROOT = Path(__file__).parents[2]
Install = Callable[..., None]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """An environment with nothing but what `install` puts into it."""
    packages.requirements.cache_clear()
    monkeypatch.setattr(metadata.MetadataPathFinder, "find_distributions", _only(tmp_path))

    def install(name: str, version: str, *requires: str) -> None:
        folder = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        folder.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        (folder / "METADATA").write_text("\n".join([*lines, *(f"Requires-Dist: {line}" for line in requires)]) + "\n")
        importlib.invalidate_caches()

    yield install
    packages.requirements.cache_clear()


def _only(folder: Path) -> Callable[..., Iterator[metadata.Distribution]]:
    find = metadata.MetadataPathFinder.find_distributions

    def find_here(context: metadata.DistributionFinder.Context) -> Iterator[metadata.Distribution]:
        here = metadata.DistributionFinder.Context(name=context.name, path=[str(folder)])
        return iter(find(here))

    return find_here


def test_an_extra_is_installed_partly_or_not(site: Install) -> None:
    site("showtell", "0.1.0", "a>=1", "b>=2.5; extra == 'one'", "c; extra == 'one'", "d; extra == 'two'")
    site("b", "2.10.0")
    one, two = examine_extras().facts["one"], examine_extras().facts["two"]
    assert (one["state"], one["lacking"]) == ("partly", ["c"]) and one["command"].endswith("'showtell[one]'")
    assert (two["state"], two["lacking"]) == ("missing", ["d"]) and two["command"].endswith("'showtell[two]'")
    site("c", "0.1")
    assert examine_extras().facts["one"] == {"state": "installed", "lacking": [], "command": None}


def test_a_version_that_is_too_old_is_named(site: Install) -> None:
    site("showtell", "0.1.0", "a>=1.10", "b; extra == 'one'")
    site("a", "1.9")
    findings = examine_packages()
    assert findings.facts == {"a": "1.9"}
    assert [p.found for p in findings.problems] == ["captioning needs a>=1.10 (found 1.9)"]
    assert findings.problems[0].mend.endswith("install showtell")


def test_an_extra_of_extras_has_what_they_have(site: Install) -> None:
    site("showtell", "0.1.0", "b; extra == 'one'", "showtell[one]; extra == 'all'", "showtell[all]; extra == 'one'")
    assert examine_extras().facts["all"]["lacking"] == ["b"]


def test_two_packages_of_onnx_runtime(site: Install) -> None:
    site("showtell", "0.1.0", "onnxruntime>=1.18")
    site("onnxruntime-gpu", "1.20")
    assert examine_packages().problems == [] == examine_runtimes().problems
    site("onnxruntime", "1.20")
    (problem,) = examine_runtimes().problems
    assert "both" in problem.found and "pip uninstall" in problem.mend


def test_a_source_tree_has_the_extras_of_its_pyproject(site: Install) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(examine_extras().facts) == set(project["optional-dependencies"])
    assert len(examine_packages().facts) == len(project["dependencies"])


def test_requirements_are_read_as_packaging_reads_them() -> None:
    requirements = pytest.importorskip("packaging.requirements", reason=PACKAGES)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *chain.from_iterable(project["optional-dependencies"].values())]
    for line in [*lines, "a-b[c,d]>=1.0; extra == 'e'"]:
        found, expected = parse(line), requirements.Requirement(line)
        assert found is not None and found.name == expected.name and set(found.extras) == expected.extras
        assert str(expected.specifier) == (f">={found.least}" if found.least else "")


@pytest.mark.parametrize(
    ("low", "high"), [("1.9", "1.10"), ("2.6.0+cu124", "2.6.1"), ("1", "1.0.1"), ("2024.6", "2025.0rc1"), ("", "0.1")]
)
def test_versions_are_ordered_as_packaging_orders_them(low: str, high: str) -> None:
    version = pytest.importorskip("packaging.version", reason=PACKAGES)
    assert release(low) < release(high)
    assert not low or version.Version(low) < version.Version(high)
    assert release("1.0") == release("1") == release("1.0.0")
