"""The notebooks of `examples/` run from the first cell to the last, in a folder of their own."""

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from tests import skips

ROOT = Path(__file__).parents[1]
nbformat = pytest.importorskip("nbformat", reason=skips.PACKAGES)
nbclient = pytest.importorskip("nbclient", reason=skips.PACKAGES)
pytest.importorskip("torch", reason=skips.PACKAGES)


def read(name: str) -> Any:
    return nbformat.read(ROOT / "examples" / name, as_version=4)


def run(
    notebook: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, changes: Mapping[str, str] = MappingProxyType({})
) -> list[str]:
    """The output of each code cell: texts, and the types of what is shown. `changes` in the text of its cells."""
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    monkeypatch.setenv("SHOWTELL_CACHE", str(folder / "cache"))
    for cell in notebook.cells:
        for before, after in changes.items():
            cell.source = cell.source.replace(before, after)
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return ["\n".join(shown(output) for output in cell.outputs) for cell in cells]


def shown(output: Any) -> str:
    return str(output.text) if output.output_type == "stream" else " ".join(output.data)


def test_captioning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("dog.jpg", "gate.jpg"):
        shutil.copy(ROOT / "examples" / name, tmp_path)
    _, _, one, several, many, _, folder, refused, attention = run(read("captioning.ipynb"), tmp_path, monkeypatch)
    assert "(confidence 0." in one and "image/jpeg" in one
    assert several.startswith("en ") and "greedy: " in several
    assert many.splitlines()[-1] == "missing.jpg -> missing: no such file" and len(many.splitlines()) == 3
    assert "2 captioned, 0 failed" in folder and 'dog.jpg", "caption": ' in folder
    assert "url_refused" in refused and "exit code" in refused
    assert "image/jpeg" in attention


@pytest.mark.long
def test_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = {"train.epochs=12": "train.epochs=1", "shapes:300": "shapes:60"}
    _, data, drawn, forecast, training, curves, scores, captions = run(
        read("training.ipynb"), tmp_path, monkeypatch, quick
    )
    assert "images checked" in data and "image/png" in drawn and "image/png" in curves
    assert "in all: " in forecast and "best: epoch 1" in training and "CIDEr" in scores
    assert captions.count("| people: ") == 3
    assert (tmp_path / "my-model" / "bundle.json").exists()


@pytest.mark.parametrize("name", ["captioning.ipynb", "training.ipynb"])
def test_kept_outputs_are_those_of_a_whole_run(name: str) -> None:
    cells = [cell for cell in read(name).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert all(output.output_type != "error" for cell in cells for output in cell.outputs)
    assert str(ROOT) not in (ROOT / "examples" / name).read_text(encoding="utf-8")
