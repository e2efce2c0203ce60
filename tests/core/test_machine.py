"""What is said of the machine beside a timing."""

import os
from importlib import metadata
from pathlib import Path

import pytest

from showtell.core.machine import available_cores, describe_machine, processor

CPUINFO = "processor\t: 0\nmodel\t\t: 143\nmodel name\t: Some CPU: 9000\nflags\t: fpu\n\nmodel name\t: Another\n"


def test_the_processor_is_named_as_it_names_itself(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(CPUINFO, encoding="utf-8")
    assert processor(file) == "Some CPU: 9000"


@pytest.mark.parametrize("content", [None, "Hardware\t: none of it\n"])
def test_without_a_name_there_is_the_architecture(content: str | None, tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    assert processor(file)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux ties a process to cores")
def test_only_the_cores_of_this_process_count() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert available_cores() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert available_cores() == len(before)


def test_versions_are_those_of_installed_packages() -> None:
    found = describe_machine(("numpy", "no-such-package"))
    assert found["versions"] == {"numpy": metadata.version("numpy")}
    assert found["cores"] >= 1 and found["python"].startswith("3.")
