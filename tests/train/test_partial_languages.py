"""Training where photos have captions in some of the languages only, and where a language has no left and right."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from showtell.config import apply_overrides, parse_recipe
from showtell.core.image import load_image
from showtell.core.pixels import resize
from showtell.data.spec import read_samples
from showtell.errors import BadData
from showtell.metrics import score
from showtell.metrics.reward import CiderReward
from showtell.progress import ProgressReporter
from showtell.recipes import find_recipe
from showtell.records import Sample
from showtell.settings import Recipe
from showtell.train.augment import augment, is_mirrored
from showtell.train.batches import PAD, batches
from showtell.train.loop import Trainer
from showtell.train.run_folder import RunFolder
from showtell.train.setup import build_trainer

TINY = [
    *("data=shapes:24", "model.encoder.pixels.size=32", "model.encoder.timm_kwargs={output_stride: 16}"),
    *("model.decoder.width=16", "train.epochs=1", "train.views=3", "train.unfreeze_encoder_at_epoch=0"),
    *("train.trainable_encoder_stages=5", "decode.beam_size=1", "decode.max_length=6", "train.batch_size=8"),
    *("text.min_frequency=1", "train.self_critical.start_epoch=0", "train.self_critical.num_samples=2"),
]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOWTELL_CACHE", str(tmp_path / "cache"))


def recipe(*changes: str) -> Recipe:
    return parse_recipe(apply_overrides(find_recipe("shapes"), [*TINY, *changes]), "test")


def samples_with(language: str, captions: tuple[str, ...]) -> list[Sample]:
    """Drawings with English captions, every third in this language as well, every fifth in this language alone."""
    samples = []
    for i, sample in enumerate(read_samples("shapes:24", ("en",))):
        other = dataclasses.replace(sample, language=language, captions=captions)
        samples += [other] if i % 5 == 0 else [sample, other] if i % 3 == 0 else [sample]
    return samples


def trainer(folder: Path, settings: Recipe, samples: Sequence[Sample], scored: list[tuple[str, set[str]]]) -> Trainer:
    def recording(
        captions: Mapping[str, str], references: Mapping[str, Sequence[str]], language: str
    ) -> dict[str, float]:
        assert captions.keys() == references.keys()
        scored.append((language, set(captions)))
        return score(captions, references, language)

    run = RunFolder(folder)
    run.open(settings)
    return build_trainer(settings, run, samples, recording, ProgressReporter(), lambda done: None, CiderReward)


def test_each_language_is_trained_and_validated_on_the_photos_that_have_it(tmp_path: Path) -> None:
    samples = samples_with("de", ("ein Kreis links", "ein roter Kreis"))
    scored: list[tuple[str, set[str]]] = []
    made = trainer(tmp_path / "run", recipe("text.languages=[en,de]"), samples, scored)
    made.fit()
    dev = [s for s in samples if s.split == "dev"]
    expected = [(tag, {s.name for s in dev if s.language == tag}) for tag in ("en", "de")]
    assert scored == expected and scored[0][1] != scored[1][1]
    # Every caption of every photo is in one batch, in its own language.
    start = {made.train_set.tokenizer.prompt_ids(tag)[0]: tag for tag in ("en", "de")}
    plan = batches(made.train_set.photos, made.train_set.tokenizer, 8, 3, 0, 0)
    seen = [
        (made.train_set.photos[image].sample.name, start[int(caption[0])])
        for batch in plan
        for slot in batch.slots
        for image, (caption,) in zip(batch.images, slot, strict=True)
        if int(caption[0]) in start
    ]
    train = [s for s in samples if s.split == "train"]
    assert sorted(seen) == sorted((s.name, s.language) for s in train for _ in s.captions)


def test_max_images_counts_photos_whatever_their_languages(tmp_path: Path) -> None:
    samples = samples_with("de", ("ein Kreis",))
    made = trainer(tmp_path / "run", recipe("text.languages=[en,de]", "train.max_images=7"), samples, [])
    names = dict.fromkeys(s.name for s in samples if s.split == "train")
    assert [photo.sample.name for photo in made.train_set.photos] == list(names)[:7]


def test_a_language_without_captions_in_dev_is_refused_before_training(tmp_path: Path) -> None:
    samples = [s for s in samples_with("de", ("ein Kreis",)) if (s.split, s.language) != ("dev", "de")]
    with pytest.raises(BadData, match="no caption in 'de' to validate on"):
        trainer(tmp_path / "run", recipe("text.languages=[en,de]"), samples, [])


def test_no_photo_is_mirrored_where_a_language_has_no_left_and_right(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = samples_with("sw", ("duara kushoto",))
    made = trainer(tmp_path / "run", recipe("text.languages=[en,sw]", "train.seed=3"), samples, [])
    assert "photos are not mirrored: the registry of languages has no left and right for sw" in capsys.readouterr().err
    photos, pixels = made.train_set.photos, made.model.encoder.pixels
    turned = [(i, v) for i in range(len(photos)) for v in (1, 2) if is_mirrored(3, i, v)]
    assert turned
    for i, view in turned[:5]:
        expected = resize(augment(load_image(photos[i].sample.image), 3, i, view, mirror=False), pixels)
        np.testing.assert_array_equal(made.train_set.features.views[view][i], expected)
    plan = batches(photos, made.train_set.tokenizer, 8, 3, 3, 0)
    for batch in plan:
        for row, image in enumerate(batch.images):
            written = sorted([t for t in slot[row, 0].tolist() if t != PAD] for slot in batch.slots)
            assert [ids for ids in written if ids] == sorted(photos[image].tokens)
    assert made.train_set.critic is not None and not made.train_set.critic.mirror
