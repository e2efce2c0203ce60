"""Containers of photos: what is read, when, and what a broken one becomes."""

from __future__ import annotations

import io
import itertools
import tarfile
import tracemalloc
from pathlib import Path

import pytest
from PIL import Image
from tests import bad_images

from showtell.bulk.sources import container_reader, count_inputs, find_inputs
from showtell.core.image import load_image
from showtell.core.photo_source import photo_source
from showtell.core.sources import ImageInput
from showtell.errors import BadConfig, BadImage


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def png(shade: int) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (32, 32), (shade, 0, 0)).save(data, "PNG")
    return data.getvalue()


def found(*names: str, column: str | None = None) -> list[tuple[str, object]]:
    """Key and red value, or code, of each input."""
    return [(image.path, red(image)) for image in find_inputs(names, column=column)]


def red(image: ImageInput) -> object:
    try:
        pixel = load_image(photo_source(image)).getpixel((0, 0))
    except BadImage as error:
        return error.code
    assert isinstance(pixel, tuple)
    return pixel[0]


def shard(path: str, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz" if path.endswith("gz") else "w") as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return Path(path)


SHARD = {
    "000.png": png(10),
    "000.txt": b"a caption",
    "000.json": b"{}",
    "dir/001.png": png(20),
    "._000.png": b"x",
    "002.PNG": b"no picture",
    "./003.left.png": png(30),
    ".git/000.png": png(1),
    "003.right.png": png(40),
}


@pytest.mark.parametrize("name", ["shard.tar", "shard.tar.gz", "shard.TGZ"])
def test_photos_of_a_tar_in_its_order(name: str) -> None:
    shard(name.lower(), SHARD).rename(name)
    expected = [("000.png", 10), ("dir/001.png", 20), ("002.PNG", "not_an_image")]
    expected += [("./003.left.png", 30), ("003.right.png", 40)]
    assert found(name) == [(f"{name}/{key}", value) for key, value in expected]
    assert sorted(path.name for path in Path().iterdir()) == [name]


@pytest.mark.parametrize("cut", [100, 1500, 7_000])
def test_a_tar_that_was_cut_gives_what_it_has_and_an_error(cut: int) -> None:
    path = shard("shard.tar", {f"{n:03}.png": png(n) for n in range(8)})
    path.write_bytes(path.read_bytes()[:cut])
    rows = found("shard.tar")
    assert rows[-1] == ("shard.tar", "truncated")
    assert rows[:-1] == [(f"shard.tar/{n:03}.png", n) for n in range(len(rows) - 1)] or rows[-2][1] == "truncated"


def test_a_tar_that_changes_while_it_is_read_gives_no_bytes_of_another_photo() -> None:
    path = shard("shard.tar", {f"{n:03}.png": png(n) for n in range(3)})
    images = find_inputs(["shard.tar"])
    first = next(images)
    shard("shard.tar", {f"{n:03}.png": png(100 + n) + bytes(n * 512) for n in range(3)})
    assert red(first) == "unreadable"
    path.unlink()
    assert red(next(images)) == "unreadable"


def test_memory_does_not_grow_with_a_tar() -> None:
    def peak(count: int) -> int:
        shard("shard.tar", {f"{n:09}.png": b"" for n in range(count)})
        tracemalloc.start()
        assert sum(1 for _ in find_inputs(["shard.tar"])) == count
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    peak(500)
    # A member takes a thousand bytes; a table of Python's own, of the parts of all paths, may grow meanwhile.
    assert peak(4000) < peak(500) + 2000 * 1000


TABLES = {
    "table.csv": "id,image,text\n7,a.png,x\n8,sub/b.png,\n9,,z\n10,https://example.org/c.png,\n",
    "table.tsv": "id\tfile_name\n7\ta.png\n8\tsub/b.png\n9\t\n10\thttps://example.org/c.png\n",
    "semicolon.csv": "id;image\n7;a.png\n8;sub/b.png\n9;\n10;https://example.org/c.png\n",
    "table.jsonl": '{"image": "a.png"}\n{"image": "sub/b.png"}\n\n{"image": null}\n{"image": "https://example.org/c.png"}\n',
}


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_photos_that_a_table_names_lie_beside_it(name: str, encoding: str) -> None:
    folder = Path("tables/sub")
    folder.mkdir(parents=True)
    Path("tables/a.png").write_bytes(png(10))
    Path("tables/sub/b.png").write_bytes(png(20))
    Path(f"tables/{name}").write_bytes(TABLES[name].encode(encoding))
    rows = found(f"tables/{name}")
    assert rows[:2] == [("a.png", 10), ("sub/b.png", 20)]
    assert rows[2] == (f"tables/{name}#4", "missing")
    assert rows[3:] == [("https://example.org/c.png", "missing")]  # `with_urls` fetches it


def test_a_column_by_its_name_and_one_that_is_not_there() -> None:
    Path("a.png").write_bytes(png(10))
    Path("table.csv").write_text("thumb,image\na.png,b.png\n")
    assert found("table.csv", column="thumb") == [("a.png", 10)]
    with pytest.raises(BadConfig, match=r"--column photo: table.csv has the columns thumb, image"):
        found("table.csv", column="photo")
    Path("table.csv").write_text("thumb,title\na.png,b\n")
    with pytest.raises(BadConfig, match="give the one of the photos with --column NAME"):
        found("table.csv")
    Path("table.csv").write_text("a.png,a dog\nb.png,a cat\n")
    with pytest.raises(BadConfig, match=r"found no header, but a.png"):
        found("table.csv")


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("t.csv", b"image\na.png\n\xff\xfe\xff.png\n", "unreadable"),
        ("t.csv", b"", "empty"),
        ("t.csv", b'image\n"a.png" x\n', "unreadable"),
        ("t.jsonl", b'{"image": "a.png"}\n{"image"', "unreadable"),
        ("t.jsonl", b"[1]\n", "unreadable"),
        ("gone.csv", None, "missing"),
        ("t.tar", b"no tar", "truncated"),
        ("t.tar.gz", b"\x1f\x8bno tar", "truncated"),
        ("t.parquet", b"no table", "truncated"),
    ],
)
def test_a_container_that_cannot_be_read_is_a_row_with_an_error(name: str, content: bytes | None, code: str) -> None:
    if content is not None:
        Path(name).write_bytes(content)
    rows = found(name, "gone.jpg")
    assert rows[-2:] == [(name, code), ("gone.jpg", "missing")]


