"""What of the data is recorded, and which changes are noticed."""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from showtell.data.containers import FileSlice
from showtell.data.spec import read_samples
from showtell.errors import BadConfig, BadData
from showtell.records import FeatureRow, Sample
from showtell.train.data_record import ENDS, SampleRecord, changes, read_records, record_samples, write_records


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    made = []
    for name, split in (("a", "train"), ("b", "train"), ("c", "train"), ("d", "dev"), ("e", "test")):
        (tmp_path / name).write_bytes(name.encode() * 3 * ENDS)
        made.append(Sample(name, tmp_path / name, (f"{name} 1", f"{name} 2"), split, "en"))
    return made


def rewrite(samples: Sequence[Sample], index: int, content: bytes) -> None:
    path = samples[index].image
    assert isinstance(path, Path)
    path.write_bytes(content)
    os.utime(path, ns=(1, 1))


def middle(samples: list[Sample]) -> list[Sample]:
    """The one change of a file that is not noticed."""
    rewrite(samples, 0, b"a" * ENDS + b"x" * ENDS + b"a" * ENDS)
    return samples


def same_size(samples: list[Sample]) -> list[Sample]:
    rewrite(samples, 0, b"a" * (3 * ENDS - 1) + b"x")
    return samples


def copied(samples: list[Sample]) -> list[Sample]:
    rewrite(samples, 0, b"a" * 3 * ENDS)
    return samples


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda s: s, []),
        (copied, []),
        (middle, []),
        (same_size, ["1 photo replaced by another (a)"]),
        (lambda s: s[1:], ["1 photo gone (a)"]),
        (lambda s: [*s, replace(s[0], name="f"), replace(s[0], name="g")], ["2 photos added (f, g)"]),
        (lambda s: [s[0], replace(s[1], captions=("b 1",)), *s[2:]], ["1 photo with other captions (b)"]),
        (lambda s: [replace(s[0], captions=s[0].captions[::-1]), *s[1:]], ["1 photo with other captions (a)"]),
        (lambda s: [replace(s[0], split="dev"), *s[1:]], ["1 photo in another split (a)"]),
        (lambda s: [replace(s[0], split="test"), *s[1:]], ["1 photo gone (a)"]),
        (lambda s: [s[1], s[0], *s[2:]], ["the order of the photos"]),
        (lambda s: [*s[:4], replace(s[4], captions=("other",))], []),
        (lambda s: [replace(s[3], language="ar"), *s], ["1 photo added (d)"]),
        (
            lambda s: [replace(s[2], captions=("x",)), replace(s[0], name="z")],
            ["1 photo added (z)", "3 photos gone (a, b, d)", "1 photo with other captions (c)"],
        ),
    ],
)
def test_changes(
    samples: list[Sample], tmp_path: Path, change: Callable[[list[Sample]], list[Sample]], expected: list[str]
) -> None:
    write_records(tmp_path / "data.jsonl", record_samples(samples))
    before = read_records(tmp_path / "data.jsonl")
    assert before == record_samples(samples)
    assert changes(before, record_samples(change(samples), before)) == expected


def test_files_of_sentences(samples: list[Sample], tmp_path: Path) -> None:
    for name in ("one.txt", "two.txt"):
        (tmp_path / name).write_text(f"a sentence of {name}\n", encoding="utf-8")
    files = [f"en={tmp_path}/one.txt", f"de={tmp_path}/two.txt"]
    before = record_samples(samples, sentence_files=files)
    assert changes(before, record_samples(samples, before, files)) == []
    (tmp_path / "two.txt").write_text("another\n", encoding="utf-8")
    assert changes(before, record_samples(samples, before, files)) == [f"1 file of sentences changed ({files[1][3:]})"]
    (tmp_path / "one.txt").unlink()
    with pytest.raises(BadData, match=r"one\.txt.*No such file"):
        record_samples(samples, before, files)


def test_unchanged_files_are_not_opened_again(samples: list[Sample], monkeypatch: pytest.MonkeyPatch) -> None:
    before = record_samples(samples)
    monkeypatch.setattr(Path, "open", lambda *arguments: pytest.fail("a file was opened"))
    assert record_samples(samples, before) == before


@pytest.mark.parametrize("size", [0, 1, ENDS, ENDS + 1, 3 * ENDS])
def test_a_slice_of_a_file_is_recorded_like_a_file_of_its_own(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "whole").write_bytes(content)
    (tmp_path / "tar").write_bytes(b"before" + content + b"after")
    sliced = FileSlice(tmp_path / "tar", 6, size, 0)
    (whole,), (part,) = (
        record_samples([Sample("a", image, ("A",), "train", "en")]) for image in (tmp_path / "whole", sliced)
    )
    assert (whole.size, whole.content) == (part.size, part.content)


def test_photos_in_a_parquet_file_are_known_by_its_content_and_their_place(tmp_path: Path) -> None:
    table = tmp_path / "a.parquet"

    def record(photo: bytes, when: int, before: Sequence[SampleRecord] = ()) -> list[SampleRecord]:
        columns = {"image": [photo, b"second", b"third"], "caption": ["A", "B", "C"], "split": ["train"] * 3}
        pyarrow.parquet.write_table(pyarrow.table(columns), table, row_group_size=2)
        os.utime(table, ns=(when, when))
        return record_samples(read_samples(f"parquet:{table}"), before)

    before = record(b"first", 1)
    assert len({record.content for record in before}) == 3
    assert changes(before, record(b"first", 2, before)) == []
    assert changes(before, record(b"other", 3, before))[0].startswith("3 photos replaced by another")
    # Earlier versions recorded the table's path and time.
    images = [sample.image for sample in read_samples(f"parquet:{table}")]
    names = [hashlib.sha256(repr(image).encode()).hexdigest()[:16] for image in images]
    earlier = [r._replace(size=None, modified=None, content=name) for r, name in zip(before, names, strict=True)]
    assert changes(earlier, record(b"other", 3, earlier)) == []


def test_the_ends_of_a_parquet_file_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = {"image": [b"x"] * 50, "caption": ["A"] * 50, "split": ["train"] * 50}
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "b.parquet")
    samples = read_samples(f"parquet:{tmp_path}/b.parquet")
    opened: list[Path] = []
    path_open = Path.open
    monkeypatch.setattr("showtell.train.data_record.LOADER_THREADS", 1)
    monkeypatch.setattr(Path, "open", lambda path, *arguments: opened.append(path) or path_open(path, *arguments))
    assert len(record_samples(samples)) == 50 and len(opened) == 1


def test_drawings_and_features_have_no_files() -> None:
    drawn = record_samples(read_samples("shapes:3"))
    assert len(drawn) > 3 and changes(drawn, record_samples(read_samples("shapes:3"))) == []
    assert "replaced by another" in changes(drawn, record_samples(read_samples("shapes:3,seed=1")))[0]
    rows = [record_samples([Sample("a", FeatureRow(Path("f"), row), ("A",), "train", "en")]) for row in (0, 1)]
    assert changes(*rows) == ["1 photo replaced by another (a)"]


def test_a_photo_that_is_gone_and_a_record_that_is_damaged(tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"gone\.jpg: found no way to read it .*`showtell data check`"):
        record_samples([Sample("a", tmp_path / "gone.jpg", ("A",), "train", "en")])
    for text in ("{", "[1]\n", '["a", "en", "train", "x", 1, 2, "y", 4]\n'):
        (tmp_path / "data.jsonl").write_text(text)
        with pytest.raises(BadConfig, match="not the record of a run's data"):
            read_records(tmp_path / "data.jsonl")
