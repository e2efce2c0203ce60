"""Captions to score, in every form that programs write them."""

import json
from pathlib import Path

import pytest

from showtell.cli.output import RowFile
from showtell.core.sources import ImageInput
from showtell.data.candidates import Candidate, read_candidates
from showtell.errors import BadData
from showtell.records import Caption, CaptionRow

DOG, CAT = Candidate("a.jpg", ("A dog.",)), Candidate("b.jpg", ("A cat.",))


def read(file: Path, language: str = "en") -> list[tuple[str, tuple[str, ...]]]:
    return [(each.name, each.captions) for each in read_candidates(file, language)]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("coco.json", '[{"image_id": "a.jpg", "caption": "A dog."}, {"image_id": "b.jpg", "caption": "A cat."}]'),
        ("lines.jsonl", '{"image": "a.jpg", "caption": "A dog."}\n\n{"file_name": "b.jpg", "caption": "A cat. "}\n'),
        ("lines.json", '{"image": "a.jpg", "caption": "A dog."}\r\n{"image_id": "b.jpg", "caption": "A  cat."}'),
        ("table.csv", 'image,caption\na.jpg,A dog.\n"b.jpg","A\ncat."\n'),
        ("table.tsv", "Caption\tImage_ID\tscore\nA dog.\ta.jpg\t1\nA cat.\tb.jpg\t2\n"),
        ("table.txt", "sep=;\r\nFilename;Caption;Score\r\na.jpg;A dog.;0,5\r\nb.jpg;A cat.;0,4\r\n"),
        ("printed.txt", "a.jpg\tA dog.\nb.jpg\tA cat.\n"),
        ("printed.tsv", "a.jpg\tA dog.\r\n\r\nb.jpg\t A  cat. \r\n"),
        ("tokens.txt", "a.jpg#0\tA dog.\nb.jpg#0\tA cat.\n"),
        (
            "annotations.json",
            '{"annotations": [{"image_id": "a.jpg", "id": 1, "caption": "A dog."},'
            ' {"image_id": "b.jpg", "id": 2, "caption": "A cat."}]}',
        ),
        ("map.json", '{"a.jpg": "A dog.", "b.jpg": "A cat."}'),
        ("one_line.json", '{"a.jpg": "A dog.", "b.jpg": "A cat."}\n\n \n'),
        ("lists.json", '{"a.jpg": ["A dog."],\n "b.jpg": ["A cat."]}'),
        ("coco_eval.json", '{"a.jpg": [{"caption": "A dog."}], "b.jpg": [{"caption": "A cat.", "id": 3}]}'),
        (
            "report.json",
            '{"scores": {}, "images": 2, "rows": [{"image": "a.jpg", "caption": "A dog."},'
            ' {"image": "b.jpg", "caption": "A cat."}]}',
        ),
    ],
)
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_every_form_says_the_same(write, name: str, text: str, start: str) -> None:
    assert read_candidates(write(name, start + text), "en") == [DOG, CAT]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "lines.jsonl",
            '{"image": "a.jpg", "caption": "1", "alternatives": [{"caption": "2"}, {"caption": null}]}\n'
            '{"image": "b.jpg", "caption": "3"}',
        ),
        ("one.jsonl", '{"image": "a.jpg", "captions": ["1", "2"]}\n{"image": "b.jpg", "captions": ["3", " "]}'),
        ("table.csv", "image,caption_10,caption,caption_2,score\na.jpg,2,1,,-0.3\nb.jpg,,3,,-0.4\n"),
        ("printed.txt", "a.jpg\t1\na.jpg\t2\nb.jpg\t3\nb.jpg\t\n"),
        ("wide.csv", "image;caption1;caption2\na.jpg;1;2\nb.jpg;3;\n"),
        ("map.json", '{"a.jpg": ["1", "2"], "b.jpg": "3"}'),
        ("coco_eval.json", '{"a.jpg": [{"caption": "1"}, {"caption": "2"}], "b.jpg": [{"caption": "3"}]}'),
        (
            "report.json",
            '{"rows": [{"image": "a.jpg", "caption": "1", "alternatives": ["2"]},'
            ' {"image": "b.jpg", "caption": "3", "alternatives": []}]}',
        ),
    ],
)
def test_alternatives_follow_the_best(write, name: str, text: str) -> None:
    assert read(write(name, text)) == [("a.jpg", ("1", "2")), ("b.jpg", ("3",))]


