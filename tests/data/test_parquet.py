import io
import pickle
import re
import sys
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from showtell.core.image import load_image
from showtell.data.containers import split_from_file_name
from showtell.data.parquet import ParquetImage, read_parquet
from showtell.data.spec import read_samples
from showtell.errors import BadData, BadImage, MissingExtra, MissingImages
from showtell.install import install_hint


def png(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (9, 9), (shade, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def write(path: Path, group: int = 2, **columns: list[object]) -> Path:
    pyarrow.parquet.write_table(pyarrow.table(columns), path, row_group_size=group)
    return path


def test_as_hugging_face_keeps_them(tmp_path: Path) -> None:
    photos = [{"bytes": png(n), "path": f"{n}.png"} for n in range(5)]
    captions = [[f"A dog {n} .", "A dog ."] for n in range(5)]
    splits = ["train", "train", "validation", "test", "train"]
    samples = read_samples(f"parquet:{write(tmp_path / 'a.parquet', image=photos, captions=captions, split=splits)}")
    assert [s.captions for s in samples] == [tuple(c) for c in captions]
    assert [s.split for s in samples] == ["train", "train", "dev", "test", "train"]
    assert len({s.name for s in samples}) == 5
    # In any order, across groups of rows.
    assert [load_image(samples[n].image).getpixel((0, 0))[0] for n in (4, 0, 3, 1, 2)] == [4, 0, 3, 1, 2]


def test_bytes_and_paths_and_several_files(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "x.png").write_bytes(png(7))
    write(tmp_path / "a.parquet", image=[png(3)], text=["A cat ."], language=["en"])
    write(tmp_path / "b.parquet", image=["photos/x.png"], caption=["A cow ."], language=["en"])
    samples = read_samples(f"parquet:{tmp_path}")
    assert [s.captions for s in samples] == [("A cat .",), ("A cow .",)]
    assert [load_image(s.image).getpixel((0, 0))[0] for s in samples] == [3, 7]


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"found no .parquet files"):
        read_parquet(str(tmp_path), ["en"])
    file = write(tmp_path / "a.parquet", image=[png(1)], title=["A cat ."])
    with pytest.raises(BadData, match=r"a.parquet: found the columns image, title; expected image, and caption or"):
        read_parquet(str(file), ["en"])
    whole = write(tmp_path / "a.parquet", image=[png(1)], caption=["A cat ."]).read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadData, match=r"a.parquet: found nothing that can be read"):
        read_parquet(str(file), ["en"])
    write(file, image=[png(1)], caption=[" "])
    with pytest.raises(BadData, match=r"found the captions ' ' in a-0000-000000"):
        read_parquet(str(file), ["en"])
    write(file, image=[png(1)], caption=["A"], split=["moon"])
    with pytest.raises(BadData, match=r"found the split 'moon'"):
        read_parquet(str(file), ["en"])
    write(file, image=[png(1)], caption=["A"], split=[1])
    with pytest.raises(BadData, match=r"found the split 1 in"):
        read_parquet(str(file), ["en"])
    write(file, image=[png(1)], caption=["A"], language=[1])
    with pytest.raises(BadData, match=r"found the language 1 in"):
        read_parquet(str(file), ["en"])
    write(file, image=[7], caption=["A"])
    with pytest.raises(BadData, match=r"found image of the type int64; expected bytes, paths"):
        read_parquet(str(file), ["en"])
    write(file, image=["a.png", None], caption=["A", "B"])
    with pytest.raises(BadData, match=r"found no image in a-0000-000001; expected a path"):
        read_parquet(str(file), ["en"])


def test_rows_of_one_path_are_captions_of_one_photo(tmp_path: Path) -> None:
    """Were they photos of their own, a hash would put them in different splits."""
    (tmp_path / "x.png").write_bytes(png(7))
    file = write(tmp_path / "a.parquet", image=["x.png"] * 3, caption=["A", "B", "C"], language=["en", "ar", "en"])
    samples = read_parquet(str(file), ["en", "ar"])
    assert [(s.name, s.captions, s.image) for s in samples] == [
        ("x.png", ("A", "C"), tmp_path / "x.png"),
        ("x.png", ("B",), tmp_path / "x.png"),
    ]
    assert [s.captions for s in read_parquet(str(file), ["ar"])] == [("B",)]
    (tmp_path / "x.png").unlink()
    with pytest.raises(MissingImages, match=r"found captions of 'x.png', but no file .*x.png"):
        read_parquet(str(file), ["en"])


