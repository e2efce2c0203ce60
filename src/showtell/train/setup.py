"""From a recipe and samples to a Trainer: tokenizer, model, features, validation."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from lightning_fabric import seed_everything

from showtell.core.tokenizer import AnyTokenizer
from showtell.data.parquet import remote_parquet
from showtell.errors import BadConfig, BadData
from showtell.files import replacing, write_text
from showtell.nets.backbone import resolve
from showtell.nets.captioning_model import CaptioningModel
from showtell.nets.companion import read_nouns
from showtell.progress import ProgressReporter
from showtell.records import Sample
from showtell.settings import PRECOMPUTED, EncoderSettings, Recipe, max_positions
from showtell.train.augment import RandAugment, without_mirrored_words
from showtell.train.batch_source import BatchSource
from showtell.train.batches import Photo, group_photos, prompt_length
from showtell.train.capitals import capitalized_words
from showtell.train.distillation import Teachers, load_teachers
from showtell.train.feature_file import are_precomputed, load_features, precomputed_width
from showtell.train.features import extract_features, unique_photos
from showtell.train.fit_pca import fit_pca
from showtell.train.frozen_graph import uses_bfloat16
from showtell.train.growth import grows
from showtell.train.language_notes import language_notes
from showtell.train.loop import Trainer, TrainingSet
from showtell.train.lora import add_adapters, check_lora
from showtell.train.other_runs import check_other_runs
from showtell.train.processes import Processes, single_process
from showtell.train.run_folder import RunFolder
from showtell.train.self_critical import MakeReward, SelfCritic
from showtell.train.sentences import Sentences, encode_sentences, read_sentences
from showtell.train.start_from import is_bundle
from showtell.train.start_weights import load_start
from showtell.train.state import load_encoder_state
from showtell.train.streamed_features import StreamedFeatures
from showtell.train.validate import Score, Validator
from showtell.train.vocabulary import build_tokenizer, network_vocab_size


def build_trainer(
    recipe: Recipe,
    run: RunFolder,
    samples: Sequence[Sample],
    score: Score,
    reporter: ProgressReporter,
    after_epoch: Callable[[RunFolder], None],
    make_reward: MakeReward | None = None,
    processes: Processes | None = None,
    fits_pca: bool = True,
) -> Trainer:
    """A trainer for a new run, or one that resumes the run in its folder. `make_reward` is needed for self-critical
    training only; without `processes` there is this one; not `fits_pca`: the photos may be fewer than components.
    Raises what its parts raise."""
    settings, max_length = recipe.train, recipe.text.max_length
    train, dev = split_samples(recipe, samples)
    seed_everything(settings.seed, verbose=False)
    processes = processes or single_process(settings.precision)
    fabric = processes.fabric
    sentences = read_sentences(settings.text, recipe.text.languages)
    if processes.is_first:
        make_tokenizer(run, recipe, samples if recipe.text.splits == "all" else train, sentences)
    processes.any_after_long_work()
    tokenizer = run.load_tokenizer()
    _check_tokenizer(recipe, tokenizer)
    vocab_size = network_vocab_size(recipe, tokenizer)
    model = CaptioningModel(recipe.model, vocab_size, max_positions(recipe), settings.trainable_encoder_stages)
    _start_weights(model, recipe, run, tokenizer)
    if settings.lora_rank:
        add_adapters(model.decoder, settings.lora_rank, settings.lora_alpha)
    model.to(fabric.device)
    reporter.say(
        f"{len(unique_photos(train))} photos to train on, {len(unique_photos(dev))} to validate on; "
        f"{vocab_size} tokens in the vocabulary; "
        f"{sum(p.numel() for p in model.parameters() if p.requires_grad):,} trainable parameters of "
        f"{sum(p.numel() for p in model.parameters()):,}"
    )
    for line in language_notes(recipe, tokenizer, train, dev):
        reporter.say(line)
    with processes.first_of_machine_first():
        features = _features(model, recipe, unique_photos(train), settings.views, "train", reporter)
    # A resumed state has the fitted PCA, and so has a feature file.
    is_new = settings.start_from is None and not run.state.exists()
    if fits_pca and model.encoder.pca is not None and is_new and not are_precomputed(train):
        fit_pca(model.encoder, features)
    with processes.first_of_machine_first():
        dev_features = _features(model, recipe, unique_photos(dev), 1, "dev", reporter)
        teachers = _teachers(run, recipe, tokenizer, unique_photos(train), fabric.device, reporter)
    photos = group_photos(train, tokenizer, max_length)
    critic = _self_critic(recipe, photos, tokenizer, vocab_size, make_reward)
    # Feature extraction may have drawn numbers, or been skipped.
    torch.manual_seed(settings.seed + processes.rank)
    dev_photos = group_photos(dev, tokenizer, max_length)
    validator = Validator(recipe, tokenizer, dev, dev_photos, dev_features, score, reporter, processes)
    companion = recipe.model.encoder.companion
    nouns = read_nouns(companion.tags) if companion is not None and companion.tags is not None else []
    encoded = encode_sentences(sentences, tokenizer, max_length, nouns)
    train_set = TrainingSet(tokenizer, photos, features, teachers, critic, encoded)
    return Trainer(processes, recipe, run, model, train_set, validator, reporter, after_epoch)


def split_samples(recipe: Recipe, samples: Sequence[Sample]) -> tuple[list[Sample], list[Sample]]:
    """The samples of train and dev. Raises BadData when there are none, or none in one of the languages."""
    train = [sample for sample in samples if sample.split == "train"]
    if recipe.train.max_images is not None:  # a photo has captions in some of the languages, perhaps
        names = {sample.name for sample in unique_photos(train)[: recipe.train.max_images]}
        train = [sample for sample in train if sample.name in names]
    dev = [sample for sample in samples if sample.split == "dev"]
    for split, split_samples in (("train", train), ("dev", dev)):
        if not split_samples:
            raise BadData(
                recipe.data,
                f"no image in split {split!r}",
                "images to train on (train) and to validate on (dev); name a split for each, in a column or by a "
                "folder",
            )
    for language in recipe.text.languages:
        for purpose, split_samples in (("train", train), ("validate", dev)):
            if not any(sample.language == language for sample in split_samples):
                raise BadData(
                    recipe.data,
                    f"no caption in {language!r} to {purpose} on",
                    "captions in every one of text.languages; remove those without captions",
                )
    return train, dev


def resolve_recipe(recipe: Recipe, samples: Sequence[Sample]) -> Recipe:
    """The recipe with all settings that depend on the encoder, or on the data where features are precomputed.

    Raises BadConfig for an unknown encoder, and for no encoder where the data are photos.
    """
    width = precomputed_width(samples)
    if width is None and recipe.model.encoder.name == PRECOMPUTED:
        raise BadConfig(
            f"model.encoder.name is {PRECOMPUTED!r}, that is no encoder, but {recipe.data} has no precomputed "
            "features; expected a timm model name"
        )
    encoder = resolve(recipe.model.encoder) if width is None else EncoderSettings(name=PRECOMPUTED, channels=width)
    model = recipe.model.model_copy(update={"encoder": encoder})
    recipe = recipe.model_copy(update={"model": model})
    check_lora(recipe)
    check_other_runs(recipe)
    return recipe


def _start_weights(model: CaptioningModel, recipe: Recipe, run: RunFolder, tokenizer: AnyTokenizer) -> None:
    """The weights of `train.start_from`; of a run that resumes, its own encoder, for features depend on it."""
    start_from = recipe.train.start_from
    if start_from is None:
        return
    if run.state.exists():
        load_encoder_state(run.state, model.encoder)
    else:
        load_start(model, start_from, recipe, tokenizer)
    if recipe.text.imported is not None or is_bundle(start_from):
        # It has been trained, on many more photos than are in a batch, though timm has no weights of it.
        model.encoder.freeze_bn = True


def _check_tokenizer(recipe: Recipe, tokenizer: AnyTokenizer) -> None:
    """Raises BadConfig for settings that do not fit it."""
    limit, prompt = max_positions(recipe), prompt_length(tokenizer)
    longest = max(recipe.text.max_length, recipe.decode.max_length)
    if limit is not None and prompt - 1 + longest > limit:
        raise BadConfig(
            f"text.max_length is {recipe.text.max_length}, decode.max_length {recipe.decode.max_length}, and the "
            f"prompt has {prompt} tokens; this decoder has positions for {limit + 1} in all: expected at most "
            f"{limit + 1 - prompt}"
        )
    if recipe.train.word_dropout and tokenizer.unk_id is None:
        raise BadConfig(
            f"train.word_dropout is {recipe.train.word_dropout}, but this vocabulary has no unknown token to put in "
            "place of a word; expected 0"
        )


def _self_critic(
    recipe: Recipe,
    photos: Sequence[Photo],
    tokenizer: AnyTokenizer,
    vocab_size: int,
    make_reward: MakeReward | None,
) -> SelfCritic | None:
    settings = recipe.train.self_critical
    if settings.start_epoch is None:
        return None
    if make_reward is None:
        raise ValueError("self-critical training needs a reward")
    options = settings.num_samples, recipe.text.max_length, recipe.train.seed
    return SelfCritic(photos, tokenizer, vocab_size, *options, make_reward)


def _teachers(
    run: RunFolder,
    recipe: Recipe,
    tokenizer: AnyTokenizer,
    samples: Sequence[Sample],
    device: torch.device,
    reporter: ProgressReporter,
) -> Teachers | None:
    settings = recipe.train
    if not settings.distillation.teachers:
        return None

    def features(model: CaptioningModel, teacher: Recipe) -> BatchSource:
        own = {
            key: getattr(settings, key)
            for key in ("seed", "randaugment_num_ops", "randaugment_magnitude", "cache_features")
        }
        same_views = teacher.model_copy(update={"train": teacher.train.model_copy(update=own)})
        try:
            return _features(model.to(device), same_views, samples, settings.views, "train", reporter)
        except OSError as error:
            weights = teacher.model.encoder.weights
            raise BadConfig(
                f"train.distillation.teachers: {weights}, the encoder's weights of one of them, cannot be read "
                f"({error.strerror}); the teacher's features depend on them"
            ) from error

    return load_teachers(settings.distillation.teachers, run.tokenizer, tokenizer, features)


def make_tokenizer(run: RunFolder, recipe: Recipe, samples: Sequence[Sample], sentences: Sequence[Sentences]) -> None:
    start_from = recipe.train.start_from
    captions: dict[str, list[str]] = {
        language: [caption for s in samples if s.language == language for caption in s.captions]
        for language in recipe.text.languages
    }
    if not run.tokenizer.exists() and start_from is not None and _keeps_tokenizer(start_from, recipe):
        with replacing(run.tokenizer) as temporary:  # bundle and run have it under the same name
            shutil.copyfile(start_from / run.tokenizer.name, temporary)
    if not run.tokenizer.exists():
        texts = ((language, text) for of in sentences for language, text in of.texts)
        build_tokenizer(captions, recipe.text, texts, recipe.train.text.min_frequency).save(run.tokenizer)
    if not run.capitalized.exists():
        write_text(run.capitalized, json.dumps(capitalized_words(captions, run.load_tokenizer()), ensure_ascii=False))


def _keeps_tokenizer(start_from: Path, recipe: Recipe) -> bool:
    return is_bundle(start_from) or not grows(RunFolder(start_from).recipe(), recipe)


def _features(
    model: CaptioningModel,
    recipe: Recipe,
    samples: Sequence[Sample],
    views: int,
    split: str,
    reporter: ProgressReporter,
) -> BatchSource:
    if are_precomputed(samples):
        if views > 1 or recipe.train.trainable_encoder_stages:
            raise BadConfig(
                f"{recipe.data} has precomputed features, not photos; expected train.views=1 and "
                f"train.trainable_encoder_stages=0, found {views} and {recipe.train.trainable_encoder_stages}"
            )
        return load_features(model.encoder, recipe.model.encoder, samples)
    rand = RandAugment(recipe.train.randaugment_num_ops, recipe.train.randaugment_magnitude)
    mirror = not without_mirrored_words(recipe.text.languages)
    if not recipe.train.cache_features:
        if table := remote_parquet(samples):
            raise BadConfig(
                f"train.cache_features=false would fetch a group of rows of {table} for each photo; "
                "expected tar shards, or train.cache_features=true"
            )
        return StreamedFeatures(model.encoder, samples, recipe.train.seed, rand, mirror)
    with reporter.stage(f"features of the {split} split", len(samples) * views) as advance:
        return extract_features(
            model.encoder,
            recipe.model.encoder,
            samples,
            views,
            recipe.train.seed,
            advance,
            rand=rand,
            say=reporter.say,
            mirror=mirror,
            bfloat16=uses_bfloat16(recipe.train.precision),
        )
