"""From a recipe to a Trainer: read the data, build the words, make the features, put the model together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from lightning.fabric import Fabric, seed_everything

from showtell.core.text import Text
from showtell.errors import BadConfig, BadData
from showtell.nets.backbone import settle
from showtell.nets.captioning_model import CaptioningModel
from showtell.records import Sample
from showtell.settings import GIVEN, EncoderSettings, Recipe, longest
from showtell.train.augment import RandAugment
from showtell.train.batches import photos
from showtell.train.best_model import load_weights
from showtell.train.feature_file import are_given, given_features, without_encoder
from showtell.train.features import Features, extract, fingerprint, one_each
from showtell.train.loop import Trainer
from showtell.train.other_runs import check_other_runs
from showtell.train.principal import fit_principal_components
from showtell.train.progress import Reporter
from showtell.train.run_folder import RunFolder
from showtell.train.self_critical import MakeReward
from showtell.train.teachers import Teachers, load_teachers
from showtell.train.validate import Score
from showtell.train.vocabulary import build_text


def start(
    recipe: Recipe,
    run: RunFolder,
    samples: Sequence[Sample],
    score: Score,
    reporter: Reporter,
    after_epoch: Callable[[RunFolder], None],
    make_reward: MakeReward | None = None,
) -> Trainer:
    """A trainer for a new run, or for one that stands in its folder already. Raises what its parts raise."""
    settings = recipe.train
    train = [s for s in samples if s.split == "train"][
        : settings.max_images and settings.max_images * len(recipe.text.languages)
    ]
    dev = [s for s in samples if s.split == "dev"]
    for split, found in (("train", train), ("dev", dev)):
        if not found:
            raise BadData(
                recipe.data,
                f"no image in split {split!r}",
                "images to train on (train) and to choose by (dev); name a split for each, in a column or by a folder",
            )
    _check_languages(recipe, train)
    seed_everything(settings.seed, verbose=False)
    text = _text(run, recipe, samples if recipe.text.splits == "all" else train)
    fabric = Fabric(devices=1, precision=settings.precision)
    model = CaptioningModel(recipe.model, text.size, longest(recipe), settings.encoder_stages).to(fabric.device)
    reporter.say(
        f"{len(one_each(train))} photos to train on, {len(one_each(dev))} to choose by; {text.size} words; "
        f"{sum(p.numel() for p in model.parameters() if p.requires_grad):,} parameters trained of "
        f"{sum(p.numel() for p in model.parameters()):,}"
    )
    if settings.start_from is not None:
        _begin_with(model, RunFolder(settings.start_from))
    features = _features(model, recipe, one_each(train), settings.views, "train", reporter)
    # A state has the components that were fitted, and so has a file of features.
    begins = settings.start_from is None and not run.state.exists()
    if model.encoder.pca is not None and begins and not are_given(train):
        fit_principal_components(model.encoder, features)
    dev_features = _features(model, recipe, one_each(dev), 1, "dev", reporter)
    teachers = _teachers(run, recipe, text, one_each(train), fabric.device, reporter)
    train_photos = photos(train, text, recipe.text.max_words)
    torch.manual_seed(settings.seed)  # extraction may have drawn numbers, or been skipped
    return Trainer(
        fabric,
        recipe,
        run,
        model,
        text,
        train_photos,
        features,
        dev,
        dev_features,
        score,
        reporter,
        after_epoch,
        teachers,
        make_reward,
    )


def settled(recipe: Recipe, samples: Sequence[Sample]) -> Recipe:
    """The recipe with everything said that it leaves to the encoder, and to the data when those bring features.

    Raises BadConfig for an encoder that there is not, and for none at all where the data are photos.
    """
    width = without_encoder(samples)
    if width is None and recipe.model.encoder.name == GIVEN:
        raise BadConfig(
            f"model.encoder.name is {GIVEN!r}, which looks at nothing, but {recipe.data} has no ready-made features; "
            "expected a timm model name"
        )
    encoder = settle(recipe.model.encoder) if width is None else EncoderSettings(name=GIVEN, channels=width)
    model = recipe.model.model_copy(update={"encoder": encoder})
    recipe = recipe.model_copy(update={"model": model})
    check_other_runs(recipe)
    return recipe


def _begin_with(model: CaptioningModel, other: RunFolder) -> None:
    """Take over the weights of a finished run; when this run resumes, too, since a frozen stage that began at random
    is in no recipe, and features are cached by what it is."""
    named = model.encoder.features_are_given or not model.encoder.fixed_statistics
    before = None if named else fingerprint(model.encoder)
    load_weights(model, other)
    if before is not None and fingerprint(model.encoder) != before:
        raise BadConfig(
            f"train.start_from: the frozen stages of {other.path} have other weights than those of this run's encoder; "
            "expected the same file as model.encoder.weights"
        )


def _teachers(
    run: RunFolder, recipe: Recipe, text: Text, samples: Sequence[Sample], device: torch.device, reporter: Reporter
) -> Teachers | None:
    settings = recipe.train
    if not settings.distillation.teachers:
        return None

    def features(model: CaptioningModel, of: Recipe) -> Features:
        own = {key: getattr(settings, key) for key in ("seed", "rand_augment", "rand_magnitude")}
        same_views = of.model_copy(update={"train": of.train.model_copy(update=own)})
        try:
            return _features(model.to(device), same_views, samples, settings.views, "train", reporter)
        except OSError as error:
            weights = of.model.encoder.weights
            raise BadConfig(
                f"train.distillation.teachers: {weights}, the encoder's weights of one of them, cannot be read "
                f"({error.strerror}); the teacher's features depend on them"
            ) from error

    return load_teachers(settings.distillation.teachers, run.tokenizer, text, features)


def _check_languages(recipe: Recipe, train: Sequence[Sample]) -> None:
    for language in recipe.text.languages:
        if not any(sample.language == language for sample in train):
            raise BadData(
                recipe.data,
                f"no caption in {language!r} to train on",
                "captions in every one of text.languages; leave out those that there are none of",
            )


def _text(run: RunFolder, recipe: Recipe, samples: Sequence[Sample]) -> Text:
    first = recipe.train.start_from
    if not run.tokenizer.exists() and first is not None:
        RunFolder(first).text().save(run.tokenizer)
    if not run.tokenizer.exists():
        captions: dict[str, list[str]] = {
            language: [caption for s in samples if s.language == language for caption in s.captions]
            for language in recipe.text.languages
        }
        build_text(captions, recipe.text).save(run.tokenizer)
    return run.text()


def _features(
    model: CaptioningModel, recipe: Recipe, samples: Sequence[Sample], views: int, split: str, reporter: Reporter
) -> Features:
    if are_given(samples):
        if views > 1 or recipe.train.encoder_stages:
            raise BadConfig(
                f"{recipe.data} has features, not photos; expected train.views=1 and train.encoder_stages=0, found "
                f"{views} and {recipe.train.encoder_stages}"
            )
        return given_features(model.encoder, recipe.model.encoder, samples)
    with reporter.stage(f"features of the {split} split", len(samples) * views) as advance:
        rand = RandAugment(recipe.train.rand_augment, recipe.train.rand_magnitude)
        return extract(model.encoder, recipe.model.encoder, samples, views, recipe.train.seed, advance, rand=rand)
