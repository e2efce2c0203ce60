"""Whole runs on drawn data, small enough for a test: resuming, choosing the best, stopping."""

import json
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from showtell.config import apply_overrides, parse_recipe
from showtell.data.spec import read_samples
from showtell.errors import BadConfig, BadData
from showtell.recipes import find_recipe
from showtell.settings import Recipe
from showtell.train.loop import Interrupted, Trainer
from showtell.train.progress import Reporter
from showtell.train.run_folder import RunFolder
from showtell.train.start import start

TINY = [
    "data=shapes:48",
    "model.encoder.pixels.size=32",
    "model.encoder.options={output_stride: 16}",
    "model.decoder.width=16",
    "train.epochs=2",
    "train.batch_size=16",
    "train.views=2",
    "train.average=0.9",
    "train.encoder_from_epoch=1",
    "decode.beam=1",
    "decode.max_length=6",
]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOWTELL_CACHE", str(tmp_path / "cache"))


def recipe(*changes: str) -> Recipe:
    return parse_recipe(apply_overrides(find_recipe("shapes"), [*TINY, *changes]), "test")


def count_words(
    captions: Mapping[str, str], references: Mapping[str, Sequence[str]], language: str
) -> dict[str, float]:
    """A score that any caption has; training knows nothing of what it means."""
    assert set(captions) == set(references)
    return {"CIDEr": sum(len(c.split()) for c in captions.values()) / len(captions), "BLEU-4": 0.0}


def trainer(folder: Path, settings: Recipe, score: object = count_words) -> Trainer:
    run = RunFolder(folder)
    run.open(settings)
    samples = read_samples(settings.data, settings.text.languages)
    return start(settings, run, samples, score, Reporter(), lambda done: None)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    state = load_file(str(folder / "last" / "state.safetensors"))
    return {name: tensor for name, tensor in state.items() if not name.startswith("random.")}


@pytest.mark.parametrize("decoder", ["transformer", "attention_lstm"])
@pytest.mark.parametrize("steps_before_the_stop", [1, 3, 4])
def test_a_run_that_was_stopped_ends_as_one_that_was_not(
    tmp_path: Path, decoder: str, steps_before_the_stop: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit for bit: weights, average and optimiser. Three steps are an epoch; the stop comes as Ctrl-C does."""
    # Dropout makes the random generator matter to a resumed run.
    settings = recipe(f"model.decoder.kind={decoder}", "model.decoder.dropout=0.1")
    trainer(tmp_path / "whole", settings).fit()
    stopped = trainer(tmp_path / "parts", settings)
    step = stopped._step

    def step_then_stop(batch: object) -> float:
        entropy = step(batch)
        if stopped.position.step == steps_before_the_stop:
            os.kill(os.getpid(), signal.SIGINT)
        return entropy

    monkeypatch.setattr(stopped, "_step", step_then_stop)
    with pytest.raises(Interrupted):
        stopped.fit()
    assert stopped.position.step == steps_before_the_stop
    resumed = trainer(tmp_path / "parts", settings)
    assert resumed.position.step == steps_before_the_stop
    resumed.fit()
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    assert [name for name in whole if not torch.equal(whole[name], parts[name])] == []


def test_the_handler_of_ctrl_c_is_put_back(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    trainer(tmp_path / "run", recipe("train.epochs=1")).fit()
    assert signal.getsignal(signal.SIGINT) is before


def test_the_run_folder_has_what_the_design_says(tmp_path: Path) -> None:
    run = tmp_path / "run"
    trainer(run, recipe()).fit()
    assert parse_recipe(RunFolder(run).recipe().model_dump(mode="json"), "again") == recipe()
    log = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [entry["epoch"] for entry in log if entry["kind"] == "dev"] == [1, 2]
    predictions = [
        json.loads(line) for line in (run / "predictions.dev.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert len(predictions) == 50 and all(row["references"] for row in predictions)
    assert list((run / "tensorboard").glob("events.*"))


def test_the_best_epoch_is_kept_not_the_last(tmp_path: Path) -> None:
    values = iter([0.7, 0.2])
    run = trainer(tmp_path / "run", recipe(), lambda c, r, language: {"CIDEr": next(values), "BLEU-4": 0.0})
    kept: list[dict[str, torch.Tensor]] = []
    run.after_epoch = lambda folder: kept.append(load_file(str(folder.best)))
    run.fit()
    assert json.loads(RunFolder(tmp_path / "run").best_scores.read_text(encoding="utf-8"))["epoch"] == 1
    assert all(torch.equal(kept[0][name], kept[1][name]) for name in kept[0])


def test_the_averaged_weights_are_what_is_kept(tmp_path: Path) -> None:
    run = trainer(tmp_path / "run", recipe("train.epochs=1"))
    run.fit()
    assert run.average is not None
    best = load_file(str(RunFolder(tmp_path / "run").best))
    average, own = run.average.module.state_dict(), run.model.state_dict()
    assert all(torch.equal(best[name], average[name]) for name in best)
    assert not torch.equal(average["decoder.words.weight"], own["decoder.words.weight"])


def test_the_encoder_waits_for_its_epoch(tmp_path: Path) -> None:
    run = trainer(tmp_path / "run", recipe())
    convolution = next(run.model.encoder.late.parameters())
    history = [convolution.detach().clone()]
    run.after_epoch = lambda folder: history.append(convolution.detach().clone())
    run.fit()
    assert torch.equal(history[0], history[1]) and not torch.equal(history[1], history[2])


def test_other_settings_do_not_go_on_in_the_same_folder(tmp_path: Path) -> None:
    RunFolder(tmp_path / "run").open(recipe())
    RunFolder(tmp_path / "run").state.write_bytes(b"state")
    with pytest.raises(BadConfig, match=r"train\.lr is 0\.003 there, 0\.5 here"):
        RunFolder(tmp_path / "run").open(recipe("train.lr=0.5"))


def test_data_without_a_dev_split_is_refused(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    run.open(recipe())
    train_only = [s for s in read_samples("shapes:48", ("en",)) if s.split == "train"]
    with pytest.raises(BadData, match="'dev'"):
        start(recipe(), run, train_only, count_words, Reporter(), lambda done: None)
