"""The line at the end of a run, in small runs of their own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests import skips

Run = Callable[..., tuple[int, list[str]]]

CONFTEST = """
from pathlib import Path
from tests import skips
from tests.skips import pytest_sessionfinish, pytest_terminal_summary, pytest_testnodedown

def pytest_ignore_collect(collection_path, config):
    if collection_path.name in ("nets", "test_serve.py"):
        config.stash.setdefault(skips.IGNORED, set()).add(collection_path.name)
        return True
"""
HEAD = "import pytest\nfrom tests import skips\n"
PASSES = "def test_passes():\n    pass\n"
XFAIL = "@pytest.mark.xfail(reason='known')\ndef test_xfail():\n    raise ValueError\n"


def skipping(*reasons: str) -> str:
    return "".join(f"def test_{n}():\n    pytest.skip({reason})\n" for n, reason in enumerate(reasons))


BOTH = pytest.mark.parametrize("run", [[], ["-n", "2"]], ids=["one process", "xdist"], indirect=True)
"""Under pytest-xdist, too; the other tests do not depend on it."""


@pytest.fixture
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """Runs test modules; gives the exit status and the lines that tell of skips."""

    def run(ci: str = "", **modules: str) -> tuple[int, list[str]]:
        (tmp_path / "conftest.py").write_text(CONFTEST)
        for name, body in modules.items():
            path = tmp_path.joinpath(*name.split("__")).with_suffix(".py")
            path.parent.mkdir(exist_ok=True)
            path.write_text(HEAD + body)
        command = [sys.executable, "-m", "pytest", "-q", "--rootdir", str(tmp_path), "-p", "no:cacheprovider"]
        root = str(Path(__file__).parents[1])
        path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = {**os.environ, "PYTHONPATH": path, "CI": ci}
        done = subprocess.run(
            [*command, *getattr(request, "param", []), str(tmp_path)],
            cwd=root,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.stderr == ""
        return done.returncode, [line for line in done.stdout.splitlines() if "skipped:" in line]

    return run


def test_nothing_is_said_of_nothing(run: Run) -> None:
    assert run("true", test_a=PASSES + XFAIL) == (0, [])


@BOTH
def test_one_line_by_reason_with_the_command(run: Run) -> None:
    status, lines = run(
        test_a=PASSES + skipping("skips.CHROMIUM", "skips.CHROMIUM"),
        test_b=PASSES + skipping("'root reads every folder'"),
        test_c="pytest.skip(skips.JAVA, allow_module_level=True)\n",
        nets__test_d=PASSES,
        test_serve=PASSES,
    )
    assert status == 0
    (line,) = lines
    assert set(line.split("; ")) == {
        "2 tests skipped: Chromium is missing (apt-get install chromium)",
        "1 test skipped: Java is missing (apt-get install default-jre-headless)",
        "1 test skipped: root reads every folder",
        "2 files or folders skipped: Python packages are missing (pip install --editable '.[dev]')",
    }


@pytest.mark.parametrize("reason", ["CHROMIUM", "JAVA", "JDK", "PACKAGES"])
def test_in_ci_what_it_installs_must_be_there(run: Run, reason: str) -> None:
    text = getattr(skips, reason)
    assert run("true", test_a=PASSES + skipping(f"skips.{reason}")) == (
        1,
        [f"1 test skipped: {text}; with CI=true this fails the run"],
    )


@BOTH
def test_in_ci_packages_of_uncollected_tests_must_be_there(run: Run) -> None:
    status, (line,) = run("true", test_a=PASSES, nets__test_d=PASSES)
    assert status == 1 and line.startswith("1 file or folder skipped: Python packages are missing")


def test_in_ci_other_skips_are_none_of_its_business(run: Run) -> None:
    assert run("true", test_a=PASSES + skipping("skips.OLD_JAVA"))[0] == 0
