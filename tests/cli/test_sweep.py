"""`showtell sweep`, as it is typed, on drawn data: what it leaves behind, how it goes on, what it says of a mistake."""

import csv
import json
import os
import signal
from pathlib import Path

import pytest
from PIL import Image
from tests import skips
from typer.testing import CliRunner, Result

from showtell.cli.main import app

pytest.importorskip("torch", reason=skips.PACKAGES)

from safetensors.torch import load_file

from showtell.train.loop import Trainer

TINY = [
    "shapes",
    "data=shapes:32",
    "model.encoder.pixels.size=32",
    "model.encoder.timm_kwargs={output_stride: 16}",
    "model.decoder.width=16",
    "model.decoder.heads=2",
    "train.epochs=1",
    "train.batch_size=16",
    "train.monitor=loss",
    "decode.beam_size=1",
    "decode.max_length=4",
]
STEPS = 2
"""Of each run."""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOWTELL_CACHE", str(tmp_path / "cache"))


def sweep(folder: Path, *settings: str) -> Result:
    return CliRunner().invoke(app, ["sweep", *TINY, *settings, "--output", str(folder)])


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "sweep.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def refused(done: Result) -> str:
    assert done.exception is not None and not isinstance(done.exception, SystemExit)
    assert "\n" not in str(done.exception)
    return str(done.exception)


def test_every_combination_a_table_a_plot_and_the_best(tmp_path: Path) -> None:
    done = sweep(tmp_path / "sweep", "train.lr=0.0001,0.01", "model.decoder.layers=1,2")
    assert done.exit_code == 0, done.output
    rows = table(tmp_path / "sweep")
    grid = [("0.0001", "1"), ("0.0001", "2"), ("0.01", "1"), ("0.01", "2")]
    assert [(row["lr"], row["layers"]) for row in rows] == grid
    assert {(row["state"], row["best epoch"], row["epochs run"]) for row in rows} == {("done", "1", "1")}
    for row in rows:
        kept = json.loads((tmp_path / "sweep" / row["run"] / "best" / "scores.json").read_text(encoding="utf-8"))
        assert {"CIDEr", "BLEU-4", "ROUGE-L", "loss", "top-5"} < kept["scores"].keys() - {"en"}
        assert {name: float(row[name]) for name in kept["scores"] if name != "en"} == {
            name: value for name, value in kept["scores"].items() if name != "en"
        }
    sizes = [int(row["parameters"]) for row in rows]
    assert sizes[0] == sizes[2] < sizes[1] == sizes[3]
    best = min(rows, key=lambda row: float(row["loss"]))
    assert f"best: lr={best['lr']} layers={best['layers']}, epoch 1, dev loss {float(best['loss']):.4f}" in done.stderr
    assert f"next: showtell export {tmp_path / 'sweep' / best['run']} DIR" in done.stderr
    with Image.open(tmp_path / "sweep" / "sweep.png") as picture:
        assert picture.width > 1000
    assert sorted(path.name for path in (tmp_path / "sweep").iterdir() if path.is_file()) == [
        "sweep.csv",
        "sweep.md",
        "sweep.png",
    ]


def test_a_run_of_a_sweep_is_the_run_that_train_makes(tmp_path: Path) -> None:
    """Whatever ran before it in the same process."""
    sweep(tmp_path / "sweep", "train.seed=1,2")
    train = ["train", *TINY, "train.seed=2", "--run", str(tmp_path / "alone")]
    assert " is finished" not in CliRunner().invoke(app, train).stderr
    swept, alone = tmp_path / "sweep" / "seed=2", tmp_path / "alone"
    assert (swept / "config.yaml").read_bytes() == (alone / "config.yaml").read_bytes()
    one, other = (load_file(str(folder / "last" / "state.safetensors")) for folder in (swept, alone))
    assert one.keys() == other.keys() and [n for n in one if not one[n].equal(other[n])] == []
    again = CliRunner().invoke(app, train)
    assert again.exit_code == 0 and f"{alone} is finished\nbest: epoch 1, dev loss " in again.stderr


