"""What is added to a bundle: a reranker, before a calibration that is made again."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests import skips
from tests.core.test_reranker import arrays

from showtell.core import bundle_updates
from showtell.core.bundle import MANIFEST, RERANKER, builtin, load_bundle
from showtell.core.bundle_updates import write_calibration, write_reranker
from showtell.core.confidence import Calibration
from showtell.core.reranker import load_reranker
from showtell.errors import BadBundle, OutputError
from showtell.files import sha256


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return Path(shutil.copytree(builtin(), tmp_path / "model"))


def read(bundle: Path) -> dict[str, Any]:
    raw: dict[str, Any] = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    return raw


def test_a_reranker_is_written_and_replaced(bundle: Path) -> None:
    before = read(bundle)
    for width in (0.5, 0.25):
        write_calibration(bundle, {"en": Calibration(slope=1, intercept=0)})
        fingerprint = load_bundle(bundle).fingerprint
        write_reranker(bundle, arrays(width=width), weight=width)
        loaded = load_bundle(bundle)
        assert loaded.reranker == bundle / RERANKER and load_reranker(loaded.reranker, 2).width == width
        assert loaded.manifest.decode.rerank_weight == width
        assert loaded.manifest.calibration == {} and loaded.fingerprint != fingerprint
    after = read(bundle)
    for raw in (before, after):
        raw["files"].pop(RERANKER, None)
        raw["decode"].pop("rerank_weight", None)
        for name in ("calibration", "checksum"):
            raw.pop(name, None)
    assert after == before


def test_what_is_empty_stays(tmp_path: Path) -> None:
    """The manifest of an imported model has an empty section, without which it is none."""
    pytest.importorskip("onnx", reason=skips.PACKAGES)
    from tests import tiny_bundle

    tiny_bundle.write(tmp_path / "tiny", tmp_path / "parts")
    write_calibration(tmp_path / "tiny", {"en": Calibration(slope=1, intercept=0)})
    assert load_bundle(tmp_path / "tiny").manifest.model == {}


def test_arrays_that_are_no_reranker_are_not_written(bundle: Path) -> None:
    before = {file.name: sha256(file) for file in bundle.iterdir()}
    with pytest.raises(ValueError, match="no numbers"):
        write_reranker(bundle, arrays(centre=[np.nan, 0]), 3.0)
    assert {file.name: sha256(file) for file in bundle.iterdir()} == before


@pytest.mark.parametrize("damage", ["missing", "cut", "changed"])
def test_a_damaged_reranker_is_found(bundle: Path, damage: str) -> None:
    write_reranker(bundle, arrays(), 3.0)
    data = (bundle / RERANKER).read_bytes()
    (bundle / RERANKER).write_bytes(data[:-1] if damage == "cut" else data[:-1] + bytes([data[-1] ^ 1]))
    if damage == "missing":
        (bundle / RERANKER).unlink()
    with pytest.raises(BadBundle, match=r"reranker\.npz"):
        load_bundle(bundle)


def test_one_without_a_record_is_not_read(bundle: Path) -> None:
    """As it is between two steps of writing one."""
    write_reranker(bundle, arrays(), 3.0)
    raw = read(bundle)
    raw.pop("checksum")
    raw["files"].pop(RERANKER)
    (bundle / MANIFEST).write_text(json.dumps(raw), encoding="utf-8")
    assert load_bundle(bundle).reranker is None


def test_a_write_that_fails_leaves_a_bundle(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_reranker(bundle, arrays(), 3.0)
    old = sha256(bundle / RERANKER)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bundle_updates.np, "savez", full)
    with pytest.raises(OutputError, match="No space left"):
        write_reranker(bundle, arrays(width=0.25), 3.0)
    assert load_bundle(bundle).reranker is None and sha256(bundle / RERANKER) == old
    assert not list(bundle.glob("*.part"))
