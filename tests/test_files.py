import contextlib
import errno
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
from tests.failing_disk import FailingDisk, Moment, fail

from showtell import files
from showtell.errors import OutputError
from showtell.files import (
    allocate,
    append_line,
    beside,
    is_stream,
    read_lines,
    remove_leftovers,
    replacing,
    sha256,
    write_text,
)


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


def test_a_new_name_is_on_the_disk_before_the_block_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut loses neither the content nor the name: both are synced, in this order."""
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    write_text(tmp_path / "result", "x")
    assert synced == [(tmp_path / "result").stat().st_ino, tmp_path.stat().st_ino]


def test_a_check_sees_the_whole_file_and_may_refuse_it(tmp_path: Path) -> None:
    path, seen = tmp_path / "state", []

    def check(file: Path) -> None:
        seen.append(file.read_text())
        if seen[-1] == "bad":
            raise ValueError("bad")

    for text in ("one", "two"):
        with replacing(path, check, tmp_path / "previous") as temporary:
            temporary.write_text(text)
    with pytest.raises(ValueError), replacing(path, check, tmp_path / "previous") as temporary:
        temporary.write_text("bad")
    assert (path.read_text(), (tmp_path / "previous").read_text()) == ("two", "one") and seen == ["one", "two", "bad"]


def test_what_a_killed_process_was_writing_is_removed_and_nothing_else(tmp_path: Path) -> None:
    kept = [tmp_path / name for name in ("state", "notes.part", ".hidden")]
    for file in kept:
        file.touch()
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "state") as temporary:
        left = temporary.with_name(temporary.name.replace("state", "other"))
        left.touch()
        raise KeyboardInterrupt
    remove_leftovers(tmp_path)
    assert not left.exists() and sorted(tmp_path.iterdir()) == sorted(kept)


# --- a file that grows by lines


@pytest.mark.parametrize("torn", ["", '{"half', "é" * 9000])
def test_lines_are_appended_after_what_a_killed_process_left(tmp_path: Path, torn: str) -> None:
    path = tmp_path / "log.jsonl"
    append_line(path, "first\u2028line")
    with path.open("a", encoding="utf-8") as file:
        file.write(torn)
    assert read_lines(path) == ["first\u2028line"]
    append_line(path, "ثان")
    assert path.read_text(encoding="utf-8") == "first\u2028line\nثان\n" and read_lines(path)[1] == "ثان"


def test_a_line_that_is_all_that_a_killed_process_wrote(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("half")
    assert read_lines(tmp_path / "log") == []
    append_line(tmp_path / "log", "whole")
    assert read_lines(tmp_path / "log") == ["whole"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
@pytest.mark.parametrize("moment", ["before", "half"])
def test_a_line_that_does_not_fit_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: Moment, number: int
) -> None:
    append_line(tmp_path / "log", "first")
    with monkeypatch.context() as patch, pytest.raises(OutputError, match="log: cannot be written"):
        patch.setattr(files, "disk", FailingDisk(1, moment, fail(number)))
        append_line(tmp_path / "log", "second")
    assert (tmp_path / "log").read_text() == "first\n"


def test_a_log_that_may_not_be_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        append_line(tmp_path / "absent" / "log", "x")


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
