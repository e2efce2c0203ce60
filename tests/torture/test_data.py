"""Every defect once, and every format whole once; and what the torture looks for would be found."""

import random
from pathlib import Path

import pytest
from tests import skips

pytest.importorskip("pyarrow", reason=skips.PACKAGES)

from torture.data_sets import FORMATS, photos
from torture.defects import DEFECTS
from torture.harness import Tally
from torture.planting import Defect, Planting

from torture import data


def test_there_are_forty_defects() -> None:
    assert len(DEFECTS) >= 40 and {defect.format for defect in DEFECTS.values()} == set(FORMATS)


@pytest.mark.parametrize("kind", FORMATS)
def test_defects_of_a_format_and_a_whole_one(kind: str) -> None:
    names = [name for name, defect in DEFECTS.items() if defect.format == kind]
    tally = data.check(0, names, [kind], lambda name: None)
    assert tally.failures == [] and tally.counts == {"defects": len(names), "whole": 1}


def test_a_defect_that_is_not_found_would_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tally = Tally()
    monkeypatch.setitem(DEFECTS, "none", Defect("csv", lambda p: ("t.csv",)))
    data.check_defect("none", 0, tmp_path, tally)
    assert len(tally.failures) == 1 and "not found" in tally.failures[0]


def test_a_defect_named_at_another_place_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def plant(p: Planting) -> tuple[str, ...]:
        p.file_of(p.items[0]).write_bytes(b"")
        return p.items[1].name, "unreadable: empty"

    tally = Tally()
    monkeypatch.setitem(DEFECTS, "elsewhere", Defect("csv", plant))
    data.check_defect("elsewhere", 0, tmp_path, tally)
    assert len(tally.failures) == 2  # the right place is missing, and a line of something else is there


def test_a_false_alarm_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(folder: Path, items: list, rng: random.Random) -> str:  # type: ignore[type-arg]
        spec = FORMATS["folder"](folder, items, rng)
        next(folder.rglob("*.png")).write_bytes(b"")
        return spec

    tally = Tally()
    monkeypatch.setitem(FORMATS, "broken", write)
    data.check_whole("broken", 0, tmp_path, tally)
    assert len(tally.failures) == 1 and "a false alarm" in tally.failures[0]
    assert len({photo.pixels.tobytes() for photo in photos(random.Random(1))}) == 12
