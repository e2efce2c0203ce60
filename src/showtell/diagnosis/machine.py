"""Cores, what the processor can do, and memory: of the machine, and what a container leaves of them."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from showtell.core.machine import available_cores, processor
from showtell.diagnosis.findings import Findings

INSTRUCTIONS: Final = (
    *("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16"),
    *("asimddp", "i8mm", "bf16", "sve"),
)
"""Those that make captioning faster, as /proc/cpuinfo names them: x86, then Arm."""
UNLIMITED: Final = 1 << 60
"""Bytes from which a limit is none; cgroup v1 writes the largest number that it has."""
NEEDED_MEMORY: Final = 700_000_000
"""Bytes, more than batches of 32 photos take with the built-in model; `showtell bench` measures that."""


def examine_processor(root: Path = Path("/")) -> Findings:
    """`root`: of the file system with `proc` and `sys`."""
    usable, limit = available_cores(), cgroup_cores(root)
    findings = Findings(
        {
            "name": processor(root / "proc/cpuinfo"),
            "architecture": platform.machine(),
            "cores": os.cpu_count(),
            "usable_cores": usable,
            "cgroup_cores": limit,
            "instructions": instructions(root),
        }
    )
    if limit is not None and (threads := max(1, round(limit))) < usable:
        findings.problem(
            f"{usable} cores can be used, but this container gets the time of {limit:g}: threads wait for each other",
            f"run: showtell caption --threads {threads}",
        )
    return findings


def examine_memory(root: Path = Path("/")) -> Findings:
    """All in bytes."""
    meminfo = dict(_meminfo(root))
    total = meminfo.get("MemTotal") or _physical_memory()
    limit, used = cgroup_memory(root)
    available = meminfo.get("MemAvailable")
    findings = Findings({"total": total, "available": available, "cgroup_limit": limit, "cgroup_used": used})
    # Not the limit without what is used, part of which is the page cache.
    free = [size for size in (available, limit) if size is not None]
    if free and min(free) < NEEDED_MEMORY:
        findings.problem(
            f"memory: {min(free) / 1e6:.0f} MB for captioning, which may be killed in large batches",
            "run: showtell caption --batch-size 1",
        )
    return findings


def instructions(root: Path) -> list[str] | None:
    for line in _lines(root / "proc/cpuinfo"):
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):  # x86, Arm
            found = set(value.split())
            return [instruction for instruction in INSTRUCTIONS if instruction in found]
    return None


def cgroup_cores(root: Path) -> float | None:
    """The least of the limits of this process's control groups; None: no limit."""
    limits = []
    for folder in _groups(root, ""):
        quota, _, period = _word(folder / "cpu.max").partition(" ")
        limits.append(_ratio(quota, period))
    for folder in _groups(root, "cpu"):
        limits.append(_ratio(_word(folder / "cpu.cfs_quota_us"), _word(folder / "cpu.cfs_period_us")))
    return min((limit for limit in limits if limit is not None), default=None)


def cgroup_memory(root: Path) -> tuple[int | None, int | None]:
    """The least limit, and the bytes used of it; None: no limit."""
    found = []
    for controller, limit, used in (
        ("", "memory.max", "memory.current"),
        ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        for folder in _groups(root, controller):
            size = _number(folder / limit)
            if size is not None and size < UNLIMITED:
                found.append((size, _number(folder / used)))
    return min(found, key=lambda pair: pair[0], default=(None, None))


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """The folders of this process's group and of those above it. `controller`: of cgroup v1; empty: v2.

    A container sees its own group as the root, whatever path the process has outside.
    """
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if controller not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup" / controllers
        parts = [part for part in path.split("/") if part not in ("", ".", "..")]
        for count in range(len(parts), -1, -1):
            yield top.joinpath(*parts[:count])


def _ratio(quota: str, period: str) -> float | None:
    """Cores; None for `max` and -1."""
    try:
        return int(quota) / int(period) if int(quota) > 0 else None
    except (ValueError, ZeroDivisionError):
        return None


def _meminfo(root: Path) -> Iterator[tuple[str, int]]:
    for line in _lines(root / "proc/meminfo"):
        name, _, value = line.partition(":")
        number = value.split()[:1]
        if number and number[0].isdecimal():
            yield name, int(number[0]) * 1024


def _physical_memory() -> int | None:
    """Where there is no /proc: macOS."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _number(file: Path) -> int | None:
    text = _word(file)
    return int(text) if text.isdecimal() else None


def _word(file: Path) -> str:
    return next(iter(_lines(file)), "").strip()


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
