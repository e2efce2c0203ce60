"""The classic check of a training loop: a few photos are learned by heart, to the word."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from showtell.config import apply_overrides, parse_recipe
from showtell.data.spec import read_samples
from showtell.export.bundle import load_run
from showtell.nets.captioning_model import CaptioningModel
from showtell.progress import ProgressReporter
from showtell.recipes import find_recipe
from showtell.train.loop import Trainer
from showtell.train.run_folder import RunFolder
from showtell.train.setup import build_trainer
from showtell.train.validate import Validator

PHOTOS = 12
SMALL = ["model.decoder.width=128", "model.decoder.embedding_dim=64"]
DECODERS = {
    "transformer": [],
    "attention": ["model.decoder.kind=attention", "model.decoder.dropout=0", "train.epochs=100", *SMALL],
    "recurrent": ["model.decoder.kind=recurrent", "train.epochs=300", "train.batch_size=8", *SMALL],
}


def exact(captions: Mapping[str, str], references: Mapping[str, Sequence[str]], language: str) -> dict[str, float]:
    """The share of captions that are the reference, word for word."""
    hits = sum(captions[name] in references[name] for name in references) / len(references)
    return {"CIDEr": hits, "BLEU-4": hits}


class RareValidator:
    """Validates every twentieth epoch; what is learned does not depend on validation."""

    def __init__(self, validator: Validator) -> None:
        self.validator, self.epochs = validator, 0

    def __call__(self, model: CaptioningModel, title: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        if self.epochs % 20 == 0 or title.endswith(("60", "00")):
            self.result = self.validator(model, title)
        self.epochs += 1
        return self.result


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_few_photos_are_learned_by_heart(decoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOWTELL_CACHE", str(tmp_path))
    changes = [
        f"train.max_images={PHOTOS}",
        "train.epochs=60",
        "train.batch_size=4",
        "decode.beam_size=1",
    ]
    recipe = parse_recipe(apply_overrides(find_recipe("shapes"), [*changes, *DECODERS[decoder]]), "test")
    drawn = [s for s in read_samples("shapes:100") if s.split == "train"]
    # One caption each: several of one photo cannot all be what it says. And the photos to choose by are the same ones.
    samples = [replace(s, captions=s.captions[:1]) for s in drawn]
    samples += [replace(s, split="dev") for s in samples[:PHOTOS]]
    run = RunFolder(tmp_path / "run")
    run.open(recipe)
    trainer: Trainer = build_trainer(recipe, run, samples, exact, ProgressReporter(), lambda done: None)
    assert len(trainer.train_set.photos) == PHOTOS
    monkeypatch.setattr(trainer, "validator", RareValidator(trainer.validator))
    monkeypatch.setattr(trainer, "save", lambda: None)  # twice an epoch, which takes longer than these do
    trainer.fit()
    assert trainer.progress.best_score == 1.0
    assert float(trainer._forward(_first_batch(trainer))[1]) < 0.02
    assert load_run(run)[1].vocab_size < 100


def _first_batch(trainer: Trainer) -> object:
    from showtell.train.batches import batches

    trainer.loss.eval()
    return batches(trainer.train_set.photos, trainer.train_set.tokenizer, PHOTOS, views=1, seed=0, epoch=0)[0]
