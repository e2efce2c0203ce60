"""`showtell doctor` and `showtell --version` as a user runs them."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.in_process import showtell

from showtell import __version__
from showtell.cli.doctor_report import DESCRIPTIONS
from showtell.core.bundle import builtin
from showtell.diagnosis import examination
from showtell.diagnosis.findings import Findings

ROOT = Path(__file__).parents[2]
BUNDLE = json.loads((builtin() / "bundle.json").read_text(encoding="utf-8"))


def process(*arguments: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "HOME": str(home), **environment}
    command = [sys.executable, "-m", "showtell", *arguments]
    return subprocess.run(command, env=variables, capture_output=True, encoding="utf-8")


@pytest.fixture
def works(monkeypatch: pytest.MonkeyPatch) -> None:
    """Captioning is not tried, which takes a process."""
    facts = {"works": True, "seconds": 1.0, "providers": ["CPUExecutionProvider"]}
    monkeypatch.setattr(examination, "PARTS", {**examination.PARTS, "captioning": lambda: Findings(facts)})
    monkeypatch.setattr(examination.examine_all, "__defaults__", (examination.PARTS,))


@pytest.mark.usefixtures("works")
def test_every_part_is_described_and_the_json_has_the_same_parts() -> None:
    done = showtell("doctor")
    assert (done.returncode, done.stderr) == (0, "")
    parts = [line.split()[0] for line in done.stdout.split("\n\n")[0].splitlines() if not line.startswith(" ")]
    assert parts == list(DESCRIPTIONS) == list(examination.PARTS)
    report = json.loads(showtell("doctor", "--json").stdout)
    assert list(report) == [*parts, "problems"]
    assert report["installation"]["showtell"] == __version__ and report["model"]["intact"] is True


@pytest.mark.usefixtures("works")
def test_a_part_that_cannot_be_examined_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(examination.PARTS, "fonts", lambda: 1 / 0)  # type: ignore[arg-type]
    done = showtell("doctor")
    assert done.returncode == 0 and "\nfolders" in done.stdout and "\nfonts" not in done.stdout
    assert "\n- fonts: cannot be examined (ZeroDivisionError: division by zero); run: " in done.stdout


def test_half_of_it_is_broken(tmp_path: Path) -> None:
    """A copy of the package with a damaged model, a file in the place of the cache, and a locale that there is none of.
    A real process: the trial starts another one, which must read the same copy."""
    copy = tmp_path / "me" / "src"
    shutil.copytree(ROOT / "src", copy, ignore=shutil.ignore_patterns("__pycache__"))
    model = copy / "showtell" / "models" / "default"
    (model / "encoder.onnx").write_bytes(b"damaged")
    (tmp_path / "me" / "cache").touch()
    done = process(
        "doctor",
        home=tmp_path / "me",
        PYTHONPATH=str(copy),
        SHOWTELL_CACHE=str(tmp_path / "me" / "cache" / "showtell"),
        LC_ALL="xx_XX.NONE",
        PYTHONIOENCODING="ascii",
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert str(tmp_path / "me") not in done.stdout and "torch" not in done.stdout.split("captioning")[-1]
    assert re.search(
        r"^captioning +fails: BadBundle: ~/src/showtell/models/default/encoder.onnx: found 7", done.stdout, re.M
    )
    problems = [line for line in done.stdout.splitlines() if line.startswith("- ")]
    assert all("; run" in problem or "export " in problem for problem in problems)
    for start in ("- built-in model: ~/src/", "- cache folder ~/cache/showtell: ", "- stdout is ascii: "):
        assert sum(problem.startswith(start) for problem in problems) == 1, start


def test_no_torch_is_imported() -> None:
    program = (
        "import sys\nfrom showtell.diagnosis.examination import PARTS, examine_all\n"
        "examine_all({name: part for name, part in PARTS.items() if name != 'captioning'})\n"
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"torch", "onnxruntime", "openvino", "transformers"} & set(done.stdout.split())


def test_the_version_names_model_and_runtimes() -> None:
    lines = showtell("--version").stdout.splitlines()
    assert lines[0] == f"showtell {__version__}"
    languages, digits = ", ".join(BUNDLE["languages"]), BUNDLE["checksum"][:12]
    assert lines[1] == f"built-in model default: {languages}; sha256 {digits}"
    assert any(line.startswith("onnxruntime") for line in lines[2:])


def test_the_version_of_a_damaged_installation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("showtell.core.bundle.builtin", lambda: tmp_path)
    lines = showtell("--version").stdout.splitlines()
    assert lines[:2] == [f"showtell {__version__}", "built-in model: cannot be read; run: showtell doctor"]


def test_bash_completes_after_installing(tmp_path: Path) -> None:
    """In a new home folder, as docs/command_line.md says: install, open a shell, press Tab."""
    if shutil.which("bash") is None:
        pytest.skip("bash is missing")
    program = tmp_path / "bin" / "showtell"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nfrom showtell.cli.main import main\nmain()\n")
    program.chmod(0o755)
    environment = {
        "HOME": str(tmp_path),
        "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(map(str, sys.path)),
    }
    script = (
        "showtell --install-completion bash >/dev/null && . ~/.bashrc && "
        "f=$(complete -p showtell | sed 's/.*-F \\([^ ]*\\).*/\\1/') && "
        "COMP_WORDS=(showtell cal) COMP_CWORD=1 && $f showtell cal showtell && printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    done = subprocess.run(["bash", "--norc", "-c", script], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()) == (0, ["calibrate"]), done.stderr
