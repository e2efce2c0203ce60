"""The classic check of a training loop: a few photos are learned by heart, to the word."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from showtell.config import apply_overrides, parse_recipe
from showtell.data.spec import read_samples
from showtell.export.bundle import load_run
from showtell.recipes import find_recipe
from showtell.train.loop import Trainer
from showtell.train.progress import Reporter
from showtell.train.run_folder import RunFolder
from showtell.train.start import start

PHOTOS = 24
SMALL = ["model.decoder.width=128", "model.decoder.embedding=64"]
DECODERS = {
    "transformer": [],
    "attention": ["model.decoder.kind=attention", "model.decoder.dropout=0", *SMALL],
    "recurrent": ["model.decoder.kind=recurrent", "train.epochs=300", "train.batch_size=8", *SMALL],
}


def exact(captions: Mapping[str, str], references: Mapping[str, Sequence[str]], language: str) -> dict[str, float]:
    """The share of captions that are the reference, word for word."""
    hits = sum(captions[name] in references[name] for name in references) / len(references)
    return {"CIDEr": hits, "BLEU-4": hits}


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_few_photos_are_learned_by_heart(decoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOWTELL_CACHE", str(tmp_path))
    changes = [
        f"train.max_images={PHOTOS}",
        "train.epochs=60",
        "train.batch_size=4",
        "decode.beam=1",
    ]
    recipe = parse_recipe(apply_overrides(find_recipe("shapes"), [*changes, *DECODERS[decoder]]), "test")
    drawn = [s for s in read_samples("shapes:100") if s.split == "train"]
    # One caption each: several of one photo cannot all be what it says. And the photos to choose by are the same ones.
    samples = [replace(s, captions=s.captions[:1]) for s in drawn]
    samples += [replace(s, split="dev") for s in samples[:PHOTOS]]
    run = RunFolder(tmp_path / "run")
    run.open(recipe)
    trainer: Trainer = start(recipe, run, samples, exact, Reporter(), lambda done: None)
    assert len(trainer.photos) == PHOTOS
    trainer.fit()
    assert trainer.position.best_score == 1.0
    assert float(trainer._forward(_first_batch(trainer))[1]) < 0.02
    assert load_run(run)[1].size < 100


def _first_batch(trainer: Trainer) -> object:
    from showtell.train.batches import batches

    trainer.loss.eval()
    return batches(trainer.photos, trainer.text, PHOTOS, views=1, seed=0, epoch=0)[0]
