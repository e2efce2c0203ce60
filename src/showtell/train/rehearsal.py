"""What a run will take, measured on a few of its own batches: time, memory, disk.

The rehearsal is a run of the same recipe and vocabulary on a few photos, in a temporary folder: its features, its steps
of every kind and its captions of dev are timed, and multiplied by how many the whole run has. Rejected: a table of
speeds by encoder, which would be wrong on the next machine.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from showtell.progress import ProgressReporter
from showtell.records import Sample
from showtell.settings import Recipe
from showtell.stages import Advance
from showtell.train.batches import Batch
from showtell.train.features import unique_photos
from showtell.train.loop import Trainer
from showtell.train.run_folder import RunFolder
from showtell.train.self_critical import MakeReward
from showtell.train.sentences import batches_of_epoch, read_sentences
from showtell.train.setup import build_trainer, make_tokenizer, split_samples
from showtell.train.validate import Score

DEV_PHOTOS = 32
STATES = 3
"""So many are in `last/` while one is saved."""


@dataclass(frozen=True)
class Forecast:
    """Seconds and bytes of a whole run that is not stopped early."""

    features_seconds: float
    """Nothing, where they are cached already."""
    training_seconds: float
    validation_seconds: float
    memory: int | None
    """None on a system that does not tell."""
    features_bytes: int
    """0 where none are cached: streamed photos, precomputed features."""
    run_folder_bytes: int
    """At most, while a state is saved."""


def rehearse(recipe: Recipe, samples: Sequence[Sample], score: Score, make_reward: MakeReward) -> Forecast:
    """`recipe` is resolved. Writes nothing that stays. Raises what `build_trainer` and training raise."""
    train, dev = split_samples(recipe, samples)
    few_train, few_dev = _few(train, 2 * recipe.train.batch_size), _few(dev, DEV_PHOTOS)
    clock = _Stopwatch()
    with (
        tempfile.TemporaryDirectory(prefix="showtell-dry-run-", ignore_cleanup_errors=True) as folder,
        _cache_in(Path(folder)),
    ):
        run = RunFolder(Path(folder) / "run")
        with run.lock():
            run.open(recipe)
            vocabulary_of = samples if recipe.text.splits == "all" else train
            make_tokenizer(run, recipe, vocabulary_of, read_sentences(recipe.train.text, recipe.text.languages))
            whole = recipe.model_copy(update={"train": recipe.train.model_copy(update={"max_images": None})})
            trainer = build_trainer(
                whole, run, [*few_train, *few_dev], score, clock, _nothing, make_reward, fits_pca=False
            )
            features = sum(file.stat().st_size for file in (Path(folder) / "features").rglob("view-*.npy"))
            photos, few = len(unique_photos(train)), len(unique_photos(few_train))
            views = photos * recipe.train.views + len(unique_photos(dev))
            extracted = few * recipe.train.views + len(unique_photos(few_dev))
            training = _training_seconds(trainer, recipe, photos)
            begin = time.perf_counter()
            trainer.validator(trainer.model, "dev")
            validation = (time.perf_counter() - begin) * len(unique_photos(dev)) / len(unique_photos(few_dev))
            if trainer.board is not None:
                trainer.board.close()
        return Forecast(
            clock.seconds("features") * views / extracted,
            training,
            validation * recipe.train.epochs,
            _peak_memory(),
            features * views // extracted,
            STATES * _state_bytes(trainer) + _best_models(recipe) * _model_bytes(trainer),
        )


def _training_seconds(trainer: Trainer, recipe: Recipe, photos: int) -> float:
    settings = recipe.train
    batches = -(-photos // settings.batch_size)
    measured: dict[tuple[bool, bool], tuple[float, float]] = {}
    seconds = 0.0
    for epoch in range(settings.epochs):
        critical = settings.self_critical.start_epoch
        kind = epoch >= settings.unfreeze_encoder_at_epoch, critical is not None and epoch >= critical
        if kind not in measured:
            measured[kind] = _seconds_per_step(trainer, epoch)
        of_photos, of_sentences = measured[kind]
        seconds += batches * of_photos + batches_of_epoch(settings.text, batches, epoch) * of_sentences
    return seconds


def _seconds_per_step(trainer: Trainer, epoch: int) -> tuple[float, float]:
    """Of photos and of sentences, in an epoch of this kind. Where a plan so short has no sentences, a step of theirs
    counts as one of photos, which takes longer."""
    trainer.progress.epoch = epoch
    plan = trainer.plan()
    kinds = [batch for batch in plan if len(batch.images)], [batch for batch in plan if not len(batch.images)]
    of_photos = _median_step(trainer, kinds[0])
    return of_photos, _median_step(trainer, kinds[1]) if kinds[1] else of_photos


def _median_step(trainer: Trainer, batches: Sequence[Batch]) -> float:
    """Seconds; the first step, which is slower, does not count."""
    seconds: list[float] = []
    for i in range(4):
        begin = time.perf_counter()
        trainer.step([batches[i % len(batches)]])
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds[1:])


def _few(samples: Sequence[Sample], photos: int) -> list[Sample]:
    """All samples of the first photos of each language."""
    names: set[str] = set()
    for language in dict.fromkeys(sample.language for sample in samples):
        of_language = dict.fromkeys(sample.name for sample in samples if sample.language == language)
        names.update(list(of_language)[:photos])
    return [sample for sample in samples if sample.name in names]


def _best_models(recipe: Recipe) -> int:
    """So many are in `best/`, while one is saved that takes the place of another."""
    averaged = recipe.train.average_checkpoints
    return 1 if averaged == 1 else averaged + 2


def _model_bytes(trainer: Trainer) -> int:
    return sum(tensor.nbytes for tensor in trainer.model.state_dict().values())


def _state_bytes(trainer: Trainer) -> int:
    """Weights, their moving average, and the optimiser's numbers."""
    state = trainer.optimizer.state_dict()["state"]
    optimiser = sum(torch.as_tensor(value).nbytes for entry in state.values() for value in entry.values())
    return _model_bytes(trainer) * (1 if trainer.ema is None else 2) + optimiser


def _peak_memory() -> int | None:
    """Of the GPU where there is one, else of this process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@contextlib.contextmanager
def _cache_in(folder: Path) -> Iterator[None]:
    before = os.environ.get("SHOWTELL_CACHE")
    os.environ["SHOWTELL_CACHE"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["SHOWTELL_CACHE"]
        else:
            os.environ["SHOWTELL_CACHE"] = before


def _nothing(run: RunFolder) -> None:
    """After an epoch, which never ends."""


class _Stopwatch(ProgressReporter):
    """Says nothing, and remembers how long each stage took."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self._seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def stage(self, title: str, total: int, done: int = 0) -> Iterator[Advance]:
        begin = time.perf_counter()
        yield lambda n, note="": None
        self._seconds[title] = self._seconds.get(title, 0.0) + time.perf_counter() - begin

    def seconds(self, beginning: str) -> float:
        """Of all stages whose title begins so."""
        return sum(seconds for title, seconds in self._seconds.items() if title.startswith(beginning))
