import hashlib
import os
import stat
from pathlib import Path

import pytest

from showtell.files import replacing, sha256, write_text


def test_writes_a_new_file_and_replaces_an_old_one(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    for text in ("first", "صورة"):
        write_text(path, text)
        assert path.read_text(encoding="utf-8") == text
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_content_and_no_litter(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(b"old")
    with pytest.raises(type(error)), replacing(path) as temporary:
        temporary.write_bytes(b"half of the ne")
        raise error
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_a_first_failure_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError), replacing(tmp_path / "new"):
        raise ValueError
    assert not list(tmp_path.iterdir())


def test_a_rename_that_fails_leaves_no_litter(tmp_path: Path) -> None:
    folder = tmp_path / "taken"
    folder.mkdir()
    with pytest.raises(OSError), replacing(folder) as temporary:
        temporary.write_bytes(b"new")
    assert list(tmp_path.iterdir()) == [folder]


def test_nothing_is_seen_before_the_end(tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    path.write_text("old")
    with replacing(path) as temporary:
        assert temporary.parent == tmp_path  # one file system: the rename is atomic
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_result_has_the_mode_of_an_ordinary_file(tmp_path: Path, umask: int, mode: int) -> None:
    path = tmp_path / "result"
    before = os.umask(umask)
    try:
        write_text(path, "x")
        assert os.umask(umask) == umask  # as it was
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_sha256_of_a_file_longer_than_a_block(tmp_path: Path) -> None:
    for size in (0, 1, 1 << 20, (1 << 20) + 7):
        content = bytes(range(256)) * (size // 256 + 1)
        path = tmp_path / "file"
        path.write_bytes(content[:size])
        assert sha256(path) == hashlib.sha256(content[:size]).hexdigest()
