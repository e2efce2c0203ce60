"""Runs that go on from a bundle: tiny models with random weights, on drawn shapes."""

import json
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.train.tiny_bundles import write_imported, write_own

from showtell.config import apply_overrides, parse_recipe
from showtell.core.bundle import load_bundle
from showtell.core.decode import decode
from showtell.core.image import load_image
from showtell.core.pixels import to_pixels
from showtell.data.spec import read_samples
from showtell.errors import BadBundle, BadConfig
from showtell.metrics import score
from showtell.nets.captioning_model import CaptioningModel
from showtell.nets.torch_stepper import TorchStepper
from showtell.progress import ProgressReporter
from showtell.recipes import find_recipe
from showtell.records import Sample
from showtell.settings import Recipe, max_positions
from showtell.train.best_model import load_best
from showtell.train.loop import Trainer
from showtell.train.lora import LoRALinear, merged_state
from showtell.train.run_folder import RunFolder
from showtell.train.setup import build_trainer, resolve_recipe
from showtell.train.start_from import complete
from showtell.train.stop_signal import Interrupted

PHOTOS = 24
STILL = ["train.lr=1e-12", "train.encoder_lr=1e-12", "train.epochs=1"]
"""A learning rate that changes no caption."""
ADAPTERS = ["train.lora_rank=4", "train.lora_alpha=8"]


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def cache(features: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOWTELL_CACHE", features)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its captions differ from photo to photo."""
    return write_imported(tmp_path_factory.mktemp("imported") / "blip", std=0.3)


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    """A caption each, of the same drawings to train and to validate on."""
    train = [s for s in read_samples(f"shapes:{PHOTOS}") if s.split == "train"]
    train = [replace(s, captions=s.captions[:1]) for s in train]
    return [*train, *(replace(s, split="dev") for s in train)]


def recipe(start: Path, *changes: str) -> Recipe:
    raw = apply_overrides(
        find_recipe("finetune"),
        [
            f"train.start_from={start}",
            "data=shapes:24",
            "train.accumulate_grad_batches=1",
            "train.batch_size=8",
            *changes,
        ],
    )
    return resolve_recipe(parse_recipe(complete(raw), "test"), [])


def no_score(captions: Mapping[str, str], references: Mapping[str, Sequence[str]], language: str) -> dict[str, float]:
    return {"CIDEr": 0.0, "BLEU-4": 0.0}


def trainer(folder: Path, settings: Recipe, samples: list[Sample], metrics: object = no_score) -> Trainer:
    run = RunFolder(folder)
    run.open(settings)
    return build_trainer(settings, run, samples, metrics, ProgressReporter(), lambda done: None)


def captions_of(bundle: Path, samples: list[Sample]) -> dict[str, str]:
    """What the bundle's weights write, loaded by their names alone. Cached features have half precision."""
    parts = load_bundle(bundle)
    manifest = parts.manifest
    settings = recipe(bundle)
    model = CaptioningModel(settings.model, manifest.vocab_size, max_positions(settings)).eval()
    model.load_state_dict({name: tensor.float() for name, tensor in load_file(bundle / "model.safetensors").items()})
    dev = [s for s in samples if s.split == "dev"]
    pixels = np.stack([to_pixels(load_image(s.image), manifest.pixels) for s in dev])

    def encode(images: torch.Tensor) -> dict[str, torch.Tensor]:
        cached = model.encoder.forward_frozen(images).half().float()
        return model.decoder.encode_memory(model.encoder.forward_trainable(cached))

    stepper = TorchStepper(model, encode)
    found = decode(stepper, stepper.encode(torch.from_numpy(pixels)), len(dev), parts.tokenizer, "en", manifest.decode)
    return {s.name: parts.tokenizer.decode(best.tokens) for s, (best, *_) in zip(dev, found, strict=True)}


def predictions(folder: Path) -> dict[str, str]:
    lines = (folder / "predictions.dev.jsonl").read_text(encoding="utf-8").splitlines()
    return {row["image"]: row["caption"] for row in map(json.loads, lines)}


@pytest.mark.parametrize("changes", [[], ADAPTERS], ids=["all", "adapters"])
def test_a_run_begins_with_the_bundles_captions(
    changes: list[str], bundle: Path, samples: list[Sample], tmp_path: Path
) -> None:
    expected = captions_of(bundle, samples)
    assert len(set(expected.values())) > PHOTOS / 2
    trainer(tmp_path, recipe(bundle, *STILL, *changes), samples).fit()
    assert predictions(tmp_path) == expected


def test_a_bundle_with_random_weights_learns_drawn_shapes(
    samples: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the word, and so does what is kept of it."""
    begin = write_imported(tmp_path / "blip")
    changes = ["train.lr=0.003", "train.encoder_lr=0.001", "train.trainable_encoder_stages=1"]
    changes += ["train.epochs=60", "train.early_stopping_patience=null", "train.label_smoothing=0"]
    run = trainer(tmp_path / "run", recipe(begin, *changes), samples, score)
    validator, epochs = run.validator, iter(range(60))
    monkeypatch.setattr(run, "validator", lambda model, title: rarely(validator, next(epochs))(model, title))
    run.fit()
    scores = json.loads((tmp_path / "run" / "best" / "scores.json").read_text(encoding="utf-8"))["scores"]
    assert scores["BLEU-4"] >= 0.9
    model, tokenizer, _ = load_best(RunFolder(tmp_path / "run"))
    assert (
        model.decoder.token_embedding.num_embeddings == tokenizer.vocab_size + 1
    )  # the start token is not in the file
    assert tokenizer.prompt_ids("en")[0] == tokenizer.vocab_size and len(tokenizer.prompt_ids("en")) == 4


def rarely(validator: object, epoch: int) -> object:
    """Every twelfth epoch is validated."""
    return (
        validator
        if epoch % 12 == 11
        else lambda model, title: ({"CIDEr": -1.0, "en": no_score({}, {}, "en"), "loss": 0.0, "top-5": 0.0}, [])
    )


def test_the_encoders_stages_are_the_bundles_wherever_they_are_cut(
    bundle: Path, samples: list[Sample], tmp_path: Path
) -> None:
    stored = load_file(bundle / "model.safetensors")
    frozen = trainer(tmp_path / "frozen", recipe(bundle), samples).model
    partly = trainer(tmp_path / "partly", recipe(bundle, "train.trainable_encoder_stages=2"), samples).model
    assert len(partly.encoder.trainable) == 2
    for model in (frozen, partly):
        stages = [*model.encoder.frozen, *model.encoder.trainable]
        for n, stage in enumerate(stages):
            for name, tensor in stage.state_dict().items():
                assert torch.equal(tensor, stored[f"encoder.frozen.{n}.{name}"].to(tensor.dtype))


def test_trained_stages_of_our_own_export_become_frozen_ones(tmp_path: Path, samples: list[Sample]) -> None:
    own = write_own(tmp_path / "own")
    stored = load_file(own / "model.safetensors")
    assert any(name.startswith("encoder.trainable.1.") for name in stored)
    both = [replace(s, language=tag) for s in samples for tag in ("en", "ar")]
    model = trainer(tmp_path / "run", recipe(own), both).model
    count = len(model.encoder.frozen)
    for n in (0, 1):
        for name, tensor in model.encoder.frozen[count - 2 + n].state_dict().items():
            assert torch.equal(tensor, stored[f"encoder.trainable.{n}.{name}"].to(tensor.dtype))


def test_batch_norms_of_a_bundle_keep_their_statistics(bundle: Path, samples: list[Sample], tmp_path: Path) -> None:
    run = trainer(tmp_path, recipe(bundle, "train.trainable_encoder_stages=2", "train.epochs=1"), samples)
    before = {name: t.clone() for name, t in run.model.encoder.state_dict().items()}
    run.fit()
    after = run.model.encoder.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and not any("running" in name for name in changed)
    assert all(name.startswith("trainable.") for name in changed)


@pytest.mark.parametrize("changes", [["train.trainable_encoder_stages=1"], [*ADAPTERS, "train.ema_decay=0.9"]], ids=str)
def test_a_run_resumes_bit_for_bit_when_the_bundle_has_gone(
    changes: list[str], samples: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = write_imported(tmp_path / "blip")
    settings = recipe(begin, "train.epochs=2", "train.lr=0.003", "model.decoder.dropout=0.1", *changes)
    trainer(tmp_path / "whole", settings, samples).fit()
    stopped = trainer(tmp_path / "parts", settings, samples)
    step = stopped.step

    def step_then_stop(group: object) -> float:
        if stopped.progress.step == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return step(group)

    monkeypatch.setattr(stopped, "step", step_then_stop)
    with pytest.raises(Interrupted):
        stopped.fit()
    begin.rename(tmp_path / "gone")
    resumed = trainer(tmp_path / "parts", settings, samples)
    assert resumed.progress.step == 4
    resumed.fit()
    whole, parts = (load_file(tmp_path / name / "last" / "state.safetensors") for name in ("whole", "parts"))
    assert whole.keys() == parts.keys()
    assert [name for name in whole if not name.startswith("random") and not torch.equal(whole[name], parts[name])] == []


def test_adapters_leave_the_weights_alone_and_are_merged_into_the_best_model(
    bundle: Path, samples: list[Sample], tmp_path: Path
) -> None:
    run = trainer(tmp_path, recipe(bundle, "train.lr=0.01", "train.epochs=2", *ADAPTERS), samples)
    run.fit()
    stored = {name: tensor.float() for name, tensor in load_file(bundle / "model.safetensors").items()}
    state = run.model.state_dict()
    adapters = {name for name in state if "lora" in name}
    assert all(torch.equal(state[name], stored[name].to(state[name].dtype)) for name in state.keys() - adapters)
    optimised = [p for group in run.optimizer.param_groups for p in group["params"]]
    assert {id(p) for p in optimised} == {id(p) for n, p in run.model.named_parameters() if "lora" in n}
    # The best model is another epoch's, perhaps; what a merge is does not depend on it.
    best = load_file(tmp_path / "best" / "model.safetensors")
    assert best.keys() == stored.keys() == merged_state(run.model).keys()
    changed = {name for name in stored if not torch.equal(best[name], stored[name].to(best[name].dtype))}
    layers = {f"{name}.weight" for name, m in run.model.named_modules() if isinstance(m, LoRALinear)}
    assert changed == layers and len(layers) == 2 * 10 + 2
    assert all(name.startswith("decoder.") for name in layers) and "decoder.token_embedding.weight" not in layers


def test_merged_and_unmerged_compute_the_same(bundle: Path, samples: list[Sample], tmp_path: Path) -> None:
    settings = recipe(bundle, *ADAPTERS)
    run = trainer(tmp_path, settings, samples)
    for layer in (m for m in run.model.modules() if isinstance(m, LoRALinear)):
        torch.nn.init.normal_(layer.lora_b, std=0.05)
    vocabulary = run.model.decoder.token_embedding.num_embeddings
    plain = CaptioningModel(settings.model, vocabulary, max_positions(settings)).double().eval()
    unmerged = run.model.double().eval()
    plain.load_state_dict(merged_state(unmerged))
    tokens = torch.randint(0, vocabulary, (3, 2, 7), generator=torch.Generator().manual_seed(0))
    regions = unmerged.encoder.forward_trainable(run.train_set.features.batch(np.arange(3)).double())

    def logits(model: CaptioningModel) -> torch.Tensor:
        return model.decoder.logits(model.decoder(tokens, model.decoder.encode_memory(regions)).hidden)

    with torch.no_grad():
        found = logits(unmerged)
        torch.testing.assert_close(found, logits(plain), rtol=1e-9, atol=1e-9)  # float64: rounding is 1e-16
        for layer in (m for m in unmerged.modules() if isinstance(m, LoRALinear)):
            layer.lora_b.zero_()
        assert (found - logits(unmerged)).abs().max() > 0.1


def test_positions_for_prompt_and_caption_are_checked(bundle: Path, samples: list[Sample], tmp_path: Path) -> None:
    """40 positions, four of them for the start token and the prompt."""
    trainer(tmp_path / "fits", recipe(bundle, "text.max_length=36"), samples)
    with pytest.raises(BadConfig, match=r"the prompt has 4 tokens; .* positions for 40 in all: expected at most 36"):
        trainer(tmp_path / "no", recipe(bundle, "text.max_length=37"), samples)


def test_words_are_not_dropped_where_no_token_can_take_their_place(
    bundle: Path, samples: list[Sample], tmp_path: Path
) -> None:
    settings = recipe(bundle, "train.word_dropout=0.1")
    text = settings.text.model_copy(update={"imported": settings.text.imported.model_copy(update={"unk_id": None})})
    with pytest.raises(BadConfig, match=r"word_dropout is 0.1, but this vocabulary has no unknown token"):
        trainer(tmp_path, settings.model_copy(update={"text": text}), samples)


def test_weights_that_are_not_the_models_are_refused(samples: list[Sample], tmp_path: Path) -> None:
    broken = write_imported(tmp_path / "blip")
    settings = recipe(broken)
    weights = load_file(broken / "model.safetensors")
    weights.pop("decoder.norm.weight")
    save_file(weights, broken / "model.safetensors")
    with pytest.raises(BadBundle, match=r"model.safetensors: not the weights of .*decoder.norm.weight"):
        trainer(tmp_path / "run", settings, samples)
