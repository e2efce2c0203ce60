"""The whole chain: drawings are learned from nothing, exported, and captioned by the torch-free runtime.

Every step is the command a user types.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests import skips

pytestmark = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("torch", "timm", "onnx")),
    reason=skips.PACKAGES,
)


def showtell(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "showtell", *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "SHOWTELL_CACHE": str(folder / "cache")},
        capture_output=True,
        text=True,
        encoding="utf-8",
    )


def test_shapes_are_learned_and_survive_export(tmp_path: Path) -> None:
    trained = showtell(tmp_path, "train", "shapes")
    assert trained.returncode == 0, trained.stderr
    exported = showtell(tmp_path, "export", "runs/shapes", "bundle")
    assert exported.returncode == 0, exported.stderr
    where = ["--model", "bundle", "--data", "shapes:2000", "--split", "test", "--output", "test.jsonl"]
    evaluated = showtell(tmp_path, "evaluate", *where, "--report", "-")
    assert evaluated.returncode == 0, evaluated.stderr
    report = json.loads(evaluated.stdout)
    assert report["images"] == 200
    assert report["scores"]["BLEU-4"]["value"] >= 0.9
    # BLEU hardly minds a wrong left or right; a caption is true only if it is one of the drawing's sentences.
    assert exact(tmp_path) >= 0.6
    assert (tmp_path / "runs/shapes/curves.png").read_bytes().startswith(b"\x89PNG")
    card = (tmp_path / "bundle/README.md").read_text(encoding="utf-8")
    assert "shapes:2000" in card and str(tmp_path) not in card


def exact(folder: Path) -> float:
    from showtell.data.spec import read_samples, select_split

    truths = {s.name: s.captions for s in select_split(read_samples("shapes:2000"), "test")}
    rows = [json.loads(line) for line in (folder / "test.jsonl").read_text(encoding="utf-8").splitlines()]
    return sum(row["caption"] in truths[row["image"]] for row in rows) / len(rows)
