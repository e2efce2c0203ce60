"""What a machine lacks, as the reasons of skips, and the line at the end of a run that sums the skips up.

A reason names what is missing and, in brackets, the command that brings it. With `CI=true` a run fails when tests were
skipped for a reason in `CI_HAS`, which `.ci/run` installs.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

CHROMIUM = "Chromium is missing (apt-get install chromium)"
JAVA = "Java is missing (apt-get install default-jre-headless)"
JDK = "a JDK is missing (apt-get install default-jdk-headless)"
CORENLP = "SPICE's Stanford CoreNLP is missing (showtell score --java SPICE fetches it)"
OLD_JAVA = "this Java is too new for pycocoevalcap's SPICE (put Java 8 to 14 on the PATH)"
PACKAGES = "Python packages are missing (pip install --editable '.[dev]')"
FLICKR8K = "Flickr8k is missing (see docs/data.md; its folder is ../shared/flickr8k)"

CI_HAS = frozenset({CHROMIUM, JAVA, JDK, PACKAGES})

IGNORED = pytest.StashKey[set[str]]()
"""Test files and folders that are not collected, since the packages that they import are missing."""
FAILS = pytest.StashKey[bool]()
"""Whether skips fail the run."""


def summary(tests: Mapping[str, int], ignored: int) -> str:
    """One line for skipped tests by reason and the number of files and folders that were not collected."""
    parts = [f"{count} test{'s' if count > 1 else ''} skipped: {reason}" for reason, count in tests.items()]
    if ignored:
        what = "files or folders" if ignored > 1 else "file or folder"
        parts.append(f"{ignored} {what} skipped: {PACKAGES}")
    return "; ".join(parts)


def skipped_tests(config: pytest.Config) -> Counter[str]:
    """Reasons with the number of skips, those of all workers of pytest-xdist among them; a module counts as one."""
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    reasons: Counter[str] = Counter()
    for report in reporter.stats.get("skipped", []):
        # (file, line, "Skipped: reason"); of an expected failure it is a traceback, and `wasxfail` has the reason
        if isinstance(report.longrepr, tuple | list):
            reasons[" ".join(report.longrepr[2].removeprefix("Skipped: ").split())] += 1
    return reasons


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A worker of pytest-xdist has ended."""
    node.config.stash.setdefault(IGNORED, set()).update(getattr(node, "workeroutput", {}).get("ignored", []))


def pytest_sessionfinish(session: pytest.Session) -> None:
    config = session.config
    if hasattr(config, "workeroutput"):
        config.workeroutput["ignored"] = sorted(config.stash.get(IGNORED, set()))
        return
    if os.environ.get("CI", "").lower() in ("1", "true") and session.exitstatus == pytest.ExitCode.OK:
        reasons = {*skipped_tests(config), *([PACKAGES] if config.stash.get(IGNORED, set()) else [])}
        if reasons & CI_HAS:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
            config.stash[FAILS] = True


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    tests, ignored = skipped_tests(config), len(config.stash.get(IGNORED, set()))
    if tests or ignored:
        fails = config.stash.get(FAILS, False)
        terminalreporter.write_line(summary(tests, ignored) + ("; with CI=true this fails the run" * fails))
