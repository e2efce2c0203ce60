"""What METEOR and SPICE share: finding Java and pycocoevalcap, running a program to its end, errors in one line."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Final

from showtell.errors import BadConfig, BadData, MissingExtra

_SETTINGS: Final = ["-Dfile.encoding=UTF-8", "-Duser.language=en"]
"""The same result on every machine: a Turkish Java makes small letters in another way."""


def check_captions(
    metric: str, candidates: Sequence[object], references: Sequence[Sequence[object]], language: str
) -> None:
    """Raises BadConfig for another language than English, and BadData for images without references."""
    if language != "en":
        raise BadConfig(f"found language {language!r}; {metric} is for English (en) only, leave {metric} out")
    if len(candidates) != len(references):
        found = f"those of {len(references)} images"
        raise BadData("references", found, f"those of {len(candidates)}, as many as there are candidates")
    if empty := [place for place, captions in enumerate(references) if not captions]:
        raise BadData("references", f"an empty list for image {empty[0]}", "at least one reference per image")


def pycocoevalcap(name: str) -> ModuleType:
    """One of its modules. Raises MissingExtra."""
    try:
        return importlib.import_module(f"pycocoevalcap.{name}")
    except ModuleNotFoundError as error:
        raise MissingExtra("pycocoevalcap", "java-metrics") from error


def check_java(metric: str, language: str) -> None:
    """Whether METEOR or SPICE can be had here: before hours of work, not after. Raises BadConfig and MissingExtra."""
    check_captions(metric, (), (), language)
    pycocoevalcap(metric.lower())
    java_version(metric)


def folder_of(module: ModuleType) -> Path:
    return Path(str(module.__file__)).resolve().parent


def run_java(metric: str, arguments: Sequence[str], folder: Path | None = None, text: str = "") -> str:
    """What the program prints, given a text to read, when it is over. Raises BadConfig when it fails."""
    return _run(metric, [*_SETTINGS, *arguments], folder, text).stdout.decode("utf-8", "replace")


def java_version(metric: str) -> int:
    """8, 17, ... Raises BadConfig where there is no Java, or none that works."""
    printed = _run(metric, ["-version"]).stderr.decode("utf-8", "replace")  # in a form that all versions know
    if version := re.search(r'version "(?:1\.)?(\d+)', printed):
        return int(version[1])
    raise BadConfig(f"found a `java` that says {printed[:80]!r}; expected its version, install another Java runtime")


def _run(
    metric: str, arguments: Sequence[str], folder: Path | None = None, text: str = ""
) -> subprocess.CompletedProcess[bytes]:
    java = shutil.which("java")
    if java is None:
        raise BadConfig(
            f"{metric} needs Java, found no `java` on the PATH; install a Java runtime, such as OpenJDK 17, or leave "
            f"{metric} out"
        )
    try:
        # Writes and reads at the same time, and ends the program when it is interrupted. Half a surrogate pair, which
        # is no UTF-8, is written as a question mark.
        done = subprocess.run(
            [java, *arguments], input=text.encode("utf-8", "replace"), capture_output=True, cwd=folder
        )
    except OSError as error:
        raise BadConfig(f"{metric} needs Java, but {java} does not start ({error}); install another one") from error
    if done.returncode:
        reason = _reason(done.stderr.decode("utf-8", "replace")) or f"exit status {done.returncode}"
        raise BadConfig(
            f"{metric}'s Java program failed ({reason}); see that `java -version` works here, or leave {metric} out"
        )
    return done


def _reason(printed: str) -> str:
    """The line of Java's report that names the error; the last of several causes is the first to happen."""
    lines = [line.strip() for line in printed.splitlines() if line.strip() and not line.startswith("Picked up ")]
    causes = [line for line in lines if line.startswith("Caused by: ")]
    errors = [line for line in lines if re.search(r"\w(Exception|Error)\b", line)]
    return (causes or errors[:1] or lines or [""])[-1][:200]
