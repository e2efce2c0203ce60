"""Files that GitHub and others read: they parse, agree with pyproject.toml, and lead to what there is."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from showtell import __version__

tomllib = pytest.importorskip("tomllib", reason="Python 3.10 reads no TOML")

ROOT = Path(__file__).parents[1]
GITHUB = ROOT / ".github"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_the_citation_is_of_this_version() -> None:
    citation = read(ROOT / "CITATION.cff")
    assert (citation["cff-version"], citation["type"]) == ("1.2.0", "software")
    assert (
        (citation["title"], citation["version"]) == (PROJECT["name"], PROJECT["version"]) == ("showtell", __version__)
    )
    assert (citation["license"], citation["abstract"]) == (PROJECT["license"], PROJECT["description"])
    # What the format requires (https://citation-file-format.github.io), and names that it has.
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation.keys() <= {
        *("cff-version", "message", "type", "title", "abstract", "version", "license", "authors"),
        "keywords",
    }
    assert all(isinstance(author["name"], str) for author in citation["authors"])


def test_the_licence_is_an_expression_and_no_classifier() -> None:
    """PEP 639 forbids both together."""
    classifiers = PROJECT["classifiers"]
    assert PROJECT["license"] == "Apache-2.0" and not [c for c in classifiers if c.startswith("License ::")]
    assert "Typing :: Typed" in classifiers and (ROOT / "src" / "showtell" / "py.typed").is_file()
    lowest = PROJECT["requires-python"].removeprefix(">=")
    versions = [c.rsplit(" ", 1)[1] for c in classifiers if re.search(r"Python :: 3\.\d+$", c)]
    assert versions[0] == lowest and versions == sorted(versions, key=lambda v: int(v.split(".")[1]))


def test_classifiers_are_those_that_there_are() -> None:
    known = pytest.importorskip("trove_classifiers", reason="hatchling brings it").classifiers
    assert set(PROJECT["classifiers"]) <= known


def test_a_bug_report_asks_for_what_doctor_prints() -> None:
    fields = {part.get("id"): part for part in read(GITHUB / "ISSUE_TEMPLATE" / "bug_report.yml")["body"]}
    assert "`showtell doctor`" in fields["doctor"]["attributes"]["label"]
    assert fields["doctor"]["validations"] == {"required": True}


@pytest.mark.parametrize("form", sorted((GITHUB / "ISSUE_TEMPLATE").glob("*_*.yml")), ids=lambda path: path.stem)
def test_an_issue_form_has_what_github_requires(form: Path) -> None:
    parsed = read(form)
    assert parsed["name"] and parsed["description"] and parsed["body"]
    for part in parsed["body"]:
        assert part["type"] in ("markdown", "textarea", "input", "dropdown", "checkboxes")
        assert (
            "value" in part["attributes"] if part["type"] == "markdown" else part["id"] and part["attributes"]["label"]
        )


def test_a_release_is_checked_before_it_is_published_without_a_token() -> None:
    text = (GITHUB / "workflows" / "release.yml").read_text(encoding="utf-8")
    workflow = yaml.safe_load(text)
    jobs = workflow["jobs"]
    assert workflow[True]["push"]["tags"] == ["v*"]  # YAML 1.1 reads the key `on` as a truth value
    assert (jobs["check"]["needs"], jobs["publish"]["needs"]) == ("build", "check")
    assert jobs["publish"]["permissions"] == {"id-token": "write"} and "secrets." not in text
    lowest = PROJECT["requires-python"].removeprefix(">=")
    tried = jobs["check"]["strategy"]["matrix"]["python"]
    assert tried[0] == lowest and f"Programming Language :: Python :: {tried[-1]}" == max(
        (c for c in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", c)), key=lambda c: int(c.rsplit(".", 1)[1])
    )


@pytest.mark.parametrize("name", ["SECURITY.md", "CODE_OF_CONDUCT.md", "docs/licences.md"])
def test_links_lead_to_files(name: str) -> None:
    page = ROOT / name
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
    assert links and all((page.parent / link).exists() for link in links)
    assert not re.search(r"\S+@\S+\.\w+", page.read_text(encoding="utf-8")), "no address that nobody reads"
