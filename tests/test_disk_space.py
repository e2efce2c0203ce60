import shutil
from pathlib import Path

import pytest

from showtell.disk_space import free_bytes, size_in_words


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0.0 MB"), (300_000, "0.3 MB"), (38_949_999, "38.9 MB"), (1_000_000_000, "1.0 GB"), (2.26e9, "2.3 GB")],
)
def test_size_in_words(size: float, words: str) -> None:
    assert size_in_words(size) == words


def test_free_bytes_of_a_folder_that_is_not_there_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    asked = []
    monkeypatch.setattr(shutil, "disk_usage", lambda path: (asked.append(path), usage)[1])
    assert free_bytes(tmp_path / "not" / "yet") == usage.free and asked == [tmp_path]
