"""Files of rows: whose they are, and what of them remains."""

import csv
import errno
import json
import os
import shutil
import threading
from pathlib import Path

import pytest

from showtell.cli.output import RowFile
from showtell.errors import BadConfig, OutputClosed, OutputError
from showtell.records import Caption, CaptionRow

NAMES = ["a b.jpg", "a\nb.jpg", "a\r.jpg", "\x1b[31mred.jpg", "x\u2028y\x85.jpg", "\u202egpj", "=1+1.jpg", "\udcff.jpg"]


def row(name: str = "dog.jpg") -> CaptionRow:
    return CaptionRow(name, (Caption("a dog", -0.5, 0.5, (), "en"),))


def write(path: Path, *names: str) -> None:
    with RowFile(path, 1, 0.0) as file:
        for name in names:
            file.write(row(name))


def images(path: Path) -> list[str]:
    if ".csv" in path.name:
        with path.open(encoding="utf-8", newline="") as file:
            return [line["image"] for line in csv.DictReader(file)]
    return [json.loads(line)["image"] for line in path.read_text(encoding="utf-8").splitlines()]


def test_jsonl_has_a_line_per_row_and_every_name_exactly(tmp_path: Path) -> None:
    write(tmp_path / "rows.jsonl", *NAMES)
    assert images(tmp_path / "rows.jsonl") == NAMES  # by `splitlines`, which knows ten ways to end a line
    assert "\x1b" not in (tmp_path / "rows.jsonl").read_text(encoding="utf-8")


def test_csv_has_every_name_exactly(tmp_path: Path) -> None:
    write(tmp_path / "rows.CSV", *NAMES[:-1])
    assert images((tmp_path / "rows.CSV").rename(tmp_path / "rows.csv")) == NAMES[:-1]


