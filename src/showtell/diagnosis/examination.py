"""All parts of the examination, in the order in which they are printed."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Mapping
from typing import Any

from showtell import __version__
from showtell.diagnosis.findings import Findings, Problem, examine, without_home
from showtell.diagnosis.folders import examine_folders
from showtell.diagnosis.machine import examine_memory, examine_processor
from showtell.diagnosis.packages import examine_extras, examine_packages, examine_runtimes
from showtell.diagnosis.text import examine_encoding, examine_fonts
from showtell.diagnosis.trial import examine_captioning
from showtell.install import install_hint


def examine_installation() -> Findings:
    return Findings(
        {
            "showtell": __version__,
            "python": platform.python_version(),
            "interpreter": sys.executable,
            "platform": platform.platform(),
        }
    )


def _examine_model() -> Findings:
    from showtell.diagnosis.model import examine_model  # imports numpy and tokenizers, which may be broken

    return examine_model()


PARTS: Mapping[str, Callable[[], Findings]] = {
    "installation": examine_installation,
    "packages": examine_packages,
    "runtimes": examine_runtimes,
    "extras": examine_extras,
    "processor": examine_processor,
    "memory": examine_memory,
    "model": _examine_model,
    "folders": examine_folders,
    "encoding": examine_encoding,
    "fonts": examine_fonts,
    "captioning": examine_captioning,
}


def examine_all(parts: Mapping[str, Callable[[], Findings]] = PARTS) -> dict[str, Any]:
    """Facts by part, and `problems`: each `found` and `mend`. Nothing in it names the home folder."""
    report: dict[str, Any] = {}
    problems: list[Problem] = []
    for part, examination in parts.items():
        findings = examine(part, examination, install_hint())
        report[part] = findings.facts
        if part == "captioning" and _explains(problems):
            continue
        problems += findings.problems
    report["problems"] = [{"found": problem.found, "mend": problem.mend} for problem in problems]
    cleaned: dict[str, Any] = without_home(report)
    return cleaned


def _explains(problems: list[Problem]) -> bool:
    """Whether it has been said already why there is no caption."""
    return any(problem.found.startswith(("captioning needs", "built-in model")) for problem in problems)
