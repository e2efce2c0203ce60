"""Limits of containers and the processor's instructions, from folders as the kernel shows them."""

from pathlib import Path

import pytest

from showtell.diagnosis import machine
from showtell.diagnosis.machine import cgroup_cores, cgroup_memory, examine_memory, examine_processor, instructions

UNLIMITED_V1 = "9223372036854771712"


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{text}\n", encoding="utf-8")
    return root


def test_version_2_the_least_limit_on_the_way_up_holds(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/user.slice/app",
            "sys/fs/cgroup/user.slice/cpu.max": "150000 100000",
            "sys/fs/cgroup/user.slice/app/cpu.max": "300000 100000",
            "sys/fs/cgroup/cpu.max": "max 100000",
            "sys/fs/cgroup/user.slice/memory.max": "max",
            "sys/fs/cgroup/user.slice/app/memory.max": "1073741824",
            "sys/fs/cgroup/user.slice/app/memory.current": "1048576",
        },
    )
    assert cgroup_cores(tmp_path) == 1.5
    assert cgroup_memory(tmp_path) == (1073741824, 1048576)


def test_version_1_in_a_container_that_sees_its_own_group_as_the_root(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/docker/0a1b\n3:cpu,cpuacct:/docker/0a1b",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "50000",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "536870912",
            "sys/fs/cgroup/memory/memory.usage_in_bytes": "4096",
        },
    )
    assert cgroup_cores(tmp_path) == 0.5
    assert cgroup_memory(tmp_path) == (536870912, 4096)


def test_without_limits_and_without_control_groups(tmp_path: Path) -> None:
    assert cgroup_cores(tmp_path) is None and cgroup_memory(tmp_path) == (None, None)
    write(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/\n3:cpu:/\n0::/\ngarbage",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": UNLIMITED_V1,
        },
    )
    assert cgroup_cores(tmp_path) is None and cgroup_memory(tmp_path) == (None, None)


def test_more_threads_than_the_container_has_time_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "available_cores", lambda: 64)
    write(tmp_path, {"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "200000 100000"})
    findings = examine_processor(tmp_path)
    assert (findings.facts["usable_cores"], findings.facts["cgroup_cores"]) == (64, 2)
    assert [problem.mend for problem in findings.problems] == ["run: showtell caption --threads 2"]
    monkeypatch.setattr(machine, "available_cores", lambda: 2)
    assert examine_processor(tmp_path).problems == []


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        ("flags\t\t: fpu avx2 avx512f amx_bf16 amx_tile", ["avx2", "avx512f", "amx_tile", "amx_bf16"]),
        ("Features\t: fp asimd asimddp bf16 i8mm", ["asimddp", "i8mm", "bf16"]),
        ("flags : fpu sse2", []),
        ("processor : 0", None),
    ],
)
def test_instructions(cpuinfo: str, expected: list[str] | None, tmp_path: Path) -> None:
    assert instructions(write(tmp_path, {"proc/cpuinfo": cpuinfo})) == expected


@pytest.mark.parametrize(("megabytes", "problems"), [(300, 1), (4000, 0)])
def test_little_memory(megabytes: int, problems: int, tmp_path: Path) -> None:
    root = write(tmp_path, {"proc/meminfo": f"MemTotal: 8000000 kB\nMemAvailable: {megabytes * 1000} kB"})
    findings = examine_memory(root)
    assert findings.facts["total"] == 8000000 * 1024 and findings.facts["available"] == megabytes * 1000 * 1024
    assert len(findings.problems) == problems
    write(root, {"proc/self/cgroup": "0::/", "sys/fs/cgroup/memory.max": "268435456"})
    (problem,) = examine_memory(root).problems
    assert "268 MB" in problem.found and problem.mend == "run: showtell caption --batch-size 1"
