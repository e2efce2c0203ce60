import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.counting import assert_linear

from showtell.data.omissions import Omissions
from showtell.data.rows import split_from_hash
from showtell.data.tables import read_csv, read_jsonl
from showtell.errors import BadData, MissingImages


@pytest.fixture(autouse=True)
def _photos(photos) -> None:
    photos("a.jpg", "b.jpg", "sub/c.jpg")


@pytest.mark.parametrize("delimiter", [",", "\t", "|"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_csv_with_any_delimiter_start_and_line_end(write, delimiter: str, start: str, end: str) -> None:
    lines = [["image", "caption", "split"], [" a.jpg ", " A dog  runs .", "train"], ["b.jpg", "A cat .", "val"]]
    lines += [["sub/c.jpg", "A cow .", "test"], ["a.jpg", "The dog .", "train"]]
    file = write("t.csv", start + end.join(delimiter.join(cells) for cells in lines) + end + end)
    assert [(s.name, s.captions, s.split) for s in read_csv(str(file), ("en",))] == [
        ("a.jpg", ("A dog runs .", "The dog ."), "train"),
        ("b.jpg", ("A cat .",), "dev"),
        ("sub/c.jpg", ("A cow .",), "test"),
    ]


def test_csv_quoting_spans_delimiters_quotes_and_lines(write) -> None:
    file = write("t.csv", 'caption,image\n"A ""big"" dog,\n running", a.jpg\nA cat, "b.jpg"\n')
    samples = read_csv(str(file), ("en",))
    assert [(s.name, s.captions) for s in samples] == [("a.jpg", ('A "big" dog, running',)), ("b.jpg", ("A cat",))]


def test_commas_in_captions_do_not_make_a_bar_table_a_comma_table(write) -> None:
    file = write("results.csv", "image_name| comment_number| comment\na.jpg| 0| A dog, a cat, a cow .\n")
    assert read_csv(str(file), ("en",))[0].captions == ("A dog, a cat, a cow .",)


def test_csv_language_column_chooses(write) -> None:
    file = write("t.csv", "image,caption,language\na.jpg,A dog,en\na.jpg,كلب,ar\nb.jpg,A cat,en\n")
    assert [(s.name, s.captions) for s in read_csv(str(file), ("ar",))] == [("a.jpg", ("كلب",))]
    assert [(s.name, s.language) for s in read_csv(str(file), ("ar", "en"))] == [
        ("a.jpg", "ar"),
        ("a.jpg", "en"),
        ("b.jpg", "en"),
    ]


def test_without_a_split_column_a_hash_of_the_name_decides(write) -> None:
    file = write("t.csv", "image,caption\na.jpg,A dog\nsub/c.jpg,A cow\n")
    assert [s.split for s in read_csv(str(file), ("en",))] == [split_from_hash("a.jpg"), split_from_hash("sub/c.jpg")]


def test_absolute_paths(write, tmp_path: Path) -> None:
    file = write("elsewhere/t.csv", f"image,caption\n{tmp_path / 'a.jpg'},A dog\n")
    (sample,) = read_csv(str(file), ("en",))
    assert sample.image == tmp_path / "a.jpg"
    assert sample.name == (tmp_path / "a.jpg").as_posix()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "image,text,caption\na.jpg,x,y\n",
            "line 1: found the columns 'image', 'text', 'caption'; expected one column",
        ),
        (
            "image,caption,captions\na.jpg,A,B\n",
            "line 1: found the columns 'image', 'caption', 'captions'; expected one column image and",
        ),
        ("picture,words\na.jpg,A dog\n", "line 1: found the columns 'picture', 'words'; expected one column image"),
        ("image,caption\na.jpg,A dog, running\n", r"line 2: found 3 columns; expected 2 \(image, caption\)"),
        ("image|caption\na.jpg|x\n2199200615.jpg 4 A dog\n", r"line 3: found 1 columns; expected 2 \(image, caption\)"),
        ("image,caption\na.jpg,  \n", "line 2: found an empty caption"),
        ("image,caption\n,A dog\n", "line 2: found an empty image"),
        ("image,caption\n\nno.jpg,A dog\n", "line 3: found captions of 'no.jpg', but no file"),
        ("image,caption,split\na.jpg,A dog,trian\n", "line 2: found the split 'trian'; expected one of: train, dev"),
        ("image,caption,split\na.jpg,A dog,\n", "line 2: found an empty split"),
        ('image,caption\nb.jpg,x\na.jpg,"A dog\nb.jpg,A cat\n', "line 3: found a broken row"),
        ('image,caption\na.jpg,"A" dog\n', "line 2: found a broken row"),
        ("image,caption\n", "found no captions"),
        ("", "found no rows"),
    ],
)
def test_csv_errors_name_file_and_line(write, text: str, message: str) -> None:
    file = write("t.csv", text)
    with pytest.raises(BadData, match=rf"t\.csv(, |: ){message}"):
        read_csv(str(file), ("en",))


