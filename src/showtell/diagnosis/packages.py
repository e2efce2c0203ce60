"""Installed packages: what captioning needs, runtimes, and the extras of `pyproject.toml`.

Versions come from the metadata beside the packages, so that none of them is imported. Rejected: `packaging`, which
reads all requirements there can be, and which showtell does not depend on; ours are names with a lowest version.
"""

from __future__ import annotations

import re
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Final, NamedTuple

from showtell.diagnosis.findings import Findings
from showtell.install import install_hint

RUNTIMES: Final = ("onnxruntime", "onnxruntime-gpu", "openvino")
_REQUIREMENT: Final = re.compile(
    r"\s*(?P<name>[A-Za-z0-9][\w.-]*)\s*(\[(?P<extras>[^]]*)\])?\s*(>=\s*(?P<least>[\w.]+))?\s*"
    r"(;\s*extra\s*==\s*['\"](?P<extra>[^'\"]+)['\"])?\s*"
)


class Requirement(NamedTuple):
    name: str
    least: str
    """The lowest version; empty: any."""
    extra: str
    """That asks for it; empty: captioning."""
    extras: tuple[str, ...]
    """Of the package that is required."""

    def __str__(self) -> str:
        return f"{self.name}>={self.least}" if self.least else self.name


def examine_packages() -> Findings:
    """Versions of what captioning needs."""
    needed = [requirement for requirement in requirements() if not requirement.extra]
    findings = Findings({requirement.name: version(requirement.name) for requirement in needed})
    # Another package of ONNX Runtime has the same modules.
    lacking = [r for r in needed if not _is_met(r) and not (r.name == "onnxruntime" and version("onnxruntime-gpu"))]
    if lacking:
        findings.problem(f"captioning needs {_lacking(lacking)}", install_hint())
    return findings


def examine_runtimes() -> Findings:
    findings = Findings({name: version(name) for name in RUNTIMES})
    if findings.facts["onnxruntime"] and findings.facts["onnxruntime-gpu"]:
        from showtell.core.runtimes.registry import INSTALL_CUDA

        findings.problem("onnxruntime and onnxruntime-gpu are both installed", INSTALL_CUDA)
    return findings


def examine_extras() -> Findings:
    """By extra: its state, what is missing, and the command that installs it. A missing extra is no problem."""
    return Findings({extra: _extra(extra) for extra in extras()})


def extras() -> list[str]:
    return sorted({requirement.extra for requirement in requirements()} - {""})


def of_extra(extra: str) -> list[Requirement]:
    """Those of the extra, and of other extras of showtell that it names."""
    found: list[Requirement] = []
    pending, seen = [extra], {extra}
    while pending:
        asking = pending.pop()
        for requirement in (r for r in requirements() if r.extra == asking):
            if requirement.name != "showtell":
                found.append(requirement)
                continue
            pending += [other for other in requirement.extras if other not in seen]
            seen.update(requirement.extras)
    return found


@cache
def requirements() -> tuple[Requirement, ...]:
    """As the installed metadata has them, or else `pyproject.toml` of the source tree; none where neither is there."""
    try:
        lines = metadata.requires("showtell") or []
    except metadata.PackageNotFoundError:
        lines = _of_source_tree(Path(__file__).parents[3] / "pyproject.toml")
    return tuple(filter(None, map(parse, lines)))


def parse(text: str) -> Requirement | None:
    """None for one with another form than ours have."""
    match = _REQUIREMENT.fullmatch(text)
    if match is None:
        return None
    names = tuple(name.strip() for name in (match["extras"] or "").split(",") if name.strip())
    return Requirement(match["name"], match["least"] or "", match["extra"] or "", names)


def release(text: str) -> tuple[int, ...]:
    """The numbers of a version, without trailing zeros: (2, 6) of `2.6.0+cu124`."""
    match = re.match(r"\d+(\.\d+)*", text)
    numbers = [int(part) for part in match[0].split(".")] if match else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def _of_source_tree(pyproject: Path) -> list[str]:
    """Nothing on Python 3.10, which reads no TOML."""
    lines: list[str] = []
    if sys.version_info >= (3, 11) and pyproject.is_file():
        import tomllib

        project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
        lines += project["dependencies"]
        for extra, asked in project["optional-dependencies"].items():
            lines += [f"{line}; extra == '{extra}'" for line in asked]
    return lines


def _extra(extra: str) -> dict[str, Any]:
    wanted = of_extra(extra)
    lacking = [requirement for requirement in wanted if not _is_met(requirement)]
    state = "installed" if not lacking else "partly" if len(lacking) < len(wanted) else "missing"
    command = install_hint(extra) if lacking else None
    return {"state": state, "lacking": [_lacking([requirement]) for requirement in lacking], "command": command}


def _lacking(lacking: list[Requirement]) -> str:
    def described(requirement: Requirement) -> str:
        found = version(requirement.name)
        return f"{requirement}" + (f" (found {found})" if found else "")

    return ", ".join(map(described, lacking))


def _is_met(requirement: Requirement) -> bool:
    found = version(requirement.name)
    return found is not None and release(found) >= release(requirement.least)


def version(name: str) -> str | None:
    """Of an installed package; None if it is not."""
    try:
        found: str | None = metadata.version(name)  # None: metadata without a version, of a broken installation
    except (metadata.PackageNotFoundError, KeyError):
        return None
    return found