def test_numbered_columns_are_in_the_order_of_their_numbers(write) -> None:
    file = write("t.csv", "image,caption_10,caption_9,caption,caption_2\na.jpg,4,3,1,2\n")
    assert read(file) == [("a.jpg", ("1", "2", "3", "4"))]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.jsonl", '{"image": "a.jpg", "caption": null, "error": "missing"}\n{"image": "b.jpg", "caption": " "}'),
        ("a.csv", "image,caption,error\na.jpg,,missing\nb.jpg,  ,\n"),
        ("a.txt", "a.jpg\t\nb.jpg\t \n"),
        ("a.json", '{"a.jpg": null, "b.jpg": ""}'),
        ("b.json", '[{"image_id": "a.jpg", "caption": null}, {"image_id": "b.jpg", "caption": "\\n"}]'),
        ("c.json", '{"a.jpg": [{"caption": null}], "b.jpg": [""]}'),
    ],
)
def test_null_and_blank_captions_are_kept(write, name: str, text: str) -> None:
    assert read(write(name, text)) == [("a.jpg", ("",)), ("b.jpg", ("",))]


def test_an_alternative_does_not_take_the_place_of_a_blank_best(write) -> None:
    assert read(write("a.json", '{"a.jpg": ["", "A dog."], "b.jpg": []}')) == [("a.jpg", ("", "A dog.")), ("b.jpg", ())]


def test_ids_are_text_and_duplicates_are_kept_in_order(write) -> None:
    rows = [{"image_id": i, "caption": c} for i, c in ((42, "1"), ("000042", "2"), ("42", "3"), (42, "1"))]
    assert read(write("r.json", json.dumps(rows))) == [
        ("42", ("1",)),
        ("000042", ("2",)),
        ("42", ("3",)),
        ("42", ("1",)),
    ]


def test_whole_numbers_that_are_floats_are_ids(write) -> None:
    assert read(write("r.json", '[{"image_id": 42.0, "caption": "1"}]')) == [("42", ("1",))]
    with pytest.raises(BadData, match=r"found image_id 42\.5; expected text or a whole number"):
        read(write("r.json", '[{"image_id": 42.5, "caption": "1"}]'))


@pytest.mark.parametrize("extra", ['"images": [{"id": 1}], ', ""])
def test_references_in_place_of_candidates_are_refused(write, extra: str) -> None:
    rows = '[{"image_id": 1, "caption": "1"}, {"image_id": 1, "caption": "2"}]'
    with pytest.raises(BadData, match="found references in the form of COCO"):
        read(write("r.json", f'{{{extra}"annotations": {rows}}}'))


@pytest.mark.parametrize("line", ["b.jpg A cat.", "\tA cat.", "b.jpg\tA cat.\t0.5"])
def test_a_printed_line_of_another_form_is_named(write, line: str) -> None:
    with pytest.raises(BadData, match=r"r\.txt, line 3: found .*; expected a path, a TAB and a caption"):
        read(write("r.txt", f"a.jpg\tA dog.\n\n{line}\n"))


def test_a_file_name_is_preferred_to_an_id(write) -> None:
    assert read(write("r.jsonl", '{"image_id": 7, "file_name": "a.jpg", "caption": "A dog."}')) == [
        ("a.jpg", ("A dog.",))
    ]


@pytest.mark.parametrize("name", ["one.jsonl", "one.json", "one.txt"])
def test_a_single_line_of_json_lines(write, name: str) -> None:
    assert read_candidates(write(name, '{"image": "a.jpg", "caption": "A dog.", "score": -1.5}\n'), "en") == [DOG]


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_what_the_caption_command_writes_is_read(tmp_path: Path, suffix: str) -> None:
    def caption(text: str) -> Caption:
        return Caption(text, -0.5, 0.6, (), "ar")

    file = tmp_path / f"out{suffix}"
    with RowFile(file, 2, 0.0) as rows:
        rows.write(CaptionRow(ImageInput("photos/a.jpg"), (caption('كلب, "كبير"'), caption("كلب"))))
        rows.write(CaptionRow(ImageInput("b.jpg"), error="missing", detail="no such file"))
    assert read(file, "ar") == [("photos/a.jpg", ('كلب, "كبير"', "كلب")), ("b.jpg", ("",))]


LANGUAGES = [("a.jpg", "en", "A dog."), ("a.jpg", "ar", "كلب"), ("b.jpg", None, "?")]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "p.jsonl",
            "\n".join(json.dumps({"image": i, "language": tongue, "caption": c}) for i, tongue, c in LANGUAGES),
        ),
        ("p.json", json.dumps([{"image_id": i, "language": tongue, "caption": c} for i, tongue, c in LANGUAGES])),
        ("p.csv", "image,language,caption\n" + "".join(f"{i},{tongue or ''},{c}\n" for i, tongue, c in LANGUAGES)),
    ],
)
def test_rows_of_another_language_are_passed_over(write, name: str, text: str) -> None:
    file = write(name, text)
    assert read(file, "ar") == [("a.jpg", ("كلب",)), ("b.jpg", ("?",))]
    assert read(file, "en") == [("a.jpg", ("A dog.",)), ("b.jpg", ("?",))]