def test_jsonl_with_caption_or_captions(write) -> None:
    rows = [
        {"image": "b.jpg", "captions": ["A cat .", " The  cat ."], "split": "validation", "width": 3},
        {"file_name": "a.jpg", "text": "A dog .", "split": "train", "language": "en"},
        {"image": "b.jpg", "caption": "One cat .", "split": "dev"},
    ]
    file = write("t.jsonl", "\ufeff" + "\n\n".join(json.dumps(row) for row in rows))
    assert [(s.name, s.captions, s.split) for s in read_jsonl(str(file), ("en",))] == [
        ("b.jpg", ("A cat .", "The cat .", "One cat ."), "dev"),
        ("a.jpg", ("A dog .",), "train"),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"image": "a.jpg", "caption": "A dog"', "no valid JSON"),
        ("[" * 100_000, "no valid JSON"),
        ('["a.jpg", "A dog"]', "a JSON list; expected one JSON object"),
        ('{"image": "a.jpg", "words": "A dog"}', "the keys 'image', 'words'; expected image, and either caption or"),
        ('{"caption": "A dog"}', "the keys 'caption'; expected image, and"),
        ('{"image": "a.jpg", "caption": "A dog", "captions": []}', "the keys 'image', 'caption', 'captions'"),
        ("{}", "no keys"),
        ('{"image": "a.jpg", "captions": "A dog"}', "captions 'A dog'; expected a list"),
        ('{"image": null, "caption": "A dog"}', "image null; expected text"),
        ('{"image": "a.jpg", "captions": ["A dog", 7]}', "caption 7; expected text"),
        ('{"image": 7, "caption": "A dog"}', "image 7; expected text"),
        ('{"image": "no.jpg", "caption": "A dog"}', "captions of 'no.jpg', but no file"),
        ('{"image": "a.jpg", "caption": "A dog", "split": "all"}', "the split 'all'"),
    ],
)
def test_jsonl_errors_name_file_and_line(write, line: str, message: str) -> None:
    file = write("t.jsonl", '{"image": "b.jpg", "caption": "A cat", "split": "train"}\n\n' + line + "\n")
    with pytest.raises(BadData, match=rf"t\.jsonl, line 3: found {message}"):
        read_jsonl(str(file), ("en",))


@pytest.mark.parametrize("empty", ['"caption": null', '"caption": " "', '"captions": []', '"captions": ["", null]'])
def test_jsonl_rows_without_a_caption_are_left_out_and_named(write, empty: str) -> None:
    """As `showtell caption --output` writes them for photos that could not be read."""
    row = f'{{"image": "a.jpg", {empty}, "split": null, "language": null}}\n'
    file = write("t.jsonl", row + '{"image": "b.jpg", "captions": ["A cat", null], "split": "train"}\n')
    omissions = Omissions()
    assert [(s.name, s.captions) for s in read_jsonl(str(file), ("en",), omissions)] == [("b.jpg", ("A cat",))]
    assert "t.jsonl, line 1: no caption of a.jpg" in omissions.lines()
    with pytest.raises(BadData, match=r"t\.jsonl, line 1: found an empty caption"):
        read_jsonl(str(write("t.jsonl", row)), ("en",))


@pytest.mark.parametrize("read", [read_csv, read_jsonl])
def test_a_missing_file_is_named(tmp_path: Path, read) -> None:
    with pytest.raises(BadData, match="absent: found nothing to read"):
        read(str(tmp_path / "absent"), ("en",))