def test_photos_in_parquet_as_bytes_structs_and_paths() -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    Path("d").mkdir()
    Path("d/a.png").write_bytes(png(70))
    values = {
        "bytes": [png(n) for n in range(40)],
        "struct": [{"bytes": png(n), "path": "x"} for n in range(38)] + [{"bytes": None, "path": "a.png"}, None],
        "path": ["a.png", "gone.png"],
    }
    for name, column in values.items():
        parquet.write_table(arrow.table({"image": column, "n": range(len(column))}), f"d/{name}.parquet")
    assert found("d/bytes.parquet") == [(f"d/bytes.parquet#{n}", n) for n in range(40)]
    expected: list[tuple[str, object]] = [(f"d/struct.parquet#{n}", n) for n in range(38)]
    assert found("d/struct.parquet") == [*expected, ("a.png", 70), ("d/struct.parquet#39", "missing")]
    assert found("d/path.parquet") == [("a.png", 70), ("gone.png", "missing")]
    with pytest.raises(BadConfig, match="found n of the type int64"):
        found("d/path.parquet", column="n")


def test_an_image_that_is_called_like_a_container_is_an_image_and_a_folder_a_folder() -> None:
    Path("photo.csv").write_bytes(png(10))
    Path("folder.tar").mkdir()
    Path("folder.tar/a.png").write_bytes(png(20))
    assert found("photo.csv", "folder.tar") == [("photo.csv", 10), ("folder.tar/a.png", 20)]
    assert container_reader("https://example.org/table.csv?v=1") is container_reader("s3://b/table.csv") is not None
    assert container_reader("ftp://example.org/table.csv") is None


def test_containers_are_read_lazily() -> None:
    Path("table.csv").write_text("image\na.png\nb.png\n")
    images = find_inputs(itertools.chain(["table.csv"], (pytest.fail("asked too early") for _ in range(1))))
    assert [next(images).path, next(images).path] == ["a.png", "b.png"]


def test_inputs_are_counted_where_that_is_cheap(tmp_path: Path) -> None:
    Path("sub").mkdir()
    for name in ("a.png", "sub/b.png", "notes.txt"):
        Path(name).write_bytes(png(1) if name.endswith("png") else b"")
    assert count_inputs([".", "a.png", "gone.jpg"]) == 4
    shard("shard.tar", SHARD)
    assert count_inputs([".", "shard.tar"]) is None and count_inputs(["-"]) is None


def test_bad_images_in_a_tar_have_the_codes_that_they_have_as_files(tmp_path: Path) -> None:
    Path("bad").mkdir()
    expected = bad_images.write_all(Path("bad"))
    files = {path: code for path, code in expected.items() if Path(path).is_file() and Path(path).suffix != ""}
    shard("shard.tar", {Path(path).name: Path(path).read_bytes() for path in files})
    rows = dict(found("shard.tar"))
    as_files = {f"shard.tar/{Path(path).name}": red(ImageInput(str(path))) for path in files}
    assert len(rows) > 5 and rows == {key: as_files[key] for key in rows}