def test_the_plainest_name_of_a_column_counts(tmp_path: Path) -> None:
    file = write(tmp_path / "a.parquet", file_name=["lost.png"], image=[png(5)], text=["No ."], caption=["A dog ."])
    [sample] = read_parquet(str(file), ["en"])
    assert (sample.captions, load_image(sample.image).getpixel((0, 0))) == (("A dog .",), (5, 0, 0))


def test_a_struct_may_name_a_file_or_nothing(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(png(7))
    photos = [{"bytes": None, "path": name} for name in ("x.png", "lost.png", None)]
    samples = read_parquet(str(write(tmp_path / "a.parquet", image=photos, caption=["A", "B", "C"])), ["en"])
    assert load_image(samples[0].image).getpixel((0, 0)) == (7, 0, 0)
    for sample, message in zip(samples[1:], (r"no such file", r"no photo in row 0 of group 1 of"), strict=True):
        with pytest.raises(BadImage, match=rf"^missing: {message}"):
            load_image(sample.image)


def test_only_the_latest_group_of_photos_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "a.parquet", image=[png(n) for n in range(6)], caption=["A dog ."] * 6)
    read = []
    table = pyarrow.parquet.ParquetFile

    class Counting(table):
        def read_row_group(self, group: int, columns: list[str]) -> pyarrow.Table:
            read.append((group, *columns))
            return super().read_row_group(group, columns=columns)

    monkeypatch.setattr(pyarrow.parquet, "ParquetFile", Counting)
    samples = read_parquet(str(file), ["en"])
    assert read == [(0, "caption"), (1, "caption"), (2, "caption")]
    read.clear()
    for sample in samples:
        load_image(sample.image)
    assert read == [(0, "image"), (1, "image"), (2, "image")]


def test_a_photo_travels_to_another_process_and_may_be_gone(tmp_path: Path) -> None:
    file = write(tmp_path / "a.parquet", image=[png(1)], caption=["A dog ."])
    sample, again = (read_parquet(str(file), ["en"])[0] for _ in range(2))
    assert repr(sample.image) == repr(again.image)
    assert pickle.loads(pickle.dumps(sample)) == sample  # noqa: S301 (our own bytes)
    assert isinstance(sample.image, ParquetImage)
    file.write_bytes(b"PAR1 and no more")
    with pytest.raises(BadImage, match=r"^unreadable: .*a.parquet"):
        load_image(sample.image)


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtra, match=rf"needs pyarrow, .*{re.escape(install_hint('data'))}"):
        read_parquet(str(tmp_path / "a.parquet"), ["en"])


def test_a_files_name_may_say_the_split(tmp_path: Path) -> None:
    names = {
        **{"train-00000-of-00001": "train", "Test-00000-of-00001": "test", "validation": "dev", "pets_VAL": "dev"},
        **{"cc3m-train-0000": "train", "dogs.test.1": "test", "train-val": "train"},
        **{"trainer-0": None, "a-train-test": None},
    }
    assert {name: split_from_file_name(tmp_path / f"{name}.parquet") for name in names} == names
    for name in list(names)[:4]:
        write(tmp_path / f"{name}.parquet", image=[png(len(name))], caption=["A cat ."])
    assert sorted(s.split for s in read_samples(f"parquet:{tmp_path}")) == ["dev", "dev", "test", "train"]


def test_names_as_they_are_written_elsewhere(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.PNG").write_bytes(png(1))
    file = write(tmp_path / "t.parquet", File_Name=["A\\1.png"], Sentence=["A dog"])
    (sample,) = read_parquet(str(file), ("en",))
    assert (sample.image, sample.captions) == (tmp_path / "a" / "1.PNG", ("A dog",))
    with pytest.raises(BadData, match=r"found '1\.png', which may be .* or .*; expected the path of one photo"):
        read_parquet(str(write(tmp_path / "t.parquet", image=["1.png"], caption=["A dog"])), ("en",))
