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

from showtell.core.text import Text
from showtell.errors import BadConfig
from showtell.files import write_text
from showtell.nets.captioning_model import CaptioningModel
from showtell.records import Sample
from showtell.settings import Recipe, TrainSettings
from showtell.train.batches import Batch, Photo, batches
from showtell.train.batches import photos as gather_photos
from showtell.train.compiled import compile_decoder
from showtell.train.features import Features
from showtell.train.kept import KeptEpochs
from showtell.train.losses import CaptionLoss, Inputs
from showtell.train.optimizer import build_optimizer
from showtell.train.progress import Reporter
from showtell.train.run_folder import RunFolder
from showtell.train.schedule import learning_factor, meets_plateau, teacher_forcing
from showtell.train.self_critical import MakeReward, Sampled, SelfCritic
from showtell.train.state import Position, load_state, save_state, save_weights
from showtell.train.teachers import Teachers
from showtell.train.validate import Score, caption_features, taught_scores, validate

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
        teachers: Teachers | None = None,
        make_reward: MakeReward | None = None,
    ) -> None:
        """`make_reward` is needed for self-critical training only."""
        self.recipe, self.run, self.text = recipe, run, text
        self.photos, self.features, self.dev, self.dev_features = photos, features, dev, dev_features
        self.score, self.reporter, self.after_epoch, self.teachers = score, reporter, after_epoch, teachers
        settings = recipe.train
        self.dev_photos = gather_photos(dev, text, recipe.text.max_words)
        self.fabric = fabric
        self.model = model
        loss = CaptionLoss(model, recipe.model.decoder, settings, text.pad, text.unknown, text.special_ids)
        self.loss, self.optimizer = self.fabric.setup(loss, build_optimizer(model, settings))
        self.average = (
            AveragedModel(model, multi_avg_fn=_moving_average(settings.average)) if settings.average else None
        )
        if settings.compile:  # after the average was copied from it: a copy would go on calling the original
            compile_decoder(model.decoder)
        self.critic = self._self_critic(make_reward)
        self.kept = KeptEpochs(run.best.parent, settings.average_epochs)
        self.board = SummaryWriter(str(run.path / "tensorboard"))
        self.position = Position()
        self.samples: list[tuple[float, float]] = []  # reward and length, since the log's last line
        if run.state.exists():
            self.position, scaler = load_state(run.state, model, self.optimizer, self.average)
            fabric.strategy.precision.load_state_dict(scaler)
        self.steps_per_epoch = -(-len(photos) // (settings.batch_size * settings.accumulate))

    def _self_critic(self, make_reward: MakeReward | None) -> SelfCritic | None:
        settings = self.recipe.train
        if settings.self_critical.from_epoch is None:
            return None
        if make_reward is None:
            raise ValueError("self-critical training needs a reward")
        samples, longest = settings.self_critical.samples, self.recipe.text.max_words
        return SelfCritic(self.photos, self.text, samples, longest, settings.seed, make_reward)

    def fit(self) -> None:
        """Raises Interrupted when Ctrl-C (or a termination signal) came; the state is saved then."""
        settings, position = self.recipe.train, self.position
        with _stop_signal() as stop:
            while position.epoch < settings.epochs and not position.stopped:
                plan = batches(
                    self.photos, self.text, settings.batch_size, settings.views, settings.seed, position.epoch
                )
                title = f"epoch {position.epoch + 1}/{settings.epochs}"
                with self.reporter.stage(title, len(plan), position.batch) as advance:
                    self._epoch(plan[position.batch :], advance, stop)
                self._validate()
                if position.stopped or position.epoch + 1 == settings.epochs:
                    self._try_the_mean()
                position.epoch, position.batch = position.epoch + 1, 0
                self._save()
                if position.stopped or position.epoch == settings.epochs:
                    self.kept.remove()
                self.after_epoch(self.run)
                if stop():  # it came while dev was captioned; a sweep would go on with the next run
                    raise Interrupted

    def _epoch(self, plan: Sequence[Batch], advance: Callable[..., None], stop: Callable[[], bool]) -> None:
        saved = begun = time.monotonic()
        together = self.recipe.train.accumulate
        for first in range(0, len(plan), together):
            group = plan[first : first + together]
            entropy = self._step(group)
            now = time.monotonic()
            self.position.seconds, begun = self.position.seconds + now - begun, now
            advance(len(group), f"loss {entropy:.3f}")
            if stop():
                self._save()
                raise Interrupted
            if now - saved > 60 * self.recipe.train.checkpoint_minutes:
                self._save()
                saved = now

    def _step(self, group: Sequence[Batch]) -> float:
        """One optimiser step on the batches of a group together; the cross-entropy per word in nats."""
        settings, position = self.recipe.train, self.position
        factor = learning_factor(settings, position.step, self.steps_per_epoch, position.epoch, position.drops)
        for parameters in self.optimizer.param_groups:
            parameters["lr"] = parameters["base_lr"] * factor
        self.loss.train()
        self.optimizer.zero_grad(set_to_none=True)
        words = sum(batch.words for batch in group)
        loss = entropy = 0.0
        for batch in group:
            share = batch.words / words  # of a mean over words, so that small batches add up to the large one
            batch_loss, batch_entropy = self._forward(batch)
            self.fabric.backward(batch_loss * share)
            loss, entropy = loss + share * float(batch_loss.detach()), entropy + share * float(batch_entropy)
        norm = torch.nan
        if settings.clip is not None:
            clipped = self.fabric.clip_gradients(
                self.loss, self.optimizer, max_norm=settings.clip, error_if_nonfinite=False
            )
            norm = float(cast(Tensor, clipped))
        self.optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.model)
        position.step += 1
        position.batch += len(group)
        if position.step % LOG_EVERY == 0 or position.step == 1:
            self._log_step(loss, entropy, norm)
        return entropy

    def _forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        settings, position = self.recipe.train, self.position
        train_encoder = settings.encoder_stages > 0 and position.epoch >= settings.encoder_from_epoch
        features = self.fabric.to_device(self.features.batch(batch.images, batch.views))
        inputs = Inputs(
            features,
            self.fabric.to_device(batch.slots),
            None if self.teachers is None else self.teachers.log_probs(batch),
            self._sampled(features, batch),
        )
        forcing = teacher_forcing(settings, position.step, self.steps_per_epoch)
        loss: tuple[Tensor, Tensor] = self.loss(lambda: inputs, train_encoder, forcing)
        return loss

    def _sampled(self, features: Tensor, batch: Batch) -> Sampled | None:
        first = self.recipe.train.self_critical.from_epoch
        if self.critic is None or first is None or self.position.epoch < first:
            return None
        sampled = self.critic(self.model, features, batch, self.position.step)
        self.samples.append((sampled.reward, sampled.length))
        return Sampled(*self.fabric.to_device(tuple(sampled)))

    def _log_step(self, loss: float, entropy: float, norm: float) -> None:
        position = self.position
        entry = {
            "loss": round(loss, 4),
            "cross_entropy": round(entropy, 4),
            **({"gradient_norm": round(norm, 4)} if self.recipe.train.clip is not None else {}),
            "lr": self.optimizer.param_groups[0]["lr"],
            **self._of_the_samples(),
        }
        self.run.log(kind="train", epoch=position.epoch + 1, step=position.step, **entry)
        for name, value in entry.items():
            self.board.add_scalar(f"train/{name}", value, position.step)

    def _of_the_samples(self) -> dict[str, float]:
        """What self-critical training is rewarded for, and how long its captions are: a model that collapses shows here
        first."""
        if not self.samples:
            return {}
        reward, length = (sum(each) / len(self.samples) for each in zip(*self.samples, strict=True))
        self.samples.clear()
        return {"reward": round(reward, 4), "sampled_length": round(length, 2)}

    @property
    def _judged(self) -> CaptioningModel:
        """The weights that are validated and kept."""
        return self.model if self.average is None else cast(CaptioningModel, self.average.module)

    def _validate(self) -> None:
        """Caption the dev split, log the scores, keep the model when it is the best so far."""
        epoch = self.position.epoch + 1
        scores, rows = self._scores(f"epoch {epoch}")
        self.run.log(
            kind="dev", epoch=epoch, step=self.position.step, seconds=round(self.position.seconds), scores=scores
        )
        self._show_on_board(scores)
        improved = self._judge(scores)
        if self.kept.count > 1:
            self.kept.add(self._judged, epoch, _monitored(self.recipe.train, scores))
        self.reporter.say(
            _summary(f"epoch {epoch}", scores, self.recipe.text.languages) + (" (best)" if improved else "")
        )
        if improved:
            self._keep(scores, rows, epoch=epoch)

    def _try_the_mean(self) -> None:
        """Validate the mean of the best epochs' weights, and keep it when it is better than each."""
        epochs, position = self.kept.epochs(), self.position
        if len(epochs) > 1:
            own = {name: tensor.clone() for name, tensor in self._judged.state_dict().items()}
            self._judged.load_state_dict(self.kept.mean())
            title = f"mean of epochs {', '.join(map(str, epochs))}"
            scores, rows = self._scores(title)
            improved = position.best_score is None or _monitored(self.recipe.train, scores) > position.best_score
            self.run.log(kind="mean", epochs=epochs, scores=scores)
            self.reporter.say(_summary(title, scores, self.recipe.text.languages) + (" (best)" if improved else ""))
            if improved:
                position.best_score = _monitored(self.recipe.train, scores)
                self._keep(scores, rows, epoch=position.best_epoch, mean_of=epochs)
            self._judged.load_state_dict(own)

    def _keep(self, scores: dict[str, Any], rows: list[dict[str, Any]], **about: Any) -> None:
        about = {**about, "step": self.position.step, "scores": scores}
        save_weights(self.run.best, self._judged, about)
        write_text(self.run.best_scores, json.dumps(about, indent=2))
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        write_text(self.run.path / "predictions.dev.jsonl", lines)

    def _scores(self, title: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The model's captions of dev, and how good they are."""
        model = self._judged
        names = list(dict.fromkeys(sample.name for sample in self.dev))
        languages = self.recipe.text.languages

        def caption(language: str) -> dict[str, str]:
            with self.reporter.stage(f"{title}: captioning dev ({language})", len(names)) as advance:
                return caption_features(
                    model, self.dev_features, names, self.text, language, self.recipe.decode, 64, advance
                )

        scores, rows = validate(caption, self.dev, languages, self.score)
        plan = batches(self.dev_photos, self.text, 64, views=1, seed=0, epoch=0)
        return scores | taught_scores(model, self.dev_features, plan, self.text.pad), rows

    def _judge(self, scores: dict[str, Any]) -> bool:
        """Whether this epoch is the best so far; if not, what follows for the learning rate and for the run."""
        settings, position = self.recipe.train, self.position
        if settings.monitor not in scores:
            there = ", ".join(name for name, value in scores.items() if isinstance(value, float))
            raise BadConfig(f"train.monitor: dev has no {settings.monitor}; expected one of: {there}")
        value = _monitored(self.recipe.train, scores)
        epochs = position.epoch + 1
        if position.best_score is None or value > position.best_score:
            position.best_score, position.best_epoch = value, epochs
            return True
        without_gain = epochs - position.best_epoch
        if meets_plateau(settings, epochs, without_gain):
            position.drops += 1
            self.reporter.say(f"no gain in {without_gain} epochs: learning rate x {settings.decay}")
        if settings.stop_after is not None and without_gain >= settings.stop_after:
            position.stopped = True
            self.reporter.say(f"no gain in {without_gain} epochs: stopped")
        return False

    def _show_on_board(self, scores: dict[str, Any]) -> None:
        """TensorBoard, by language where there are several figures of a name."""
        for language in self.recipe.text.languages:
            for name, value in scores[language].items():
                self.board.add_scalar(f"dev {language}/{name}", value, self.position.step)
        for name in ("loss", "top-5"):
            self.board.add_scalar(f"dev/{name}", scores[name], self.position.step)
        self.board.flush()

    def _save(self) -> None:
        scaler = self.fabric.strategy.precision.state_dict()
        save_state(self.run.state, self.position, self.model, self.optimizer, self.average, scaler)


def _moving_average(decay: float) -> Callable[..., None]:
    average: Callable[..., None] = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    return average


def _monitored(settings: TrainSettings, scores: dict[str, Any]) -> float:
    """The figure that says which epoch is best: the larger, the better."""
    return float(-scores["loss"] if settings.monitor == "loss" else scores[settings.monitor])


def _summary(title: str, scores: dict[str, Any], languages: Sequence[str]) -> str:
    parts = [
        f"{language}: " + ", ".join(f"{k} {scores[language][k]:.4f}" for k in ("CIDEr", "BLEU-4"))
        for language in languages
    ]
    return f"{title}: dev {'; '.join(parts)}"


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
