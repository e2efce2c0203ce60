"""Some damaged and hostile models; and what the torture looks for would be found."""

from pathlib import Path

import pytest
from tests import skips

pytest.importorskip("torch", reason=skips.PACKAGES)
pytest.importorskip("onnx", reason=skips.PACKAGES)

from tests.manifests import write_manifest
from torture.harness import Tally
from torture.hostile_models import HOSTILE, Hostile, pickled
from torture.model_files import outcome

from showtell.core.bundle import CHECKSUM, MANIFEST
from torture import bundles

BUNDLE = "bundle of an imported model"
FILES = [number for number, (name, _) in enumerate(bundles.TARGETS) if name == BUNDLE]


@pytest.mark.parametrize("kind", [bundles.CUTS, bundles.FLIPS])
def test_each_file_of_a_bundle(kind: str) -> None:
    tally = bundles.check(kind, [*FILES, *(number + len(bundles.TARGETS) for number in FILES)], lambda name: None)
    assert tally.failures == [] and tally.counts[f"{kind}: refused"] == 2 * len(FILES) == 10


def test_each_hostile_bundle() -> None:
    numbers = [number for number, hostile in enumerate(HOSTILE.values()) if hostile.subject == BUNDLE]
    tally = bundles.check(bundles.HOSTILE_FILES, numbers, lambda name: None)
    assert tally.failures == [] and tally.counts["hostile files: refused"] == len(numbers) >= 20


def test_there_are_twenty_hostile_files_and_the_pickles_would_leave_a_canary(tmp_path: Path) -> None:
    import pickle

    assert len(HOSTILE) >= 20
    pickle.loads(pickled(tmp_path / "canary"))  # noqa: S301 (what showtell never does)
    assert (tmp_path / "canary").exists()


def test_what_is_taken_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def change(folder: Path, canary: Path, secret: Path) -> None:
        import json

        raw = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        assert raw.pop(CHECKSUM)
        (folder / MANIFEST).unlink()  # it is a link to the original
        write_manifest(folder, {**raw, "showtell": "9.9"})
        canary.touch()
        secret.write_bytes(b"overwritten")

    monkeypatch.setitem(HOSTILE, "test", Hostile(BUNDLE, change))
    tally = Tally()
    bundles.attack("test", tmp_path, tally)
    assert [line.partition(": ")[2] for line in tally.failures] == [
        "taken, with other content",
        "its code was executed",
        "a file outside its folder was changed",
    ]


def test_a_foreign_error_would_be_found() -> None:
    assert outcome(lambda: 1 // 0, None).startswith("raised ZeroDivisionError")
