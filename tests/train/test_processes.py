"""A run on two processes that exchange gradients (gloo) against the same run on one."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.clocks import HANG_SECONDS
from torch import Tensor

from showtell.config import apply_overrides, parse_recipe
from showtell.data.spec import read_samples
from showtell.metrics import score
from showtell.progress import ProgressReporter
from showtell.recipes import find_recipe
from showtell.settings import Recipe
from showtell.train.batches import PAD, Batch, part_of
from showtell.train.loop import Trainer
from showtell.train.run_folder import RunFolder
from showtell.train.setup import build_trainer, resolve_recipe

SETTINGS = [
    "data=shapes:47",
    "model.encoder.name=test_convnext",  # which has no batch norm, whose statistics are those of a process's images
    "model.encoder.pixels.size=64",
    "model.decoder.width=16",
    "model.decoder.dropout=0",
    "train.word_dropout=0",
    "train.batch_size=13",  # no multiple of two, and the last batch has eight
    "train.accumulate_grad_batches=2",
    "train.epochs=2",
    "train.views=2",
    "train.ema_decay=0.9",
    "train.trainable_encoder_stages=1",
    "train.unfreeze_encoder_at_epoch=1",
    "decode.beam_size=1",
    "decode.max_length=6",
]


def recipe(*more: str) -> Recipe:
    return parse_recipe(apply_overrides(find_recipe("shapes"), [*SETTINGS, *more]), "test")


def trainer(folder: Path, settings: Recipe) -> Trainer:
    run, samples = RunFolder(folder), read_samples(settings.data, settings.text.languages)
    settings = resolve_recipe(settings, samples)
    run.open(settings)
    run.check_data(samples, is_finished=False)
    return build_trainer(settings, run, samples, score, ProgressReporter(), lambda done: None)


def command(folder: Path, *more: str) -> subprocess.Popen[str]:
    """In a session of its own, as a terminal would start it."""
    line = [sys.executable, "-m", "showtell", "train", "shapes", "--run", str(folder), *SETTINGS, *more]
    return subprocess.Popen(line, stderr=subprocess.PIPE, text=True, start_new_session=True)


def state(folder: Path) -> dict[str, Tensor]:
    tensors = load_file(str(folder / "last" / "state.safetensors"))
    return {name: tensor for name, tensor in tensors.items() if not name.startswith("random.")}


def assert_close(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        # AdamW makes steps of about lr of gradients that are all rounding, as those of key biases are.
        torch.testing.assert_close(found[name].float(), tensor.float(), rtol=1e-3, atol=1e-3, msg=name)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOWTELL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def test_a_run_that_goes_on_with_two_processes_ends_as_one_with_one(tmp_path: Path) -> None:
    """Sentences without photos, too: some batches have one image, and the second process none that counts."""
    (tmp_path / "sentences.txt").write_text("a red circle\nthe blue square\n" * 7, encoding="utf-8")
    settings = recipe(text := f"train.text.files=[en={tmp_path}/sentences.txt]")
    whole = trainer(tmp_path / "whole", settings)
    whole.fit()
    parts = trainer(tmp_path / "parts", settings)
    for group in (parts.plan()[:2], parts.plan()[2:4]):
        parts.step(group)
    parts.save()
    done = command(tmp_path / "parts", text, "train.devices=2")
    said = done.communicate(timeout=HANG_SECONDS)[1]
    assert done.returncode == 0, said
    assert said.count("epoch 2: dev en") == said.count("next: showtell export") == 1
    assert_close(state(tmp_path / "parts"), state(tmp_path / "whole"))
    logs = [
        [json.loads(line) for line in (tmp_path / run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
        for run in ("whole", "parts")
    ]
    losses = [[entry["scores"]["loss"] for entry in log if entry["kind"] == "dev"] for log in logs]
    assert len(losses[0]) == 2 and losses[1] == pytest.approx(losses[0], rel=1e-4)
    names = [[entry["kind"] for entry in log] for log in logs]
    assert names[1] == names[0]  # one process writes


SLURM = {"SLURM_NTASKS": "4", "SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "train", "SLURM_NODELIST": "here"}
"""A job with room for more than these processes."""


def test_a_stop_signal_to_one_stops_both_with_the_state_of_one_process_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    running = command(tmp_path / "run", "train.devices=2", long := "train.epochs=1000")
    try:
        deadline = time.monotonic() + HANG_SECONDS
        while not (tmp_path / "run" / "log.jsonl").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        os.kill(running.pid, signal.SIGTERM)
        said = running.communicate(timeout=HANG_SECONDS)[1]
    finally:
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)
    assert running.returncode == 143, said
    assert "the same command goes on" in said and "Traceback" not in said and "another process" not in said
    generators = [name for name in load_file(tmp_path / "run" / "last" / "state.safetensors") if "random.cpu" in name]
    assert sorted(generators) == ["random.cpu", "random.cpu.1"]
    alone = trainer(tmp_path / "alone", recipe(long))
    for _ in range(RunFolder(tmp_path / "run").progress().step):
        take_step(alone)
    alone.save()
    assert_close(state(tmp_path / "run"), state(tmp_path / "alone"))


def take_step(run: Trainer) -> None:
    """The next one, of the next epoch after the last one of this."""
    if run.progress.batch == len(run.plan()):
        run.progress.epoch, run.progress.batch = run.progress.epoch + 1, 0
    run.step(run.plan()[run.progress.batch :][:2])


def test_the_parts_of_a_batch_are_the_batch() -> None:
    """Three images with two, one and two captions; the prompt is one token."""
    slots = [
        torch.tensor([[[3, 5, 2]], [[3, 6, 2]], [[3, 2, PAD]]]),
        torch.tensor([[[3, 7, 8, 2]], [[PAD] * 4], [[3, 9, 2, PAD]]]),
    ]
    batch = Batch(np.array([10, 11, 12]), np.array([0, 1, 0]), slots, 2 + 3 + 2 + 1 + 2, None)
    first, second, third, fourth = (part_of(batch, 1, rank, 4) for rank in range(4))
    assert [part.images.tolist() for part in (first, second, third)] == [[10], [11], [12]]
    assert [part.tokens for part in (first, second, third, fourth)] == [5, 2, 3, 0]
    assert fourth.images.tolist() == [10]  # computed, and not counted
    assert [slot.tolist() for slot in second.slots] == [[[[3, 6, 2]]]]
    assert [slot.tolist() for slot in third.slots] == [[[[3, 2]]], [[[3, 9, 2]]]]
    halves = [part_of(batch, 1, rank, 2) for rank in range(2)]
    assert [half.images.tolist() for half in halves] == [[10, 12], [11]]
    assert halves[0].views.tolist() == [0, 0] and halves[1].views.tolist() == [1]
    assert part_of(batch, 1, 0, 1) is batch
