import contextlib
import hashlib
import os
import stat
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests import skips

from showtell.errors import OutputError
from showtell.files import allocate, beside, is_stream, replacing, sha256, write_text


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


def test_a_name_of_255_bytes_leaves_room_for_the_temporary_one(tmp_path: Path) -> None:
    for name in ("n" * 251 + ".png", "é" * 127, "犬" * 85):
        write_text(tmp_path / name, name)
        assert (tmp_path / name).read_text(encoding="utf-8") == name


def test_names_beside_a_long_name_stay_distinct(tmp_path: Path) -> None:
    names = ["n" * 250, "n" * 251, "犬" * 80, "犬" * 79 + "x"]
    files = [beside(tmp_path / name, suffix, ".") for name in names for suffix in (".lock", ".partial")]
    assert len({file.name for file in files}) == len(files)
    for file in files:
        file.touch()
        assert file.name.startswith(".") and file.suffix in (".lock", ".partial")
    assert beside(tmp_path / "rows.csv", ".lock", ".") == tmp_path / ".rows.csv.lock"


def test_a_link_stays_and_its_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("file")
    for text in ("first", "second"):
        write_text(tmp_path / "link", text)
        assert (tmp_path / "link").is_symlink() and (tmp_path / "file").read_text() == text


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="this system keeps no shared memory in /dev/shm")
def test_a_file_in_shared_memory_is_a_file() -> None:
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as file:
        assert not is_stream(Path(file.name))
    assert is_stream(Path("/dev/null"))


def test_a_pipe_and_a_device_are_written_and_stay(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    received: list[str] = []
    reader = threading.Thread(target=lambda: received.append((tmp_path / "pipe").read_text()))
    reader.start()
    write_text(tmp_path / "pipe", "a report")
    reader.join()
    assert received == ["a report"] and (tmp_path / "pipe").is_fifo()
    write_text(Path("/dev/null"), "a report")
    assert Path("/dev/null").is_char_device()
    assert not list(Path(tempfile.gettempdir()).glob(".null.*.part"))


def _text(path: Path) -> None:
    path.write_text("x" * 10_000)


def _noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (99, 99, 3), np.uint8)


def _png(path: Path) -> None:
    Image.fromarray(_noise()).save(path, "PNG")


def _webp(path: Path) -> None:
    Image.fromarray(_noise()).save(path, "WEBP", lossless=True)


def _numpy(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, _noise())


def _safetensors(path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.numpy", reason=skips.PACKAGES)
    safetensors.save_file({"weights": _noise()}, str(path))


def _own_error(path: Path) -> None:
    """A library that tells nothing of the system's error."""
    with contextlib.suppress(OSError):
        path.write_bytes(bytes(10_000))
    raise RuntimeError("could not write")


@pytest.mark.parametrize("write", [_text, _png, _webp, _numpy, _safetensors, _own_error])
def test_a_full_disk_is_the_same_error_whatever_library_writes(
    write: Callable[[Path], None], tmp_path: Path, small_files: None
) -> None:
    path = tmp_path / "result"
    path.write_text("old")
    with pytest.raises(OutputError) as raised, replacing(path) as temporary:
        write(temporary)
    assert f"{path}: cannot be written (File too large)" in str(raised.value)
    assert isinstance(raised.value.__cause__, Exception)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_room_for_a_memory_map_is_asked_for_before(tmp_path: Path, small_files: None) -> None:
    allocate(tmp_path / "small", 3000)
    assert (tmp_path / "small").stat().st_size == 3000
    with pytest.raises(OutputError, match="File too large"):
        allocate(tmp_path / "large", 3001)
