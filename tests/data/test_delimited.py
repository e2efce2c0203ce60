"""Tables as spreadsheets, pandas and people write them."""

import codecs
import csv
import io
from pathlib import Path

import pytest

from showtell.columns import captions_in_cell, columns_of, numbered_captions
from showtell.data.omissions import Omissions
from showtell.data.tables import read_csv, read_jsonl
from showtell.errors import BadData

ROWS = [["a.jpg", "A dog, 1,5 m; wet", "train"], ["b.jpg", 'A "big" cat', "val"], ["b.jpg", "Cats | dogs\tfar", "val"]]
EXPECTED = [
    ("a.jpg", ("A dog, 1,5 m; wet",), "train"),
    ("b.jpg", ('A "big" cat', "Cats | dogs far"), "dev"),
]


@pytest.fixture(autouse=True)
def _photos(photos) -> None:
    photos("a.jpg", "b.jpg")


def read(file: Path) -> list[tuple[str, tuple[str, ...], str]]:
    return [(s.name, s.captions, s.split) for s in read_csv(str(file), ("en",))]


def table(delimiter: str, header: list[str], quoting: int, end: str) -> str:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator=end).writerows([header, *ROWS])
    return out.getvalue()


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_what_python_s_csv_writes(tmp_path: Path, delimiter: str, quoting: int, end: str) -> None:
    for header in (["image", "caption", "split"], ["Filename", "Text", "SPLIT"], ["File Name", "comment", "Subset"]):
        (tmp_path / "t.csv").write_bytes(table(delimiter, header, quoting, end).encode())
        assert read(tmp_path / "t.csv") == EXPECTED


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (b"", "utf-8"),
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ],
)
@pytest.mark.parametrize("sep", ["", "sep=\t\r\n", "SEP=\t\n", '"sep=\t"\n'])
def test_excel_s_unicode_text_and_its_first_line(tmp_path: Path, mark: bytes, encoding: str, sep: str) -> None:
    text = sep + table("\t", ["image", "caption", "split"], csv.QUOTE_MINIMAL, "\r\n")
    (tmp_path / "t.txt").write_bytes(mark + text.encode(encoding))
    assert read(tmp_path / "t.txt") == EXPECTED


def test_lines_are_counted_with_the_sep_line_and_blank_ones(write) -> None:
    file = write("t.csv", "sep=;\n\nimage;caption\n\na.jpg;A dog\nb.jpg;A;B\n")
    with pytest.raises(BadData, match=r"t\.csv, line 6: found 3 columns; expected 2 \(image, caption\); quote .* ';'"):
        read(file)


def test_empty_cells_after_the_last_column(write) -> None:
    assert read(write("t.csv", "image;caption;split;;\na.jpg;A dog;train;;\nb.jpg;A cat;val;;;\n;;;;\n")) == [
        ("a.jpg", ("A dog",), "train"),
        ("b.jpg", ("A cat",), "dev"),
    ]


@pytest.mark.parametrize("text", ["a.jpg\tA dog\n", "a.jpg,A dog\n", "a.jpg;A dog, wet\n", '"a.jpg","A dog, wet"\n'])
def test_two_columns_without_a_header(write, text: str) -> None:
    ((name, captions, _),) = read(write("t.txt", text))
    assert name == "a.jpg" and captions[0].startswith("A dog")


def test_more_columns_need_a_header(write) -> None:
    with pytest.raises(BadData, match=r"line 1: found the columns 'a\.jpg', 'A dog', '3'; expected one column image"):
        read(write("t.csv", "a.jpg,A dog,3\n"))


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("image,caption_1,caption_2,caption_3", "a.jpg,A dog,The dog,"),
        ("caption2,caption1,image", "The dog,A dog,a.jpg"),
        ("image,caption,caption_2", "a.jpg,A dog,The dog"),
        ("filename,raw,split,sentids", 'a.jpg,"[""A dog"", ""The dog""]",train,"[0, 1]"'),
        ("img_path,captions", "a.jpg,\"['A dog', 'The dog']\""),
        ("id,path,description,title", "7,a.jpg,\"['A dog', 'The dog']\",x"),
    ],
)
def test_several_captions_in_a_row(write, header: str, row: str) -> None:
    ((_, captions, _),) = read(write("t.csv", f"{header}\n{row}\n"))
    assert captions == ("A dog", "The dog")


def test_a_caption_in_brackets_is_a_caption() -> None:
    for cell in ("[a dog]", "[]", "[1, 2]", "a dog", "['a', 1]", "[" * 10_000 + "]"):
        assert captions_in_cell(cell) == [cell]
    assert captions_in_cell(' ["a", "b"] ') == ["a", "b"]


