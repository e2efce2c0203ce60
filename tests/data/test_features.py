"""The reader of feature files, on files that are made here by safetensors itself."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from showtell.data.features import FORMAT, read_features
from showtell.data.spec import read_samples
from showtell.errors import BadData
from showtell.records import FeatureRow

ROWS = [
    {"name": "a.jpg", "row": 0, "split": "train", "language": "en", "captions": ["a dog", "a brown dog"]},
    {"name": "a.jpg", "row": 0, "split": "train", "language": "ar", "captions": ["كلب"]},
    {"name": "b.jpg", "row": 1, "split": "dev", "language": "en", "captions": ["a cat"]},
]


def write(path: Path, rows: object = ROWS, notes: dict[str, str] | None = None) -> Path:
    text = rows if isinstance(rows, bytes) else "\n".join(json.dumps(row) for row in rows).encode()
    tensors = {"features": np.zeros((2, 1, 4), np.float16), "samples": np.frombuffer(text, np.uint8)}
    save_file(tensors, str(path), {"format": FORMAT} if notes is None else notes)
    return path


def test_captions_splits_and_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "file")
    assert [
        (s.name, s.captions, s.split, s.language, s.image) for s in read_samples(f"features:{path}", ["en", "ar"])
    ] == [
        ("a.jpg", ("a dog", "a brown dog"), "train", "en", FeatureRow(path, 0)),
        ("a.jpg", ("كلب",), "train", "ar", FeatureRow(path, 0)),
        ("b.jpg", ("a cat",), "dev", "en", FeatureRow(path, 1)),
    ]
    assert [s.name for s in read_samples(f"features:{path}", ["ar"])] == ["a.jpg"]


@pytest.mark.parametrize(
    ("rows", "notes", "message"),
    [
        (
            ROWS,
            {"format": "showtell features 9"},
            "found the format 'showtell features 9'; expected 'showtell features 1'",
        ),
        (ROWS, {}, "found the format None"),
        (b"{", None, "found broken captions"),
        (b"[1]", None, "found broken captions"),
        (b"\xff\xfe", None, "found nothing that can be read"),
        ([{**ROWS[0], "row": "first"}], None, "found broken captions"),
        ([{key: value for key, value in ROWS[0].items() if key != "split"}], None, "found broken captions .'split'."),
        (ROWS[1:2], None, "found captions in ar only; expected captions in en"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path: Path, rows: object, notes: dict[str, str] | None, message: str) -> None:
    path = write(tmp_path / "file", rows, notes)
    with pytest.raises(BadData, match=message) as caught:
        read_features(str(path), ["en"])
    assert "\n" not in str(caught.value) and str(caught.value).startswith(str(path))


def test_weights_are_no_features(tmp_path: Path) -> None:
    save_file({"conv.weight": np.zeros(3, np.float32)}, str(tmp_path / "file"))
    with pytest.raises(BadData, match=r"expected 'showtell features 1': a file that `showtell data features` wrote"):
        read_features(str(tmp_path / "file"), ["en"])
