"""What a recipe says of views reaches the photos of a run, and those that its teachers see."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from showtell.config import apply_overrides, parse_recipe
from showtell.core.image import load_image
from showtell.core.pixels import resize
from showtell.data.spec import read_samples
from showtell.errors import BadConfig
from showtell.progress import ProgressReporter
from showtell.recipes import find_recipe
from showtell.settings import Recipe
from showtell.train.augment import RandAugment, augment
from showtell.train.loop import Trainer
from showtell.train.run_folder import RunFolder
from showtell.train.setup import build_trainer

TINY = [
    *("data=shapes:24", "model.encoder.pixels.size=32", "model.encoder.timm_kwargs={output_stride: 16}"),
    *("model.decoder.width=16", "train.epochs=1", "train.views=2", "train.unfreeze_encoder_at_epoch=0"),
    "train.trainable_encoder_stages=5",  # all: what is cached is pixels
    *("decode.beam_size=1", "decode.max_length=6"),
]
RAND = ["train.randaugment_num_ops=3", "train.randaugment_magnitude=8"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHOWTELL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "features"


def recipe(*changes: str) -> Recipe:
    return parse_recipe(apply_overrides(find_recipe("shapes"), [*TINY, *changes]), "test")


def score(captions: Mapping[str, str], references: Mapping[str, Sequence[str]], language: str) -> dict[str, float]:
    return {"CIDEr": 0.0, "BLEU-4": 0.0}


def trainer(folder: Path, settings: Recipe) -> Trainer:
    run = RunFolder(folder)
    run.open(settings)
    samples = read_samples(settings.data, settings.text.languages)
    return build_trainer(settings, run, samples, score, ProgressReporter(), lambda done: None)


def test_the_recipe_s_rand_augment_is_what_photos_go_through(tmp_path: Path) -> None:
    made = trainer(tmp_path / "run", recipe("train.seed=3", *RAND))
    for i, photo in enumerate(made.train_set.photos[:5]):
        original = load_image(photo.sample.image)
        expected = resize(augment(original, 3, i, 1, RandAugment(3, 8)), made.model.encoder.pixels)
        np.testing.assert_array_equal(made.train_set.features.views[1][i], expected)
        np.testing.assert_array_equal(made.train_set.features.views[0][i], resize(original, made.model.encoder.pixels))
    assert len(made.validator.features.views) == 1


def test_teachers_see_the_views_of_the_student(tmp_path: Path, cache: Path) -> None:
    """With nothing frozen both find the same cache: one new one, of the train split, for two seeds and settings."""
    trainer(tmp_path / "teacher", recipe()).fit()
    before = set(cache.iterdir())
    taught = f"train.distillation.teachers=[{tmp_path / 'teacher'}]"
    student = trainer(tmp_path / "student", recipe("train.seed=5", taught, *RAND))
    assert len(set(cache.iterdir()) - before) == 1  # dev's are the photos themselves, whatever the seed
    assert student.train_set.teachers is not None
    for mine, theirs in zip(
        student.train_set.features.views, student.train_set.teachers.teachers[0].features.views, strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)


def test_rand_augment_without_a_view_to_change_is_refused() -> None:
    with pytest.raises(BadConfig, match=r"randaugment_num_ops is 3, but views 1 is the photo itself"):
        recipe(*RAND, "train.views=1")