@pytest.mark.parametrize(
    ("role", "names", "found"),
    [
        ("image", ["path", "image"], ["image"]),
        ("image", ["Image Name", "x"], ["Image Name"]),
        ("image", ["ImagePath", "imageID"], ["ImagePath"]),
        ("image", ["imageID"], ["imageID"]),
        ("caption", ["ImageCaption"], ["ImageCaption"]),
        ("image", ["image_id", "file-path"], ["file-path"]),
        ("image", ["image_id"], ["image_id"]),
        ("image", ["file_name", "image"], ["image", "file_name"]),
        ("image", ["images"], []),
        ("caption", ["description", "TEXT"], ["TEXT"]),
        ("caption", ["comment_number"], []),
        ("caption", ["sentence"], ["sentence"]),
        ("split", ["Partition"], ["Partition"]),
    ],
)
def test_columns_of_a_role(role: str, names: list[str], found: list[str]) -> None:
    assert columns_of(role, names) == found


def test_numbered_captions_are_in_the_order_of_their_numbers() -> None:
    names = ["caption_10", "Caption 9", "caption2", "caption", "text_1", "comment_number", "caption_x"]
    assert numbered_captions(names) == ["text_1", "caption2", "Caption 9", "caption_10"]


def test_two_columns_of_one_role_are_refused(write) -> None:
    for header in ("file_name,image,caption", "path,img,caption", "image,text,comment", "image,split,Split,caption"):
        with pytest.raises(BadData, match=r"line 1: found the columns .*; expected one column image and"):
            read(write("t.csv", header + "\na,b,c,d\n"[: 2 * header.count(",") + 3]))


def test_jsonl_keys_in_other_spellings(write) -> None:
    file = write("t.jsonl", '{"Filename": ".\\\\a.jpg", "Sentences": ["A dog"], "Subset": "Valid", "width": 3}\n')
    (sample,) = read_jsonl(str(file), ("en",))
    assert (sample.name, sample.captions, sample.split) == ("a.jpg", ("A dog",), "dev")


@pytest.mark.parametrize("folder", ["images", "IMAGES", "Photos", "flickr30k-images"])
def test_folders_of_images_beside_a_table(photos, write, folder: str) -> None:
    photos(f"{folder}/c.jpg", f"{folder}/deep/d.jpg")
    assert [name for name, *_ in read(write("t.csv", "image,caption\nc.jpg,A cow\nd.jpg,A hen\n"))] == [
        f"{folder}/c.jpg",
        f"{folder}/deep/d.jpg",
    ]


@pytest.mark.parametrize(
    ("reader", "text"),
    [(read_csv, "image,caption\na.jpg,A dog\n"), (read_jsonl, '{"image": "a.jpg", "caption": "A dog"}')],
)
def test_photos_that_have_no_row_are_named(write, reader, text: str) -> None:
    omissions = Omissions()
    reader(str(write("t", text)), ("en",), omissions)
    assert omissions.lines() == ["b.jpg: no caption in t"]


def test_rows_in_other_languages_are_counted(write) -> None:
    omissions = Omissions()
    text = "image,caption,lang\na.jpg,A dog,en\na.jpg,كلب,ar\nb.jpg,Ein Hund,de\nb.jpg,A cat,en\n"
    read_csv(str(write("t.csv", text)), ("en",), omissions)
    assert omissions.summary() == "skipped: 1 ar caption, 1 de caption"


@pytest.mark.parametrize("second", ["A cat", '"Meow" said the cat', '7" records "'])
def test_quotation_marks_in_tables_of_tabs_that_quote_nothing(write, second: str) -> None:
    file = write("t.tsv", f'image\tcaption\na.jpg\t"Hi" says a man\nb.jpg\t{second}\n')
    assert [captions for _, captions, _ in read(file)] == [('"Hi" says a man',), (second,)]


def test_rows_without_a_caption_are_named(write) -> None:
    omissions = Omissions()
    file = write("t.csv", "image,caption\na.jpg,\nb.jpg,A cat\nb.jpg,  \n")
    assert [s.name for s in read_csv(str(file), ("en",), omissions)] == ["b.jpg"]
    assert omissions.lines() == [
        "t.csv, line 2: no caption of a.jpg",
        "t.csv, line 4: no caption of b.jpg",
        "a.jpg: no caption in t.csv",
    ]
    assert omissions.summary().startswith("left out: 2 rows without a caption (t.csv, line 2, t.csv, line 4), 1 photo")


def test_a_json_array_says_how_to_make_lines_of_it(write) -> None:
    with pytest.raises(BadData, match=r"found one JSON array; expected one JSON object per line, as `jq -c"):
        read_jsonl(str(write("t.json", '[\n{"image": "a.jpg", "caption": "A dog"}]')), ("en",))
