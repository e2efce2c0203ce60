"""Model, folders, text and the trial, each with what breaks it."""

import json
import shutil
import sys
from pathlib import Path

import pytest
from tests import tiny_bundle

from showtell import terminal
from showtell.cache_folder import cache_folder
from showtell.core.bundle import MANIFEST
from showtell.diagnosis import model, text, trial
from showtell.diagnosis.folders import examine_folders, folder_facts
from showtell.diagnosis.text import examine_encoding, examine_fonts
from showtell.view import typefaces


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return tiny_bundle.write(tmp_path / "bundle", tmp_path / "parts")


def test_a_model_that_is_intact(bundle: Path) -> None:
    findings = model.examine_model(bundle)
    raw = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    assert findings.problems == [] and findings.facts["intact"]
    assert (findings.facts["languages"], findings.facts["sha256"]) == (raw["languages"], raw["checksum"])
    assert findings.facts["size"] == sum(file.stat().st_size for file in bundle.iterdir())


@pytest.mark.parametrize(
    ("damage", "found", "mend"),
    [
        (lambda f: (f / "encoder.onnx").write_bytes(b"\0"), "encoder.onnx: found 1 bytes", "src/showtell"),
        (lambda f: (f / "tokenizer.json").unlink(), "tokenizer.json: cannot be read", "src/showtell"),
        (lambda f: (f / MANIFEST).write_bytes(b"{"), "bundle.json cannot be read", "src/showtell"),
        (lambda f: (f / MANIFEST).write_bytes(b"[]"), "bundle.json cannot be read", "src/showtell"),
        (lambda f: shutil.rmtree(f), "bundle.json cannot be read", "src/showtell"),
        (
            lambda f: (f / "decoder.onnx").write_bytes(b"version https://git-lfs.github.com/spec/v1\n"),
            "decoder.onnx: found a Git LFS pointer",
            "run `git lfs pull`",
        ),
    ],
)
def test_a_damaged_model(damage: object, found: str, mend: str, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "reinstall_hint", lambda: "run: git checkout -- src/showtell")
    damage(bundle)  # type: ignore[operator]
    findings = model.examine_model(bundle)
    (problem,) = findings.problems
    assert found in problem.found and mend in problem.mend and not findings.facts["intact"]


def test_a_cache_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SHOWTELL_CACHE", str(tmp_path / "file" / "cache"))
    findings = examine_folders()
    (problem,) = findings.problems
    assert str(tmp_path / "file" / "cache") in problem.found and "export SHOWTELL_CACHE=" in problem.mend
    monkeypatch.setenv("SHOWTELL_CACHE", str(tmp_path / "new"))
    assert examine_folders().problems == [] and not (tmp_path / "new").exists()


def test_the_facts_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(1000))
    facts = folder_facts(tmp_path)
    assert (facts["exists"], facts["writable"], facts["size"]) == (True, True, 1000) and facts["free"] > 0
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


def test_the_cache_is_in_the_users_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOWTELL_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # Linux
    monkeypatch.setattr(sys, "platform", "linux")
    assert cache_folder() == tmp_path / "showtell"


def test_an_encoding_without_the_models_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stream:
        encoding = "latin-1"

    monkeypatch.setattr(text, "stdout", Stream)
    (problem,) = examine_encoding().problems
    assert "latin-1" in problem.found and problem.mend == "run: export PYTHONUTF8=1"
    Stream.encoding = "utf-8"
    assert examine_encoding().problems == []
    assert terminal.stdout() is not Stream


def test_fonts_by_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typefaces, "book", lambda: typefaces.FontBook([tmp_path], has_layout=False))
    languages = ("az", "en", "ar", "th", "zh")
    found = examine_fonts(languages).facts
    assert found["scripts"] == {"Latin": "own", "Arabic": "own", "Thai": "no font", "Chinese": "no font"}
    ticks = iter([0.0, 1.0, 2.0, 2.5, 4.0, 5.0])
    slow = examine_fonts(languages, lambda: next(ticks)).facts
    assert (set(slow["scripts"]), slow["not_examined"]) == ({"Latin", "Arabic"}, ["Chinese", "Thai"])


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import os; os.abort()", "ended by signal 6"),
        ("import sys; sys.exit('Illegal instruction')", "exit code 1, Illegal instruction"),
        ('print(\'{"error": "BadBundle: no"}\')', "BadBundle: no"),
        ("print('[1')", "exit code 0"),
    ],
)
def test_a_trial_that_fails(program: str, reason: str) -> None:
    findings = trial.examine_captioning([sys.executable, "-S", "-c", program])
    assert findings.facts == {"works": False, "error": reason}
    assert [problem.found for problem in findings.problems] == [f"captioning fails: {reason}"]


def test_a_trial_that_hangs_or_cannot_start(tmp_path: Path) -> None:
    hanging = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]
    assert trial.examine_captioning(hanging, limit=0.1).facts["error"] == "no caption within 0.1 s"
    assert "cannot be started" in trial.examine_captioning([str(tmp_path / "none")]).facts["error"]


def test_the_trial_is_not_misled_by_files_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "random.py").write_text("raise ImportError('my own random.py')")
    monkeypatch.chdir(tmp_path)
    assert trial.examine_captioning().facts["works"] is True


def test_the_trials_own_program(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    trial.main()
    assert "CPUExecutionProvider" in json.loads(capsys.readouterr().out)["providers"]
    monkeypatch.setattr("showtell.core.captioner.Captioner.load", lambda: 1 / 0)
    trial.main()
    assert json.loads(capsys.readouterr().out) == {"error": "ZeroDivisionError: division by zero"}
