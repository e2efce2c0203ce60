"""Shared by METEOR and SPICE: find Java and pycocoevalcap, run a program, translate its errors into one line."""

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

_JVM_OPTIONS: Final = ["-Dfile.encoding=UTF-8", "-Duser.language=en"]
"""For the same result on every machine: under a Turkish locale Java lower-cases I differently."""


def check_inputs(
    metric: str, candidates: Sequence[object], references: Sequence[Sequence[object]], language: str
) -> None:
    """Raises BadConfig for a language other than English, BadData for images without references."""
    if language != "en" and not language.startswith("en-"):
        raise BadConfig(f"found language {language!r}; {metric} is for English (en) only, leave {metric} out")
    if len(candidates) != len(references):
        found = f"those of {len(references)} images"
        raise BadData("references", found, f"those of {len(candidates)}, as many as there are candidates")
    if empty := [index for index, captions in enumerate(references) if not captions]:
        raise BadData("references", f"an empty list for image {empty[0]}", "at least one reference per image")


def import_pycocoevalcap(name: str) -> ModuleType:
    """Imports one of its modules. Raises MissingExtra."""
    try:
        return importlib.import_module(f"pycocoevalcap.{name}")
    except ModuleNotFoundError as error:
        raise MissingExtra("pycocoevalcap", "java-metrics") from error


def check_java(metric: str, language: str) -> None:
    """Checks that METEOR or SPICE can run here, before hours of work. Raises BadConfig and MissingExtra."""
    check_inputs(metric, (), (), language)
    import_pycocoevalcap(metric.lower())
    java_version(metric)


def module_folder(module: ModuleType) -> Path:
    return Path(str(module.__file__)).resolve().parent


def run_java(metric: str, arguments: Sequence[str], folder: Path | None = None, text: str = "") -> str:
    """Runs the program to its end with `text` on stdin; returns its stdout. Raises BadConfig when it fails."""
    return _run(metric, [*_JVM_OPTIONS, *arguments], folder, text).stdout.decode("utf-8", "replace")


def java_version(metric: str) -> int:
    """Major version: 8, 17, ... Raises BadConfig without a working Java."""
    printed = _run(metric, ["-version"]).stderr.decode("utf-8", "replace")  # the spelling that all versions accept
    if version := re.search(r'version "(?:1\.)?(\d+)', printed):
        return int(version[1])
    raise BadConfig(f"found a `java` that prints {printed[:80]!r}; expected its version, install another Java runtime")


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
        # `run` writes and reads concurrently, and kills the process when interrupted. A lone surrogate, which UTF-8
        # cannot encode, is written as a question mark.
        completed = subprocess.run(
            [java, *arguments], input=text.encode("utf-8", "replace"), capture_output=True, cwd=folder
        )
    except OSError as error:
        raise BadConfig(f"{metric} needs Java, but {java} does not start ({error}); install another one") from error
    if completed.returncode:
        reason = _error_line(completed.stderr.decode("utf-8", "replace")) or f"exit status {completed.returncode}"
        raise BadConfig(
            f"{metric}'s Java program failed ({reason}); see that `java -version` works here, or leave {metric} out"
        )
    return completed


def _error_line(printed: str) -> str:
    """The line of Java's stack trace that names the error. The last of several causes is the root cause."""
    lines = [line.strip() for line in printed.splitlines() if line.strip() and not line.startswith("Picked up ")]
    causes = [line for line in lines if line.startswith("Caused by: ")]
    errors = [line for line in lines if re.search(r"\w(Exception|Error)\b", line)]
    return (causes or errors[:1] or lines or [""])[-1][:200]