def test_interrupted_it_goes_on_and_finished_runs_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = 0
    step = Trainer.step

    def step_then_stop(self: Trainer, group: object) -> float:
        nonlocal steps
        steps += 1
        entropy = step(self, group)  # type: ignore[arg-type]
        if steps == STEPS + 1:  # in the second run
            os.kill(os.getpid(), signal.SIGINT)
        return entropy

    monkeypatch.setattr(Trainer, "step", step_then_stop)
    folder = tmp_path / "sweep"
    done = sweep(folder, "train.seed=1,2,3")
    assert done.exit_code == 130 and "stopped; 1 of 3 are done; the same command goes on" in done.stderr
    assert [row["state"] for row in table(folder)] == ["done", "interrupted", "waiting"]
    finished = folder / "seed=1" / "last" / "state.safetensors"
    before = finished.stat().st_mtime_ns
    done = sweep(folder, "train.seed=1,2,3")
    assert done.exit_code == 0, done.output
    assert [row["state"] for row in table(folder)] == ["done", "done", "done"]
    assert done.stderr.count(" is finished") == 1 and done.stderr.count("photos to train on") == 2
    assert finished.stat().st_mtime_ns == before
    assert steps == 3 * STEPS  # no step was taken twice


def test_a_failure_has_its_reason_and_the_others_go_on(tmp_path: Path) -> None:
    fixed = ["train.max_images=12", "train.trainable_encoder_stages=0", "model.encoder.layer=pooled"]
    done = sweep(tmp_path / "sweep", *fixed, "model.encoder.pca=13,4")
    assert done.exit_code == 1
    first, second = table(tmp_path / "sweep")
    assert (first["state"], second["state"]) == ("failed", "done")
    assert "the training split has 12 features" in first["why"] and first["loss"] == "" and second["why"] == ""
    assert "1 of 2 failed" in done.stderr and "best: pca=4" in done.stderr
    assert "the training split has 12 features" in (tmp_path / "sweep" / "sweep.md").read_text(encoding="utf-8")


def test_a_network_that_broke_is_not_the_best(tmp_path: Path) -> None:
    done = sweep(tmp_path / "sweep", "train.lr=1e20,0.01", "train.max_grad_norm=null")
    assert done.exit_code == 1, done.output
    broken, sound = table(tmp_path / "sweep")
    assert (broken["state"], broken["loss"]) == ("failed", "") and "the loss is nan in epoch 1" in broken["why"]
    assert float(sound["loss"]) > 0 and "best: lr=0.01, epoch 1" in done.stderr


@pytest.mark.parametrize(
    ("settings", "messages"),
    [
        (["model.encoder=test_resnet,test_resnest"], ["timm has no 'test_resnest'"]),
        (["train.seed=1,2", "train.devices=2"], ["train.devices is 2; a sweep trains one run after another"]),
        (
            ["train.trainable_encoder_stages=5,6,7"],
            ["train.trainable_encoder_stages is 6", "train.trainable_encoder_stages is 7"],
        ),
        (["train.seed=1,2", "model.decoder.heads=3"], ["heads=3,seed=1: ", "width 16 is no multiple of heads 3"]),
        (["train.lr=0.1,fast"], ["found 'fast'"]),
        (["data=shape:9"], ["did you mean 'shapes'?"]),
        (["train.lr=0.1"], ["nothing to sweep"]),
        (["train.seed=1,2", "model.encoder.weights=nowhere"], ["seed=1: model.encoder.weights: no file nowhere"]),
    ],
)
def test_what_can_be_known_is_said_before_the_first_run(
    settings: list[str], messages: list[str], tmp_path: Path
) -> None:
    told = refused(sweep(tmp_path / "sweep", *settings))
    assert all(message in told for message in messages)
    assert not (tmp_path / "sweep").exists()


def test_torchrun_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("WORLD_SIZE", "2")
    told = refused(sweep(tmp_path / "sweep", "train.seed=1,2"))
    assert told.startswith("torchrun has started 2 processes; a sweep trains one run after another in one process: ")
    assert not (tmp_path / "sweep").exists()


def test_runs_with_other_settings_are_left_alone(tmp_path: Path) -> None:
    sweep(tmp_path / "sweep", "train.seed=1,2")
    told = refused(sweep(tmp_path / "sweep", "train.seed=1,2", "train.lr=0.5"))
    assert told.count("train.lr is 0.003 there, 0.5 here") == 2


def test_data_are_read_once_for_each_spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from showtell.data import spec

    read, real = [], spec.read_samples
    monkeypatch.setattr(spec, "read_samples", lambda where, *rest: read.append(where) or real(where, *rest))
    done = sweep(tmp_path / "sweep", "data=shapes:16", "train.seed=1,2")
    assert done.exit_code == 0, done.output
    assert read == ["shapes:32", "shapes:16"]
    assert len(table(tmp_path / "sweep")) == 4
