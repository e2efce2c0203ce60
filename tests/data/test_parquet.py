import io
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from showtell.core.image import load_image
from showtell.data.parquet import read_parquet
from showtell.data.spec import read_samples
from showtell.errors import BadData


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
