"""The shell commands of README.md and docs/: lines of fenced blocks, with what follows `|`, `&&` and `;` apart."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SEPARATORS = ("|", "&&", ";", "||", "&")


@dataclass(frozen=True)
class Command:
    """`page:line`, the line as a shell reads it, and each of its simple commands."""

    place: str
    line: str
    parts: tuple[tuple[str, ...], ...]

    @property
    def showtell(self) -> list[list[str]]:
        """The arguments of each `showtell`."""
        return [list(part[1:]) for part in self.parts if part[:1] == ("showtell",)]

    def __str__(self) -> str:
        return self.place


def fenced(page: Path) -> list[tuple[str, int, str]]:
    """Language, number of the first line and text of each fenced block."""
    text = page.read_text(encoding="utf-8")
    return [(m[1], text.count("\n", 0, m.start()) + 2, m[2]) for m in FENCE.finditer(text)]


def commands(page: Path) -> list[Command]:
    """Those of blocks without a language or with a shell's that have `showtell` in them."""
    found = []
    for language, first, text in fenced(page):
        lines = text.split("\n") if language in ("", "sh", "bash") else []
        number = 0
        while number < len(lines):
            start, line = number, lines[number]
            while line.endswith("\\"):
                number += 1
                line = line[:-1] + lines[number]
            number += 1
            if re.search(r"(^|[|;&] *|[A-Z_]=\S+ |--no-python )showtell \S", line) and not line.startswith(
                "showtell: "
            ):
                place = f"{page.relative_to(ROOT).as_posix()}:{first + start}"
                found.append(Command(place, line, split(line)))
    return found


def split(line: str) -> tuple[tuple[str, ...], ...]:
    """Simple commands without their redirections, variables before them, and torchrun."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    parts: list[list[str]] = [[]]
    words = iter(lexer)
    for word in words:
        if word in SEPARATORS:
            parts.append([])
        elif word in ("<", ">", ">>"):
            next(words)
        elif parts[-1] or not re.fullmatch(r"[A-Z_]+=\S*", word):
            parts[-1].append(word)
    return tuple(tuple(part[part.index("showtell") :] if part[:1] == ["torchrun"] else part) for part in parts)


def mentions(page: Path) -> list[str]:
    """Commands in the text, such as `showtell train shapes`: those with more than a name."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    spans = (" ".join(span.split()) for span in re.findall(r"`(showtell [^`]+)`", text))
    return [span.replace("\\|", "|") for span in spans]
