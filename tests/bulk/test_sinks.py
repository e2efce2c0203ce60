"""The files of each kind of output, as other programs read them."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.bulk.stub import caption, engine, photos

from showtell.bulk.rows import as_record
from showtell.bulk.sinks import SinkOptions, make_sink
from showtell.bulk.storage import Storage
from showtell.bulk.xmp import xmp_document
from showtell.core.sources import ImageInput
from showtell.errors import BadConfig, OutputError
from showtell.records import Caption, CaptionRow, Word

NAMES = ["a b.jpg", "a\nb.jpg", "\x1b[31mred.jpg", "x\u2028y.jpg", "=1+1.jpg", "\udcff.jpg", "كلب.jpg"]
RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
DC = "{http://purl.org/dc/elements/1.1/}"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_parquet_folder_is_one_table_of_whole_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr("showtell.bulk.parquet_sink.ROWS_PER_PART", 4)
    images = [ImageInput(name) for name in NAMES] + photos(1, 2)
    caption("rows.parquet", images, rows=engine(lambda key: key == "a b.jpg"))
    assert sorted(path.name for path in Path("rows.parquet").iterdir()) == [
        "part-00000.parquet",
        "part-00001.parquet",
        "part-00002.parquet",
    ]
    assert [parquet.ParquetFile(f"rows.parquet/part-0000{n}.parquet").metadata.num_rows for n in range(3)] == [4, 4, 1]
    rows = parquet.read_table("rows.parquet").to_pylist()
    assert [row["image"] for row in rows] == [name.replace("\udcff", "\\udcff") for name in NAMES] + [
        image.path for image in photos(1, 2)
    ]
    assert (rows[0]["caption"], rows[0]["error"], rows[0]["words"]) == (None, "truncated", None)
    assert rows[1]["caption"] == "a photo of a\nb.jpg" and rows[1]["error"] is None
    assert [set(word) for word in rows[1]["words"]] == [{"word", "log_probability"}]


@pytest.mark.parametrize("output", ["rows.jsonl", "rows.csv", "rows.parquet", "sidecar:out"])
def test_no_input_is_an_empty_output(output: str) -> None:
    assert caption(output, []).inputs == 0
    if output == "rows.parquet":
        assert pytest.importorskip("pyarrow.parquet").read_table(output).num_rows == 0
    elif output != "sidecar:out":
        assert len(Path(output).read_text().splitlines()) == (output == "rows.csv")


def test_sidecars_beside_the_photos(tmp_path: Path) -> None:
    """Two photos that would share one have their own; the ledger is where no search finds it."""
    (tmp_path / "p").mkdir()
    for name in ("a.jpg", "b.jpg", "b.png"):
        (tmp_path / "p" / name).touch()
    images = [ImageInput(f"p/{name}") for name in ("a.jpg", "b.jpg", "b.png")]
    options = SinkOptions(prefix="mystyle, ", suffix=".", inputs=("p",))
    caption("sidecar", images, sink_options=options)
    files = {path.name: path.read_text() for path in Path("p").glob("*.txt")}
    assert files == {
        "a.txt": "mystyle, a photo of p/a.jpg.\n",
        "b.jpg.txt": "mystyle, a photo of p/b.jpg.\n",
        "b.png.txt": "mystyle, a photo of p/b.png.\n",
    }
    assert {path.name for path in Path("p").iterdir() if not path.name.startswith(".")} == {
        *("a.jpg", "b.jpg", "b.png"),
        *files,
    }


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("photos/sub/a.jpg", "photos/sub/a.txt"),
        ("/data/a.jpg", "data/a.txt"),
        ("../../a.jpg", "__/__/a.txt"),
        ("./a.jpg", "a.txt"),
        ("https://example.org/x/a%20b.jpg?size=2", "example.org/x/a b.jpg?size=2.txt"),
        ("https://example.org/../../etc/passwd", "example.org/__/__/etc/passwd.txt"),
        ("shard.tar/../../a.jpg", "shard.tar/__/__/a.jpg.txt"),
        ("-", "-.txt"),
    ],
)
def test_files_in_a_folder_stay_in_it(key: str, expected: str) -> None:
    read = (lambda: b"") if key.startswith(("shard", "-")) else None
    caption("sidecar:out", [ImageInput(key, read=read)])
    assert [str(path.relative_to("out")) for path in Path("out").rglob("*.txt")] == [expected]


def test_what_has_no_folder_needs_one() -> None:
    for key in ("https://example.org/a.jpg", "shard.tar/a.jpg"):
        with pytest.raises(BadConfig, match=r"beside which nothing can be written; expected --output xmp:DIR"):
            caption("xmp", [ImageInput(key, read=lambda: b"")])


def test_withheld_captions_have_no_sidecar_and_several_have_a_line_each() -> None:
    candidates = [
        Caption(text, -1.0, confidence, (), "en") for text, confidence in (("a", 0.9), ("b", 0.1), ("c", 0.8))
    ]
    sink = make_sink("sidecar:out", SinkOptions(num=3), Storage())
    for key, captions in (("x.jpg", candidates), ("y.jpg", candidates[1:2])):
        row = CaptionRow(ImageInput(key), tuple(captions))
        sink.add(ImageInput(key), as_record(row, 0.5))
    sink.flush()
    assert {path.name: path.read_text() for path in Path("out").glob("*.txt")} == {"x.txt": "a\nc\n"}


@given(st.text(), st.sampled_from(["en", "ar", "zh-Hant"]))
def test_xmp_reads_back(text: str, language: str) -> None:
    root = ElementTree.fromstring(xmp_document(text, language))
    items = root.findall(f"{RDF}RDF/{RDF}Description/{DC}description/{RDF}Alt/{RDF}li")
    assert [item.attrib["{http://www.w3.org/XML/1998/namespace}lang"] for item in items] == ["x-default", language]
    allowed = "".join(
        c if c in "\t\n\r" or " " <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c > "\uffff" else "\ufffd"
        for c in text
    )
    assert {item.text or "" for item in items} == {allowed}


def test_xmp_as_pillow_reads_it(tmp_path: Path) -> None:
    """In a PNG, since Pillow reads no XMP files."""
    from PIL import Image, PngImagePlugin

    pytest.importorskip("defusedxml")
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", xmp_document("a <dog> & 'cat'", "en").decode())
    Image.new("RGB", (2, 2)).save("x.png", pnginfo=info)
    with Image.open("x.png") as image:
        found = image.getxmp()["xmpmeta"]["RDF"]["Description"]["description"]["Alt"]["li"]
    assert [item["text"] for item in found] == ["a <dog> & 'cat'"] * 2


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("rows.txt", r"found .txt; expected .jsonl or .csv, .parquet \(a folder\), sidecar"),
        ("rows", "found no ending"),
        ("sidecar:", "found no folder"),
        ("folder.jsonl", "is a folder; expected a file name"),
        ("file.parquet", "is a file; expected a folder"),
        ("sidecar:file.parquet", "is a file; expected a folder"),
    ],
)
def test_outputs_that_are_none(name: str, problem: str) -> None:
    Path("folder.jsonl").mkdir()
    Path("file.parquet").touch()
    with pytest.raises(BadConfig, match=problem):
        make_sink(name, SinkOptions(), Storage())


def test_options_of_sidecars_with_another_output() -> None:
    for name in ("rows.csv", "xmp"):
        with pytest.raises(BadConfig, match=r"found --prefix or --suffix with --output .*; expected --output sidecar"):
            make_sink(name, SinkOptions(prefix="x"), Storage())


@pytest.mark.parametrize("output", ["rows.jsonl", "rows.csv"])
def test_a_link_stays_and_its_file_is_replaced(output: str) -> None:
    Path("store").mkdir()
    Path(output).symlink_to(f"store/{output}")
    caption(output, photos(1))
    caption(output, photos(1, 2))
    assert Path(output).is_symlink()
    assert sorted(path.name for path in Path("store").iterdir()) == [output, f"{output}.ledger"]


def test_an_input_and_a_link_to_a_photo_are_no_output() -> None:
    Path("photo.jpg").write_bytes(b"photo")
    Path("rows.jsonl").symlink_to("photo.jpg")
    os.link("photo.jpg", "same.csv")
    with pytest.raises(BadConfig, match="is a link to"):
        make_sink("rows.jsonl", SinkOptions(), Storage())
    with pytest.raises(BadConfig, match="is one of the inputs"):
        make_sink("same.csv", SinkOptions(inputs=("-", "gone.jpg", "photo.jpg")), Storage())


def test_a_folder_that_vanishes_loses_no_row(tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "out"
    folder.mkdir()
    sink = make_sink(str(folder / "rows.jsonl"), SinkOptions(), Storage())
    for number in range(3):
        row = CaptionRow(ImageInput(f"{number}.jpg"), (Caption("a dog", -1.0, 0.5, (Word("a", -1.0),), "en"),))
        sink.add(ImageInput(f"{number}.jpg"), as_record(row, 0.0))
        if number == 1:
            shutil.rmtree(folder)
    with pytest.raises(OSError, match="was moved or removed"):
        sink.flush()
    place = Path(sink.where())
    assert place.read_bytes().count(b"\n") == 3 and place.parent != folder
    place.unlink()


def test_a_disk_that_fills_up_keeps_whole_rows_and_says_where(small_files: None) -> None:
    """By a real limit of the system; every other failure is in test_every_call.py."""
    with pytest.raises(OutputError, match=r"\(File too large\); the rows so far are in .*rows.jsonl.partial; raise"):
        caption("rows.jsonl", photos(*range(1000)))
    assert Path("rows.jsonl.partial").read_bytes().endswith(b"}\n")