def test_work_is_linear(tmp_path: Path) -> None:
    def read(photos: int) -> Callable[[], object]:
        folder = tmp_path / str(photos)
        (folder / "photos").mkdir(parents=True)
        names = [f"photos/{n}.jpg" for n in range(photos)]
        for name in names:
            (folder / name).touch()
        rows = "".join(f"{name},A dog runs over the grass number {k} .\n" for name in names for k in range(5))
        (folder / "t.csv").write_text("image,caption\n" + rows)
        return lambda: read_csv(str(folder / "t.csv"), ("en",))

    assert_linear(read)


def test_flickr8k_as_kaggle_has_it(write, photos) -> None:
    photos("Images/d.jpg", "Images/e.jpg")
    file = write("captions.txt", 'image,caption\nd.jpg,"A dog , running ."\nd.jpg,The dog .\ne.jpg,A cat .\n')
    samples = read_csv(str(file), ("en",))
    assert [(s.name, s.captions) for s in samples] == [
        ("Images/d.jpg", ("A dog , running .", "The dog .")),
        ("Images/e.jpg", ("A cat .",)),
    ]
    assert read_csv(f"{file},{file.parent / 'Images'}", ("en",)) == samples
    with pytest.raises(BadData, match=r"no such folder"):
        read_csv(f"{file},elsewhere", ("en",))


def test_photos_elsewhere_are_named_alike_on_every_machine(write, photos, tmp_path: Path) -> None:
    photos("pictures/sub/d.jpg")
    file = write("tables/t.csv", "image,caption\nsub/d.jpg,A dog\n")
    (sample,) = read_csv(f"{file},{tmp_path / 'pictures'}", ("en",))
    assert (sample.name, sample.split) == ("sub/d.jpg", split_from_hash("sub/d.jpg"))
    assert sample.image == tmp_path / "pictures/sub/d.jpg"


FLICKR30K = "image_name| comment_number| comment\nd.jpg| 0| A dog runs .\nd.jpg| 4   A dog runs across the grass .\n"


def test_flickr30k_as_kaggle_has_it_with_its_broken_line(write, photos) -> None:
    photos("flickr30k_images/d.jpg")
    file = write("results.csv", FLICKR30K)
    assert [(s.name, s.captions) for s in read_csv(str(file), ("en",))] == [
        ("flickr30k_images/d.jpg", ("A dog runs .", "A dog runs across the grass ."))
    ]


@pytest.mark.parametrize("line", ["d.jpg| A dog runs .", "d.jpg| 4", "d.jpg"])
def test_other_lines_without_a_bar_are_refused(write, photos, line: str) -> None:
    photos("flickr30k_images/d.jpg")
    file = write("results.csv", FLICKR30K + line + "\n")
    with pytest.raises(BadData, match=rf"results.csv, line 4: found {line.count('|') + 1} columns; expected 3"):
        read_csv(str(file), ("en",))


def test_quotation_marks_of_flickr30k_belong_to_the_caption(write, photos) -> None:
    photos("flickr30k_images/d.jpg")
    file = write("results.csv", FLICKR30K + 'd.jpg| 1| " Hi " says a man .\n')
    assert read_csv(str(file), ("en",))[0].captions[2] == '" Hi " says a man .'


def test_a_missing_first_photo_does_not_make_the_others_missing(write, photos) -> None:
    photos("Images/d.jpg", "Images/e.jpg")
    file = write("captions.txt", "image,caption\nno.jpg,A dog .\nd.jpg,A dog .\ne.jpg,A cat .\n")
    with pytest.raises(MissingImages, match=r"line 2: .* no file .*Images/no.jpg; expected") as caught:
        read_csv(str(file), ("en",))
    assert len(caught.value.names) == 1


def test_a_relative_path_is_the_same_data(write, photos, monkeypatch: pytest.MonkeyPatch) -> None:
    photos("Images/d.jpg")
    file = write("captions.txt", "image,caption\nd.jpg,A dog .\n")
    whole = read_csv(str(file), ("en",))
    monkeypatch.chdir(file.parent)
    assert read_csv("captions.txt", ("en",)) == read_csv("captions.txt,Images", ("en",)) == whole
