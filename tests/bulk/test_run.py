"""What a second run does with an output: goes on, refuses, retries, skips."""

from __future__ import annotations

import csv
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.bulk.stub import OUTPUTS, caption, engine, photos, tree

from showtell.bulk.ledger import Ledger
from showtell.bulk.run import Run, RunOptions, Summary
from showtell.bulk.sinks import SinkOptions, make_sink
from showtell.bulk.storage import Storage
from showtell.core.sources import ImageInput
from showtell.errors import BadConfig, ShowtellError
from showtell.records import CaptionRow

ROW_OUTPUTS = OUTPUTS[:3]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def names(output: str) -> list[str]:
    if output.endswith(".parquet"):
        parquet = pytest.importorskip("pyarrow.parquet")
        return [str(name) for name in parquet.read_table(output).column("image").to_pylist()]
    with Path(output).open(encoding="utf-8", newline="") as file:
        if output.endswith(".csv"):
            return [row["image"] for row in csv.DictReader(file)]
        return [json.loads(line)["image"] for line in file]


def keys(*numbers: int) -> list[str]:
    return [image.path for image in photos(*numbers)]


def never(images: Iterator[ImageInput]) -> Iterator[CaptionRow]:
    for image in images:
        raise AssertionError(f"{image.path} is captioned again")
    yield from ()


