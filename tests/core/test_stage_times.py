"""Where the time goes: every stage is timed, and together they write what `caption_many` writes."""

from pathlib import Path

from PIL import Image
from tests import tiny_bundle

from showtell import Captioner
from showtell.core.stage_times import STAGES, Stopwatch, stage_times
from showtell.records import CaptionRow


def photos(folder: Path, count: int) -> list[Path]:
    paths = [folder / f"{n}.png" for n in range(count)]
    for n, path in enumerate(paths):
        Image.new("RGB", (40, 30), (60 * n, 90, 30)).save(path)
    return paths


class Ticks:
    """A clock that goes on by one second at each look."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def test_every_stage_is_timed_once_per_batch(tmp_path: Path) -> None:
    captioner = Captioner.load(tiny_bundle.write(tmp_path / "bundle", tmp_path / "parts"))
    seconds = stage_times(captioner, photos(tmp_path, 3), 2, lambda row: None, Ticks())
    assert tuple(seconds) == STAGES
    assert set(seconds.values()) == {2 / 3}  # two batches of one second each, three photos


def test_the_stages_write_the_rows_of_caption_many(tmp_path: Path) -> None:
    captioner = Captioner.load(tiny_bundle.write(tmp_path / "bundle", tmp_path / "parts"))
    paths = photos(tmp_path, 3)
    rows: list[CaptionRow] = []
    stage_times(captioner, paths, 2, rows.append)
    assert rows == list(captioner.caption_many(map(str, paths)))
    assert rows[0].captions[0].text == "a dog runs."


def test_those_of_a_model_with_a_reranker_too() -> None:
    captioner, paths = Captioner.load(threads=1), sorted((Path(__file__).parents[2] / "examples").glob("*.jpg"))[:3]
    rows: list[CaptionRow] = []
    stage_times(captioner, paths, 3, rows.append)
    assert rows == list(captioner.caption_many(map(str, paths)))
    assert all(row.captions[0].expected_cider is not None for row in rows)


def test_a_stopwatch_adds_up_by_name() -> None:
    now = iter((1.0, 3.0, 3.0, 3.5, 10.0, 14.0))
    watch = Stopwatch(lambda: next(now))
    for name in ("a", "b", "a"):
        with watch.measure(name):
            pass
    assert watch.seconds == {"a": 6.0, "b": 0.5}
