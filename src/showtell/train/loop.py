"""The training loop: epochs of teacher-forced steps, each followed by free-running validation."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import torch
from lightning.fabric import Fabric
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.tensorboard import SummaryWriter

from showtell.config import Recipe
from showtell.core.text import Text
from showtell.files import write_text
from showtell.nets.captioning_model import CaptioningModel
from showtell.records import Sample
from showtell.train.batches import Batch, Photo, batches
from showtell.train.features import Features
from showtell.train.losses import CaptionLoss
from showtell.train.progress import Reporter
from showtell.train.run_folder import RunFolder
from showtell.train.schedule import warmup_cosine
from showtell.train.state import Position, load_state, save_state, save_weights
from showtell.train.validate import Score, caption_features, validate

LOG_EVERY = 20


class Interrupted(Exception):
    """Ctrl-C, after the state was saved."""


class Trainer:
    """One run. `fit` goes from wherever the run folder stands to the end of the last epoch."""

    def __init__(
        self,
        fabric: Fabric,
        recipe: Recipe,
        run: RunFolder,
        model: CaptioningModel,
        text: Text,
        photos: Sequence[Photo],
        features: Features,
        dev: Sequence[Sample],
        dev_features: Features,
        score: Score,
        reporter: Reporter,
        after_epoch: Callable[[RunFolder], None],
    ) -> None:
        self.recipe, self.run, self.text = recipe, run, text
        self.photos, self.features, self.dev, self.dev_features = photos, features, dev, dev_features
        self.score, self.reporter, self.after_epoch = score, reporter, after_epoch
        settings = recipe.train
        self.fabric = fabric
        self.model = model
        loss = CaptionLoss(model, recipe.model.decoder, settings, text.pad, text.unknown)
        self.loss, self.optimizer = self.fabric.setup(loss, _optimizer(model, recipe))
        self.average = (
            AveragedModel(model, multi_avg_fn=_moving_average(settings.average)) if settings.average else None
        )
        self.board = SummaryWriter(str(run.path / "tensorboard"))
        self.position = Position()
        if run.state.exists():
            self.position = load_state(run.state, model, self.optimizer, self.average)
        self.steps_per_epoch = -(-len(photos) // settings.batch_size)

    def fit(self) -> None:
        """Raises Interrupted when Ctrl-C (or a termination signal) came; the state is saved then."""
        settings, position = self.recipe.train, self.position
        with _stop_signal() as stop:
            while position.epoch < settings.epochs:
                plan = batches(
                    self.photos, self.text, settings.batch_size, settings.views, settings.seed, position.epoch
                )
                title = f"epoch {position.epoch + 1}/{settings.epochs}"
                with self.reporter.stage(title, len(plan), position.batch) as advance:
                    self._epoch(plan[position.batch :], advance, stop)
                self._validate()
                position.epoch, position.batch = position.epoch + 1, 0
                self._save()
                self.after_epoch(self.run)

    def _epoch(self, plan: Sequence[Batch], advance: Callable[..., None], stop: Callable[[], bool]) -> None:
        saved = begun = time.monotonic()
        for batch in plan:
            entropy = self._step(batch)
            now = time.monotonic()
            self.position.seconds, begun = self.position.seconds + now - begun, now
            advance(1, f"loss {entropy:.3f}")
            if stop():
                self._save()
                raise Interrupted
            if now - saved > 60 * self.recipe.train.checkpoint_minutes:
                self._save()
                saved = now

    def _step(self, batch: Batch) -> float:
        """One optimiser step; the cross-entropy per word in nats."""
        settings, position = self.recipe.train, self.position
        factor = warmup_cosine(position.step, self.steps_per_epoch * settings.epochs, settings.warmup)
        train_encoder = settings.encoder_stages > 0 and position.epoch >= settings.encoder_from_epoch
        for group in self.optimizer.param_groups:
            group["lr"] = group["base_lr"] * factor
        self.loss.train()
        features = self.fabric.to_device(self.features.batch(batch.images, batch.views))
        loss, entropy = self.loss(lambda: features, self.fabric.to_device(batch.slots), train_encoder)
        self.optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(loss)
        norm = self.fabric.clip_gradients(self.loss, self.optimizer, max_norm=settings.clip, error_if_nonfinite=False)
        self.optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.model)
        position.step += 1
        position.batch += 1
        if position.step % LOG_EVERY == 0:
            self._log_step(float(loss.detach()), float(entropy), float(cast(Tensor, norm)))
        return float(entropy)

    def _log_step(self, loss: float, entropy: float, norm: float) -> None:
        position = self.position
        entry = {
            "loss": round(loss, 4),
            "cross_entropy": round(entropy, 4),
            "gradient_norm": round(norm, 4),
            "lr": self.optimizer.param_groups[0]["lr"],
        }
        self.run.log(kind="train", epoch=position.epoch + 1, step=position.step, **entry)
        for name, value in entry.items():
            self.board.add_scalar(f"train/{name}", value, position.step)

    def _validate(self) -> None:
        """Caption the dev split, log the scores, keep the model when it is the best so far."""
        model = self.model if self.average is None else cast(CaptioningModel, self.average.module)
        names = list(dict.fromkeys(sample.name for sample in self.dev))
        languages = self.recipe.text.languages

        def caption(language: str) -> dict[str, str]:
            with self.reporter.stage(f"captioning dev ({language})", len(names)) as advance:
                return caption_features(
                    model, self.dev_features, names, self.text, language, self.recipe.decode, 64, advance
                )

        scores, rows = validate(caption, self.dev, languages, self.score)
        position = self.position
        self.run.log(
            kind="dev", epoch=position.epoch + 1, step=position.step, seconds=round(position.seconds), scores=scores
        )
        for language in languages:
            for name, value in scores[language].items():
                self.board.add_scalar(f"dev {language}/{name}", value, position.step)
        self.board.flush()
        improved = scores["CIDEr"] > position.best_score
        self.reporter.say(_summary(position.epoch + 1, scores, languages) + (" (best)" if improved else ""))
        if improved:
            position.best_score, position.best_epoch = scores["CIDEr"], position.epoch + 1
            about = {"epoch": position.best_epoch, "step": position.step, "scores": scores}
            save_weights(self.run.best, model, about)
            write_text(self.run.best_scores, json.dumps(about, indent=2))
            lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            write_text(self.run.path / "predictions.dev.jsonl", lines)

    def _save(self) -> None:
        save_state(self.run.state, self.position, self.model, self.optimizer, self.average)


def _moving_average(decay: float) -> Callable[..., None]:
    average: Callable[..., None] = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    return average


def _optimizer(model: CaptioningModel, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW (Loshchilov & Hutter 2019): no decay on vectors (biases, norms); the encoder at its own rate."""
    settings = recipe.train
    groups: list[dict[str, Any]] = []
    for part, rate in ((model.decoder, settings.lr), (model.encoder.late, settings.encoder_lr)):
        parameters = [p for p in part.parameters() if p.requires_grad]
        for decay, wanted in ((settings.weight_decay, True), (0.0, False)):
            chosen = [p for p in parameters if (p.ndim > 1) is wanted]
            if chosen:
                groups.append({"params": chosen, "weight_decay": decay, "base_lr": rate})
    return torch.optim.AdamW(groups, lr=settings.lr, betas=(0.9, 0.98))


def _summary(epoch: int, scores: dict[str, Any], languages: Sequence[str]) -> str:
    parts = [
        f"{language}: " + ", ".join(f"{k} {scores[language][k]:.4f}" for k in ("CIDEr", "BLEU-4"))
        for language in languages
    ]
    return f"epoch {epoch}: dev {'; '.join(parts)}"


@contextlib.contextmanager
def _stop_signal() -> Iterator[Callable[[], bool]]:
    """Turn the first SIGINT or SIGTERM into a question the loop asks between steps; the second acts at once."""
    received = False

    def remember(number: int, frame: object) -> None:
        nonlocal received
        received = True
        for each in previous:
            signal.signal(each, previous[each])

    previous = {each: signal.signal(each, remember) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: received
    finally:
        for each, handler in previous.items():
            signal.signal(each, handler)