@pytest.mark.parametrize("output", OUTPUTS)
def test_a_finished_run_given_again_does_nothing(output: str) -> None:
    first = caption(output, photos(*range(10)), rows=engine(lambda key: "3" in key))
    assert first == Summary(10, 9, 1, 0, 0, {"truncated": 1})
    before = {path: path.stat().st_mtime_ns for path in Path().rglob("*") if path.is_file()}
    assert caption(output, photos(*range(10)), rows=never) == first
    assert {path: path.stat().st_mtime_ns for path in Path().rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("output", ROW_OUTPUTS)
def test_photos_that_came_and_went(output: str) -> None:
    """New ones anywhere in the order come last, those that are gone keep their rows, and none comes twice."""
    caption(output, photos(0, 2, 4, 6, 8))
    summary = caption(output, photos(8, 1, 2, 3, 4, 8))
    assert names(output) == keys(0, 2, 4, 6, 8, 1, 3, 8)
    assert summary == Summary(6, 8, 0, 0, 2, {})


def test_an_input_that_is_named_twice_has_two_rows() -> None:
    caption("rows.jsonl", photos(1, 1, 2))
    assert caption("rows.jsonl", photos(1, 1, 2), rows=never).inputs == 3
    caption("rows.jsonl", photos(1, 1, 2, 1))
    assert names("rows.jsonl") == keys(1, 1, 2, 1)


@pytest.mark.parametrize("output", ROW_OUTPUTS)
def test_failed_inputs_are_tried_again_in_their_place(output: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("showtell.bulk.parquet_sink.ROWS_PER_PART", 4)
    caption(output, photos(*range(10)), rows=engine(lambda key: key[-5] in "37"))
    retry = RunOptions(retry_failed=True)
    asked: list[str] = []

    def rows(images: Iterator[ImageInput]) -> Iterator[CaptionRow]:
        for row in engine(lambda key: key[-5] == "7")(images):
            asked.append(str(row.source.path))  # type: ignore[attr-defined]
            yield row

    assert caption(output, photos(*range(10)), rows=rows, options=retry).by_code == {"truncated": 1}
    assert caption(output, photos(*range(10)), rows=rows, options=retry).failed == 1
    assert asked == keys(3, 7, 7)
    caption(output, photos(*range(10)), options=retry)
    caption("whole" + output, photos(*range(10)))
    found, whole = tree(Path()), tree(Path("whole" + output))
    assert names(output) == keys(*range(10))
    assert Path(output).is_dir() or found[output] == found["whole" + output]
    assert {key: found[f"{output}/{key}"] for key in whole} == whole


def test_failed_inputs_of_an_unfinished_run_are_tried_with_the_rest() -> None:
    with pytest.raises(ZeroDivisionError):
        caption("rows.jsonl", photos(*range(10)), rows=stopping(6, engine(lambda key: key.endswith("2.jpg"))))  # type: ignore[arg-type]
    summary = caption("rows.jsonl", photos(*range(10)), options=RunOptions(retry_failed=True))
    assert summary == Summary(10, 10, 0, 0, 0, {}) and names("rows.jsonl") == keys(*range(10))


def stopping(after: int, inner: object = None) -> object:
    def rows(images: Iterator[ImageInput]) -> Iterator[CaptionRow]:
        for number, row in enumerate((inner or engine())(images)):  # type: ignore[operator]
            if number == after:
                raise ZeroDivisionError
            yield row

    return rows


@pytest.mark.parametrize("output", OUTPUTS)
def test_another_run_is_refused_by_what_differs(output: str) -> None:
    with pytest.raises(ZeroDivisionError):
        caption(output, photos(*range(10)), rows=stopping(5))  # type: ignore[arg-type]
    before = tree(Path())
    for changes, message in (
        ({"model": "other"}, "another model"),
        ({"settings": {"beam_size": 3}}, "found beam_size None, expected 3"),
        ({"inputs": ("a", "b", "c", "d")}, "found the inputs photos, expected a b c and 1 more"),
    ):
        with pytest.raises(BadConfig, match=message) as error:
            caption(output, photos(*range(10)), **changes)  # type: ignore[arg-type]
        assert "--overwrite to begin anew, --allow-changed to go on" in str(error.value)
        assert tree(Path()) == before
    summary = caption(output, photos(*range(10)), model="other", options=RunOptions(allow_changed=True))
    assert summary.captioned == 10
    caption(output, photos(*range(10)), model="other", rows=never)  # what it went on with counts from now on


def test_rows_of_another_form_are_refused_even_so() -> None:
    caption("rows.csv", photos(1))
    with pytest.raises(BadConfig, match="its rows have num 1, these would have 2"):
        caption("rows.csv", photos(1, 2), settings={"num": 2}, options=RunOptions(allow_changed=True))


@pytest.mark.parametrize("output", OUTPUTS)
def test_overwrite_begins_anew(output: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("showtell.bulk.parquet_sink.ROWS_PER_PART", 2)
    caption(output, photos(*range(5)), settings={"beam_size": 3})
    caption(output, photos(*range(2)), options=RunOptions(overwrite=True))
    if ":" in output:
        return  # files of photos that are not among the inputs are not removed
    assert names(output) == keys(0, 1)


def test_what_is_there_without_a_ledger_is_not_touched() -> None:
    """An older output, somebody's file, the rows that an earlier version left in NAME.partial."""
    Path("rows.jsonl").write_text("old")
    Path("more.csv.partial").write_text("old")
    Path("rows.parquet").mkdir()
    Path("rows.parquet/part-00000.parquet").write_text("old")
    for output in ("rows.jsonl", "more.csv", "rows.parquet"):
        with pytest.raises(BadConfig, match="ledger of an earlier run"):
            caption(output, photos(1))
    assert set(tree(Path()).values()) == {b"old"}
    Path("empty.jsonl").touch()  # as of mktemp
    caption("empty.jsonl", photos(1))
    assert names("empty.jsonl") == keys(1)


def test_an_output_that_was_removed_begins_anew() -> None:
    for output in ROW_OUTPUTS:
        caption(output, photos(1, 2))
        Path(output).rename(f"moved-{output}")
        caption(output, photos(1, 2))
        assert names(output) == names(f"moved-{output}")


def test_an_output_that_somebody_changed_is_refused() -> None:
    caption("rows.jsonl", photos(1, 2))
    with Path("rows.jsonl").open("a") as file:
        file.write("{}\n")
    with pytest.raises(BadConfig, match=r"bytes in .*rows.jsonl, where the ledger has \d+: changed since"):
        caption("rows.jsonl", photos(1, 2))
    assert Path("rows.jsonl").read_text().endswith("{}\n")
    caption("rows.parquet", photos(1, 2))
    Path("rows.parquet/part-00000.parquet").rename("rows.parquet/other.parquet")
    with pytest.raises(BadConfig, match=r"found no part-00000.parquet, which the ledger has"):
        caption("rows.parquet", photos(1, 2))


@pytest.mark.parametrize("damage", [b"-9", b"-1", b"\0" * 40, b'12345678 {"keys":["x"],"codes":{}}\n'])
def test_a_ledger_whose_end_is_damaged_loses_that_batch_only(damage: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("showtell.bulk.run.COMMIT_ROWS", 2)
    with pytest.raises(ZeroDivisionError):
        caption("rows.jsonl", photos(*range(10)), rows=stopping(6))  # type: ignore[arg-type]
    ledger = Path("rows.jsonl.ledger/ledger.jsonl")
    data = ledger.read_bytes()
    ledger.write_bytes(data[: int(damage)] if damage.startswith(b"-") else data + damage)
    caption("rows.jsonl", photos(*range(10)))
    caption("whole.jsonl", photos(*range(10)))
    assert Path("rows.jsonl").read_bytes() == Path("whole.jsonl").read_bytes()
    caption("rows.jsonl", photos(*range(10)), rows=never)  # the ledger can be read to its end again


@pytest.mark.parametrize("output", OUTPUTS)
def test_a_second_run_is_refused_while_the_first_one_runs(output: str) -> None:
    def rows(images: Iterator[ImageInput]) -> Iterator[CaptionRow]:
        with pytest.raises(BadConfig, match="another run is writing it; wait until it ends"):
            caption(f"./{output}" if ":" not in output else output, photos(1))
        return engine()(images)

    assert caption(output, photos(1, 2), rows=rows).captioned == 2
    assert not list(Path().rglob("*.lock"))


def test_without_locks_the_run_whose_file_another_one_changes_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("showtell.bulk.run.locked", lambda path: __import__("contextlib").nullcontext(False))
    monkeypatch.setattr("showtell.bulk.run.COMMIT_ROWS", 2)

    def rows(images: Iterator[ImageInput]) -> Iterator[CaptionRow]:
        for number, row in enumerate(engine()(images)):
            if number == 5:
                caption("rows.jsonl", photos(*range(10)))
            yield row

    with pytest.raises((ShowtellError, OSError), match=r"another run changes|moved or removed"):
        caption("rows.jsonl", photos(*range(10)), rows=rows)
    assert names("rows.jsonl") == keys(*range(10))


def test_photos_with_a_sidecar_are_skipped_or_refused_or_overwritten() -> None:
    own = Path("out/photos/000001.txt")
    own.parent.mkdir(parents=True)
    own.write_text("by hand")
    with pytest.raises(BadConfig, match=r"000001.txt with other content; give --skip-existing"):
        caption("sidecar:out", photos(*range(4)))
    assert own.read_text() == "by hand"
    summary = caption("sidecar:out", photos(*range(4)), options=RunOptions(skip_existing=True))
    assert (summary.captioned, summary.skipped, own.read_text()) == (3, 1, "by hand")
    caption("sidecar:out", photos(*range(4)), options=RunOptions(overwrite=True))
    assert own.read_text() == "a photo of photos/000001.jpg\n"


def test_an_overwriting_run_goes_on_overwriting() -> None:
    last = Path("out/photos/000009.txt")
    last.parent.mkdir(parents=True)
    last.write_text("by hand")
    with pytest.raises(ZeroDivisionError):
        caption("sidecar:out", photos(*range(10)), rows=stopping(5), options=RunOptions(overwrite=True))  # type: ignore[arg-type]
    assert caption("sidecar:out", photos(*range(10))).captioned == 10 and last.read_text() != "by hand"


def test_a_row_that_is_not_of_the_next_input_is_a_bug() -> None:
    with pytest.raises(ValueError, match="expected that of"):
        caption("rows.jsonl", photos(1, 2), rows=lambda images: reversed(list(engine()(images))))  # type: ignore[arg-type, return-value]


def test_a_summary_that_does_not_add_up_is_an_error() -> None:
    with pytest.raises(ShowtellError, match="found 3 inputs, and 0 that are gone, with 2 rows"):
        Summary(3, 1, 1, 0, 0, {"missing": 1}).check()
    with pytest.raises(ShowtellError):
        Summary(2, 1, 1, 0, 0, {}).check()
    caption("rows.jsonl", photos(1, 2))
    assert json.loads(Path("rows.jsonl.ledger/summary.json").read_text())["captioned"] == 2


def test_memory_does_not_grow_with_the_number_of_inputs() -> None:
    """Neither of a run, nor of the next one, which passes over all that is done."""

    def peak(count: int) -> int:
        images = (ImageInput(f"photos/{number:09d}.jpg") for number in range(count))
        tracemalloc.start()
        caption(f"{count}.jsonl", images)
        caption(f"{count}.jsonl", (ImageInput(f"photos/{number:09d}.jpg") for number in range(count)), rows=never)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(1000)
    assert peak(8000) < 1.2 * peak(2000)


def test_a_commit_is_due_after_a_second(tmp_path: Path) -> None:
    """By an injected clock; a clock that stands still, or jumps, loses no row."""
    now = [0.0]
    with Run(make_sink("rows.jsonl", SinkOptions(), Storage()), "rows.jsonl", clock=lambda: now[0]) as run:
        run.begin({"output": "jsonl"})
        for number, row in enumerate(engine()(run.pending(photos(*range(6))))):
            now[0] = (0.0, 0.5, 1.5, 1.6, 1e9, 1e9)[number]
            run.add(row, {"image": "x"})
            committed = Ledger(Storage(), Path("rows.jsonl.ledger")).known.entries
            assert committed == (0, 0, 3, 3, 5, 5)[number]
        run.finish()
