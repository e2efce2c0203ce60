"""What is written by hand, read by safetensors, and the other way round."""

from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from showtell.train.large_tensor import map_large, write_large

LARGE = np.random.default_rng(0).normal(size=(7, 3, 5)).astype(np.float16)
OTHERS = {
    "samples": np.frombuffer(b"odd in length", np.uint8),
    "pca.mean": np.arange(5, dtype=np.float32),
    "pca.components": np.ones((2, 5), np.float32),
}


def test_safetensors_reads_what_was_written_in_blocks(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_large(path, LARGE.shape, iter([LARGE[:4], LARGE[4:6], LARGE[6:]]), OTHERS, {"format": "x", "text": "é"})
    found = load_file(str(path))
    assert set(found) == {"features", *OTHERS}
    for name, array in {"features": LARGE, **OTHERS}.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
    with safe_open(str(path), "numpy") as file:
        assert file.metadata() == {"format": "x", "text": "é"}
    mapped = map_large(path)
    np.testing.assert_array_equal(mapped, LARGE)
    assert mapped.flags.aligned  # though a text of odd length is in the file


def test_the_map_is_what_safetensors_wrote(tmp_path: Path) -> None:
    save_file({"features": LARGE, **OTHERS}, str(tmp_path / "file"))
    mapped = map_large(tmp_path / "file")
    assert isinstance(mapped, np.memmap)
    np.testing.assert_array_equal(mapped, LARGE)


@pytest.mark.parametrize("blocks", [[LARGE[:4]], [LARGE, LARGE[:1]]])
def test_blocks_must_fill_the_tensor(tmp_path: Path, blocks: list[np.ndarray]) -> None:
    with pytest.raises(ValueError, match=r"blocks of another size than \(7, 3, 5\)"):
        write_large(tmp_path / "file", LARGE.shape, blocks, OTHERS, {})


@pytest.mark.parametrize("array", [LARGE.astype(np.float32), LARGE[0]])
def test_features_of_another_kind(tmp_path: Path, array: np.ndarray) -> None:
    save_file({"features": array}, str(tmp_path / "file"))
    with pytest.raises(ValueError, match="features of type"):
        map_large(tmp_path / "file")
