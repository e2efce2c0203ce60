"""The text of `showtell doctor`. A part that could not be examined has no facts, and stands among the problems."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from typing import Any

from showtell.disk_space import size_in_words

LABEL_WIDTH = 14
Facts = Mapping[str, Any]


def report_lines(report: Mapping[str, Any]) -> Iterator[str]:
    """The lines for what `examination.examine_all` returns."""
    for part, describe in DESCRIPTIONS.items():
        facts = report.get(part)
        if not facts:
            continue
        for n, line in enumerate(describe(facts)):
            yield f"{'' if n else part:{LABEL_WIDTH}}{line}".rstrip()
    yield ""
    problems = report["problems"]
    yield "no problems" if not problems else f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
    for problem in problems:
        yield f"- {problem['found']}; {problem['mend']}"


def _installation(facts: Facts) -> Iterator[str]:
    yield f"showtell {facts['showtell']}, Python {facts['python']}"
    yield facts["platform"]
    yield facts["interpreter"]


def _versions(facts: Facts) -> Iterator[str]:
    yield ", ".join(f"{name} {version}" for name, version in facts.items() if version) or "none"


def _extras(facts: Facts) -> Iterator[str]:
    for extra, found in facts.items():
        lacking = f" ({', '.join(found['lacking'])} missing)" if found["state"] == "partly" else ""
        command = f"; {found['command']}" if found["command"] else ""
        yield f"{extra:{LABEL_WIDTH}}{found['state']}{lacking}{command}"


def _processor(facts: Facts) -> Iterator[str]:
    yield f"{facts['name']}, {facts['architecture']}"
    limit = "" if facts["cgroup_cores"] is None else f", the time of {facts['cgroup_cores']:g} in this container"
    yield f"{facts['usable_cores']} of {facts['cores']} cores can be used{limit}"
    instructions = facts["instructions"]
    yield "instructions " + ("unknown" if instructions is None else " ".join(instructions) or "none that matter")


def _memory(facts: Facts) -> Iterator[str]:
    line = f"{_size(facts['available'])} of {_size(facts['total'])} free"
    if facts["cgroup_limit"] is not None:
        line += f"; {_size(facts['cgroup_used'])} of {_size(facts['cgroup_limit'])} used in this container"
    yield line


def _model(facts: Facts) -> Iterator[str]:
    languages = ", ".join(facts["languages"]) if "languages" in facts else "unknown languages"
    state = "intact" if facts["intact"] else "damaged"
    yield f"{facts.get('name', 'built-in')}: {languages}, {_size(facts['size'])}, {state}"
    if "sha256" in facts:
        yield f"sha256 {facts['sha256']}"
    yield facts["path"]


def _folders(facts: Facts) -> Iterator[str]:
    for name, folder in facts.items():
        if folder is not None:
            state = "writable" if folder["writable"] else "not writable"
            state += "" if folder["exists"] else ", not made yet"
            used = f"{_size(folder['size'])} used, " if folder["size"] is not None else ""
            yield f"{name}: {folder['path']}, {state}, {used}{_size(folder['free'])} free"


def _encoding(facts: Facts) -> Iterator[str]:
    yield (
        f"locale {facts['locale']}, stdout {facts['stdout']}, file names {facts['file_system']}, "
        f"UTF-8 mode {'on' if facts['utf8_mode'] else 'off'}"
    )


def _fonts(facts: Facts) -> Iterator[str]:
    order = sorted(facts["scripts"].items(), key=lambda item: (item[1], item[0]))
    for source, group in groupby(order, key=lambda item: item[1]):
        yield f"{source}: {', '.join(script for script, _ in group)}"
    if "no font" in facts["scripts"].values():
        yield f"where pictures need these: {facts['install']}"
    if facts["not_examined"]:
        yield f"not examined: {', '.join(facts['not_examined'])}"


def _captioning(facts: Facts) -> Iterator[str]:
    if facts["works"]:
        yield f"works: first caption after {facts['seconds']:.2f} s"
    else:
        yield f"fails: {facts['error']}"


DESCRIPTIONS: Mapping[str, Callable[[Facts], Iterator[str]]] = {
    "installation": _installation,
    "packages": _versions,
    "runtimes": _versions,
    "extras": _extras,
    "processor": _processor,
    "memory": _memory,
    "model": _model,
    "folders": _folders,
    "encoding": _encoding,
    "fonts": _fonts,
    "captioning": _captioning,
}


def _size(size: int | None) -> str:
    return "unknown" if size is None else size_in_words(size)
