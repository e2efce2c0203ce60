"""What an examination returns: facts, and problems with the command that mends each."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Problem:
    found: str
    mend: str
    """What to do: a command, with what to say before it: `run: pip install .`."""


@dataclass
class Findings:
    """Of one part of the installation."""

    facts: dict[str, Any] = field(default_factory=dict)
    """For JSON; None: unknown here."""
    problems: list[Problem] = field(default_factory=list)

    def problem(self, found: str, mend: str) -> None:
        self.problems.append(Problem(" ".join(found.split()), mend))


def examine(part: str, examination: Callable[[], Findings], mend: str) -> Findings:
    """The findings; where the examination itself fails, a problem that says so."""
    try:
        return examination()
    except Exception as error:  # noqa: BLE001 (what is broken here is not known beforehand)
        findings = Findings()
        findings.problem(f"{part}: cannot be examined ({type(error).__name__}: {error})", mend)
        return findings


def without_home(value: Any, home: Path | None = None) -> Any:
    """The same facts with `~` for the home folder in all text, since the output is pasted into public places.

    A quoted path keeps its quotes behind the `~`, where a shell still expands it: `~/'my clone[serve]'`.
    """
    if isinstance(value, dict):
        return {key: without_home(item, home) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_home(item, home) for item in value]
    if not isinstance(value, str):
        return value
    for folder in _homes(home):
        before = re.escape(folder)
        value = re.sub(rf"'{before}[/\\](?=[^'])", "~/'", value)
        value = re.sub(rf"(?<![\w.\\-]){before}(?![\w.-])", "~", value)
    return value


def _homes(home: Path | None) -> list[str]:
    """The home folder as it is named, and as it is where that is a link. None of the whole file system."""
    try:
        home = Path.home() if home is None else home
        names = [str(home), str(home.resolve())]
    except (RuntimeError, OSError):  # no HOME, and a user without an entry
        return []
    return [name for name in dict.fromkeys(names) if Path(name) != Path(name).parent and Path(name).is_absolute()]