@pytest.mark.parametrize(
    "name", ["rows.jsonl", "./rows.jsonl", "link.jsonl", "sub/../rows.jsonl", "elsewhere/rows.jsonl"]
)
def test_a_second_run_is_refused_by_whatever_name(name: str, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "link.jsonl").symlink_to("rows.jsonl")
    (tmp_path / "elsewhere").symlink_to(tmp_path)
    with RowFile(tmp_path / "rows.jsonl", 1, 0.0) as file:
        file.write(row())
        with pytest.raises(BadConfig, match=r"another run is writing it; wait until it ends, or give another name"):
            RowFile(Path(f"{tmp_path}/{name}"), 1, 0.0)
        write(tmp_path / "other.jsonl", "cat.jpg")
    assert images(tmp_path / "rows.jsonl") == ["dog.jpg"]
    write(tmp_path / "rows.jsonl", "late.jpg")
    assert images(tmp_path / "rows.jsonl") == ["late.jpg"]


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_what_interrupted_runs_left_stays(suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / f"rows{suffix}"
    for number in range(3):
        with pytest.raises(KeyboardInterrupt), RowFile(path, 1, 0.0) as file:
            file.write(row(f"{number}.jpg"))
            raise KeyboardInterrupt
    partial = [tmp_path / f"rows{suffix}.partial{end}" for end in ("", "-2", "-3")]
    assert capsys.readouterr().err.splitlines() == [
        f"showtell: the rows so far are in {partial[0]}",
        f"showtell: the rows of an interrupted run stay in {partial[0]}; this run begins anew",
        f"showtell: the rows so far are in {partial[1]}",
        f"showtell: the rows of an interrupted run stay in {partial[1]}; this run begins anew",
        f"showtell: the rows so far are in {partial[2]}",
    ]
    write(path, "whole.jpg")
    assert images(path) == ["whole.jpg"]
    assert [images(file) for file in partial] == [["0.jpg"], ["1.jpg"], ["2.jpg"]]


def test_without_locks_a_file_of_another_run_is_not_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(descriptor: int) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr("showtell.locks._lock", unsupported)
    with RowFile(tmp_path / "rows.jsonl", 1, 0.0) as first:
        with RowFile(tmp_path / "rows.jsonl", 1, 0.0) as second:
            second.write(row("second.jpg"))
        first.write(row("first.jpg"))
        assert images(tmp_path / "rows.jsonl") == ["second.jpg"]
    assert images(tmp_path / "rows.jsonl") == ["first.jpg"]


def test_a_run_without_rows_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for suffix in (".jsonl", ".csv"):
        with pytest.raises(ValueError), RowFile(tmp_path / f"rows{suffix}", 1, 0.0):
            raise ValueError
    (tmp_path / "killed.jsonl.partial").touch()  # of a run that was killed before its first row
    write(tmp_path / "killed.jsonl", "dog.jpg")
    assert [p.name for p in tmp_path.iterdir()] == ["killed.jsonl"] and capsys.readouterr().err == ""


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_a_disk_that_fills_up_keeps_whole_rows_and_says_where(suffix: str, tmp_path: Path, small_files: None) -> None:
    path, partial = tmp_path / f"rows{suffix}", tmp_path / f"rows{suffix}.partial"
    path.write_text("old")
    written = 0
    with pytest.raises(OutputError) as raised, RowFile(path, 1, 0.0) as file:
        for written in range(1000):
            file.write(row(f"{written}.jpg"))
    assert images(partial) == [f"{number}.jpg" for number in range(written)] and written > 10
    assert str(raised.value) == (
        f"--output {path}: cannot be written (File too large); the rows so far are in {partial}; raise the limit on "
        "file sizes (ulimit -f) and run the command again"
    )
    assert path.read_text() == "old"


@pytest.mark.parametrize(
    ("number", "advice"), [(errno.ENOSPC, "make room"), (errno.EDQUOT, "quota"), (errno.EIO, "disk")]
)
def test_every_failure_of_the_disk_has_its_reason(
    number: int, advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of a row, and at the end, when what was written reaches the disk."""

    def fail(*arguments: object) -> int:
        raise OSError(number, os.strerror(number))

    real_write = os.write
    for function, rows in (("write", ["0.jpg"]), ("fsync", ["0.jpg", "1.jpg"])):
        path = tmp_path / f"{function}.jsonl"
        with pytest.raises(OutputError, match=advice) as raised, RowFile(path, 1, 0.0) as file:
            file.write(row("0.jpg"))
            with monkeypatch.context() as patch:
                if function == "write":

                    def write_half(descriptor: int, data: memoryview) -> int:
                        patch.setattr(os, "write", fail)
                        return real_write(descriptor, data[: len(data) // 2])

                    patch.setattr(os, "write", write_half)
                file.write(row("1.jpg"))
            monkeypatch.setattr(os, function, fail)
        monkeypatch.undo()
        assert os.strerror(number) in str(raised.value) and f"{path}.partial" in str(raised.value)
        assert images(Path(f"{path}.partial")) == rows and not path.exists()


def test_a_folder_that_vanishes_loses_no_row(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(OutputError) as raised, RowFile(folder / "rows.jsonl", 1, 0.0) as file:
        file.write(row("0.jpg"))
        shutil.rmtree(folder)
        file.write(row("1.jpg"))
    place = Path(str(raised.value).partition("the rows so far are in ")[2].partition(";")[0])
    assert images(place) == ["0.jpg", "1.jpg"]
    place.unlink()


def test_a_partial_file_that_someone_replaces_is_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    with pytest.raises(OutputError), RowFile(path, 1, 0.0) as file:
        file.write(row())
        file.partial.unlink()
        file.partial.write_text("another's")
    assert file.partial.read_text() != "another's" and not path.exists()
    file.partial.unlink()


def test_a_link_stays_and_its_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    target, link = tmp_path / "store" / "rows.jsonl", tmp_path / "rows.jsonl"
    link.symlink_to(target)
    for name in ("new.jpg", "again.jpg"):
        write(link, name)
        assert link.is_symlink() and images(target) == [name]
    assert [p.name for p in target.parent.iterdir()] == ["rows.jsonl"]


def test_a_link_to_a_photo_and_an_input_are_refused(tmp_path: Path) -> None:
    photo, link, hard = tmp_path / "photo.jpg", tmp_path / "rows.jsonl", tmp_path / "same.csv"
    photo.write_bytes(b"photo")
    link.symlink_to(photo)
    with pytest.raises(BadConfig, match="is a link to"):
        RowFile(link, 1, 0.0)
    os.link(photo, hard)
    with pytest.raises(BadConfig, match="is one of the inputs"):
        RowFile(hard, 1, 0.0, inputs=["-", "gone.jpg", str(photo)])
    assert photo.read_bytes() == b"photo" and len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("name", ["n" * 249 + ".jsonl", "é" * 124 + "x.jsonl", "犬" * 83 + ".jsonl"])
def test_the_longest_names_that_a_file_system_takes(name: str, tmp_path: Path) -> None:
    assert len(os.fsencode(name)) == 255
    other = "m" + name[1:] if name[0] == "n" else name[0] + "m" + name[2:]  # begins and ends alike
    with RowFile(tmp_path / name, 1, 0.0) as file:
        file.write(row())
        if len(os.fsencode(other)) <= 255:
            write(tmp_path / other, "other.jpg")
    assert images(tmp_path / name) == ["dog.jpg"]


def test_a_pipe_gets_rows_as_they_come(tmp_path: Path) -> None:
    path, received = tmp_path / "rows.jsonl", []
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: received.append(path.read_text(encoding="utf-8")))
    reader.start()
    write(path, "a.jpg", "b.jpg")
    reader.join()
    assert [json.loads(line)["image"] for line in received[0].splitlines()] == ["a.jpg", "b.jpg"]
    assert path.is_fifo() and len(list(tmp_path.iterdir())) == 1


def test_a_pipe_without_a_reader_any_more(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    os.mkfifo(path)
    end = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(OutputClosed), RowFile(path, 1, 0.0) as file:
        os.close(end)
        file.write(row())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
def test_a_full_device(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").symlink_to("/dev/full")
    with pytest.raises(OutputError, match="No space left on device"):
        RowFile(tmp_path / "rows.csv", 1, 0.0)
    assert len(list(tmp_path.iterdir())) == 1 and Path("/dev/full").is_char_device()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(BadConfig, match="cannot be written"):
        RowFile(tmp_path / "rows.csv", 1, 0.0)
    tmp_path.chmod(0o700)
