"""Links of all Markdown files lead to files and to headings that exist; their words are spelled right."""

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest
from tests import skips

ROOT = Path(__file__).parents[1]
FOLDERS = ("docs", "benchmarks", "examples", "space", "deploy", "src")
COPY = ROOT / "src/showtell/models/default/README.md"
"""The model card goes with the bundle; its links lead somewhere in docs/model_card.md."""
PAGES = [*sorted(ROOT.glob("*.md")), *(page for folder in FOLDERS for page in sorted((ROOT / folder).rglob("*.md")))]
FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(`+).+?\1", re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"")


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def links(page: Path) -> list[str]:
    """Targets within the repository."""
    # The text of a link may be code; code that looks like a link is none.
    text = SPAN.sub("code", prose(page))
    found = [one or other for one, other in LINK.findall(text)]
    return [unquote(link) for link in found if not re.match(r"[a-z]+:|//", link)]


def anchors(page: Path) -> set[str]:
    """As code hosts make them of headings: lower case, without punctuation, spaces as hyphens, numbered."""
    seen: dict[str, int] = {}
    result = set(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", prose(page)))
    for heading in re.findall(r"^#+ +(.*?) *#*$", prose(page), re.MULTILINE):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        result.add(f"{slug}-{seen[slug]}" if slug in seen else slug)
        seen[slug] = seen.get(slug, 0) + 1
    return result


def broken(page: Path) -> list[str]:
    problems = []
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            problems.append(link)
    return problems


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page != COPY], ids=lambda page: page.relative_to(ROOT).as_posix()
)
def test_links_lead_somewhere(page: Path) -> None:
    assert broken(page) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    text = "# A `--b` C\n[x](#a---b-c) [`y`](page.md#a---b-c) [z](#a) ![p](p.png)\n```\n[f](f.md)\n```\n`[c](c.md)`\n"
    page.write_text(text, encoding="utf-8")
    assert broken(page) == ["#a", "p.png"]


def test_words_are_spelled_right(tmp_path: Path) -> None:
    pytest.importorskip("codespell_lib", reason=skips.PACKAGES)
    wrong = tmp_path / "wrong.md"
    wrong.write_text("a photo with teh dog\n", encoding="utf-8")
    command = [sys.executable, "-m", "codespell_lib", "--toml", "pyproject.toml"]
    code = sorted((ROOT / "src/showtell").rglob("*.py"))  # pages and texts of other kinds are in other languages, too
    files = [path.relative_to(ROOT) for path in (*PAGES, *code)]
    done = subprocess.run([*command, *files, wrong], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines() == [f"{wrong}:1: teh ==> the"], done.stderr
