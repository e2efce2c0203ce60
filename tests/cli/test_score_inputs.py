"""`score` on what `caption` writes and other programs have; what it and `evaluate` say about single photos."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.cli.in_process import showtell

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.jpg"))[:3]
REFERENCES = {photo.stem: [f"a {photo.stem} in the grass", "a photo"] for photo in EXAMPLES}


def scored(candidates: Path, references: Path) -> dict[str, str]:
    done = showtell("score", candidates, references, "--report", "-")
    assert done.returncode == 0, done.stderr
    return {Path(row["image"]).stem.lower(): row["caption"] for row in json.loads(done.stdout)["rows"]}


@pytest.fixture(scope="module")
def printed() -> str:
    done = showtell("caption", "--num", 2, *EXAMPLES)
    assert done.returncode == 0
    return done.stdout


def test_what_caption_prints_and_writes_scores_alike(printed: str, tmp_path: Path) -> None:
    expected = {}
    for line in printed.splitlines():
        path, caption = line.split("\t")
        expected.setdefault(Path(path).stem, caption)
    files = [tmp_path / "printed.txt", tmp_path / "rows.jsonl", tmp_path / "rows.csv"]
    files[0].write_text(printed, encoding="utf-8")
    for file in files[1:]:
        assert showtell("caption", "--num", 2, "--output", file, *EXAMPLES).returncode == 0
    by_stem, by_name, by_path, tokens = (tmp_path / f"references{n}.json" for n in range(4))
    by_stem.write_text(json.dumps(REFERENCES))
    by_name.write_text(json.dumps({f"{name.upper()}.JPG": texts for name, texts in REFERENCES.items()}))
    by_path.write_text(json.dumps({f"old/{name}.png": texts for name, texts in REFERENCES.items()}))
    lines = [f"{name}.jpg#{n}\t{text}\n" for name, texts in REFERENCES.items() for n, text in enumerate(texts)]
    tokens.write_text("".join(lines))
    for references in (by_stem, by_name, by_path, tokens):
        for file in files:
            assert scored(file, references) == expected, (file, references)


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_printed_names_and_captions_in_quotes(encoding: str, tmp_path: Path) -> None:
    """`caption` prints so what would be no line, or what the encoding lacks."""
    names = ["é.jpg", "tab\there.jpg", "line\nbreak.jpg", '"quoted".jpg', "back\\slash.jpg", "\u202egpj.jpg"]
    for name in names:
        shutil.copy(EXAMPLES[0], tmp_path / name)
    options = ("--lang", "ar", "--beam", 1)
    printed = showtell("caption", tmp_path, *options, PYTHONIOENCODING=encoding).stdout
    plain = showtell("caption", EXAMPLES[0], *options).stdout.rstrip("\n").split("\t")[1]
    (tmp_path / "references.json").write_text(json.dumps({name: ["كلب"] for name in names}))
    done = showtell("score", "-", tmp_path / "references.json", "--lang", "ar", "--report", "-", stdin=printed)
    assert done.returncode == 0, done.stderr
    rows = {row["image"]: row["caption"] for row in json.loads(done.stdout)["rows"]}
    assert rows == dict.fromkeys(names, plain) and plain


def test_no_data_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    shutil.copy(EXAMPLES[0], tmp_path / "data" / "a.jpg")
    table = tmp_path / "data" / "metadata.csv"
    table.write_text("file_name,text,split\na.jpg,a dog,dev\n")
    printed = tmp_path / "printed.txt"
    printed.write_text("a.jpg\ta dog\n")
    for spec in (f"csv:{table}", f"csv:{table},{table.parent}", f"folder:{table.parent}"):
        for command in (
            ["evaluate", "--data", spec, "--output", table],
            ["evaluate", "--data", spec, "--report", table],
            ["score", printed, spec, "--report", table],
        ):
            done = showtell(*command)
            assert done.returncode == 2 and "is read by this very command" in done.stderr
    assert table.read_text() == "file_name,text,split\na.jpg,a dog,dev\n"


@pytest.mark.parametrize("as_text", [True, False])
def test_ids_are_numbers_or_texts_in_every_form(tmp_path: Path, as_text: bool) -> None:
    captions: dict[int, str] = {1: "a dog runs", 2: "a cat"}

    def identifier(number: int) -> Any:
        return str(number) if as_text else number

    rows = [{"image_id": identifier(number), "caption": text} for number, text in captions.items()]
    candidates = [rows, {"annotations": rows}, {number: [{"caption": text}] for number, text in captions.items()}]
    references = [
        {"annotations": rows + rows[:1]},
        {"images": [{"id": float(number)} for number in captions], "annotations": rows},
        {number: [{"image_id": number, "caption": text}] * 2 for number, text in captions.items()},
        {number: [text] for number, text in captions.items()},
    ]
    for candidate in candidates:
        for reference in references:
            files = tmp_path / "c.json", tmp_path / "r.json"
            for file, content in zip(files, (candidate, reference), strict=True):
                file.write_text(json.dumps(content), encoding="utf-8")
            assert scored(*files) == {"1": "a dog runs", "2": "a cat"}


@pytest.mark.parametrize(
    ("references", "said"),
    [
        ({"a": ["a dog runs"]}, "CIDEr is 0 because there is one photo"),
        ({"a": ["a dog runs"], "b": ["a dog runs"]}, "CIDEr is 0 because all photos have the same references"),
        ({"a": ["a dog runs"], "b": ["a cat"]}, None),
        ({"a": ["one"], "b": ["two"]}, None),
    ],
)
def test_why_cider_is_0(tmp_path: Path, references: dict[str, list[str]], said: str | None) -> None:
    files = tmp_path / "c.json", tmp_path / "r.json"
    files[0].write_text(json.dumps(dict.fromkeys(references, "a dog runs")))
    files[1].write_text(json.dumps(references))
    done = showtell("score", *files)
    assert done.returncode == 0
    assert (said in done.stderr and done.stderr.count("\n") == 1) if said else "CIDEr is 0" not in done.stderr


def test_evaluate_names_the_photos_that_failed(tmp_path: Path) -> None:
    folder = tmp_path / "photos" / "dev"
    folder.mkdir(parents=True)
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        shutil.copy(EXAMPLES[0], folder / name)
        (folder / name).with_suffix(".txt").write_text(f"a dog {name}\n")
    (folder / "b.jpg").write_bytes(b"no photo")
    (folder / "c.jpg").write_bytes(b"")
    report = tmp_path / "report.json"
    done = showtell("evaluate", "--data", f"folder:{tmp_path / 'photos'}", "--report", report, "--beam", 1)
    assert done.returncode == 1
    assert "showtell: dev/b.jpg: not_an_image: " in done.stderr and "showtell: dev/c.jpg: empty: " in done.stderr
    assert "showtell: 2 photos failed and count as empty captions" in done.stderr
    result = json.loads(report.read_text(encoding="utf-8"))
    assert result["failed"] == {"dev/b.jpg": "not_an_image", "dev/c.jpg": "empty"}
    assert [row.get("error") for row in result["rows"]] == [None, "not_an_image", "empty"]