def test_a_file_in_other_languages_only(write) -> None:
    lines = '{"image": "a", "language": "en", "caption": "x"}\n{"image": "a", "language": "de", "caption": "x"}\n'
    with pytest.raises(BadData, match=r"p.jsonl: found captions in de, en only; expected captions in ar"):
        read_candidates(write("p.jsonl", lines), "ar")
    report = write("r.json", '{"language": "en", "rows": [{"image": "a", "caption": "x"}]}')
    assert read(report) == [("a", ("x",))]
    with pytest.raises(BadData, match=r"found captions in en only; expected captions in ar"):
        read_candidates(report, "ar")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "", r"a.json: found no rows; expected a header"),
        ("a.json", "[]", r"a.json: found no captions; expected at least one image with its caption"),
        ("a.json", "{}", r"found no captions"),
        ("a.json", '[{"image_id": 1, "caption": "A"}', r"a.json: found no valid JSON \(Expecting ',' delimiter"),
        ("a.json", "[" * 100_000, r"a.json: found no valid JSON"),
        ("a.json", '{"a": "x", "b": "y", "a": "z"}', r"no valid JSON \(the key 'a' occurs twice\)"),
        ("a.json", '["A dog."]', r"a.json, index 0: found \"A dog.\"; expected an object with image or image_id"),
        ("a.json", '[{"image_id": 1, "caption": "A"}, {"image_id": 2}]', r"index 1: found the keys 'image_id'; exp"),
        ("a.json", '[{"image_id": 1.5, "caption": "A"}]', r"index 0: found image_id 1.5; expected text or a whole"),
        ("a.json", '[{"image_id": true, "caption": "A"}]', r"index 0: found image_id true; expected text or a whole"),
        ("a.json", '[{"image_id": " ", "caption": "A"}]', r"index 0: found an empty image_id; expected the name"),
        ("a.json", '[{"image_id": 1, "caption": 7}]', r"index 0: found 7; expected a caption, or a list of captions"),
        ("a.json", '{"a.jpg": {"caption": "A"}}', r"key 'a.jpg': found \{\"caption\": \"A\"\}; expected a caption, or"),
        ("a.json", '{"a.jpg": [{"text": "A"}]}', r"key 'a.jpg': found \{\"text\": \"A\"\}; expected a caption, or"),
        ("a.json", '{"split": "dev", "images": 3}', r"key 'images': found 3; expected a caption, or"),
        ("a.json", '{"rows": [{"image": "a"}]}', r"a.json, rows, index 0: found the keys 'image'; expected"),
        ("a.json", '{"images": [], "annotations": []}', r"found references in the form of COCO; expected captions to"),
        ("a.jsonl", '{"image": "a", "caption": "A"}\n\n{"image"', r"a.jsonl, line 3: found no valid JSON"),
        ("a.jsonl", '{"image": "a", "caption": "A"}\n[1]', r"a.jsonl, line 2: found a JSON list; expected one JSON"),
        (
            "a.jsonl",
            '{"image": "a", "caption": "A", "captions": []}',
            r"line 1: found the keys 'image', 'caption', 'ca",
        ),
        ("a.jsonl", '{"image": "a", "caption": "A", "language": 5.5}', r"line 1: found language 5.5; expected text"),
        ("a.csv", "image,words\na,A\n", r"a.csv, line 1: found the columns 'image', 'words'; expected one column"),
        ("a.csv", "caption,text,image\nA,B,a\n", r"line 1: found the columns 'caption', 'text', 'image'; expected"),
        ("a.csv", "image,caption,caption_2,caption_2\na,A,B,C\n", r"line 1: found the columns"),
        ("a.csv", "image,caption\n\na.jpg,A dog, running\n", r"a.csv, line 3: found 3 columns; expected 2"),
        ("a.csv", "image,caption\n,A dog\n", r"line 2: found an empty image; expected the name of an image"),
    ],
)
def test_a_broken_file_is_named_with_the_place(write, name: str, text: str, message: str) -> None:
    with pytest.raises(BadData, match=message) as caught:
        read_candidates(write(name, text), "en")
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"none.json: found nothing to read \(No such file"):
        read_candidates(tmp_path / "none.json", "en")
    (tmp_path / "latin.csv").write_bytes("image,caption\na.jpg,café\n".encode("latin-1"))
    with pytest.raises(BadData, match=r"latin.csv, line 2: found the byte 0xe9, which is not UTF-8"):
        read_candidates(tmp_path / "latin.csv", "en")
