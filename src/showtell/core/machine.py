"""What a timing needs beside it to be read later: the processor, its cores, and the versions that ran."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("numpy", "pillow", "onnxruntime", "onnxruntime-gpu", "openvino")


def describe_machine(packages: Iterable[str] = PACKAGES) -> dict[str, Any]:
    """Processor, cores that this process may use, Python, and the versions of those `packages` that are installed."""
    versions = {}
    for name in packages:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "processor": processor(),
        "cores": available_cores(),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": versions,
    }


def available_cores() -> int:
    """Fewer than the machine's in a container or under `taskset`."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The name that the processor has for itself; `platform` knows only the architecture on Linux."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()
