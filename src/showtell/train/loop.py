"""The training loop: epochs of optimiser steps, each followed by free-running validation."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from showtell.core.tokenizer import AnyTokenizer
from showtell.nets.captioning_model import CaptioningModel
from showtell.progress import ProgressReporter
from showtell.settings import Recipe
from showtell.train.batch_source import BatchSource, Wanted
from showtell.train.batches import Batch, Photo, batches, part_of, prompt_length
from showtell.train.board import Board
from showtell.train.checkpoints import Checkpoints
from showtell.train.compilation import compile_decoder
from showtell.train.distillation import Teachers
from showtell.train.finite import FiniteCheck
from showtell.train.lora import load_merged
from showtell.train.losses import CaptionLoss, LossInputs
from showtell.train.model_selection import ModelSelection
from showtell.train.optimizer import build_optimizer
from showtell.train.pace import Pace
from showtell.train.processes import Processes
from showtell.train.run_folder import RunFolder
from showtell.train.schedule import learning_factor, teacher_forcing
from showtell.train.self_critical import SampledCaptions, SelfCritic
from showtell.train.sentences import EncodedSentences, batches_of_epoch, with_sentences
from showtell.train.stop_signal import Interrupted, catch_stop_signal
from showtell.train.validate import Validator

LOG_EVERY = 20
"""Steps."""


@dataclass(frozen=True)
class TrainingSet:
    """The training data, and the optional distillation teachers and self-critic."""

    tokenizer: AnyTokenizer
    photos: Sequence[Photo]
    features: BatchSource
    teachers: Teachers | None = None
    """For distillation."""
    critic: SelfCritic | None = None
    """For self-critical training."""
    sentences: Sequence[EncodedSentences] = ()
    """Those without photos."""


class Trainer:
    """One run. `fit` continues from the state in the run folder to the end of the last epoch."""

    def __init__(
        self,
        processes: Processes,
        recipe: Recipe,
        run: RunFolder,
        model: CaptioningModel,
        train_set: TrainingSet,
        validator: Validator,
        reporter: ProgressReporter,
        after_epoch: Callable[[RunFolder], None],
    ) -> None:
        settings, tokenizer = recipe.train, train_set.tokenizer
        self.processes, self.recipe, self.run, self.model = processes, recipe, run, model
        self.fabric = fabric = processes.fabric
        self.prompt_length = prompt_length(tokenizer)
        self.train_set, self.validator, self.reporter, self.after_epoch = train_set, validator, reporter, after_epoch
        loss = CaptionLoss(model, settings, self.prompt_length, tokenizer.unk_id, tokenizer.banned_ids)
        self.loss, self.optimizer = fabric.setup(loss, build_optimizer(model, settings))
        self.ema: AveragedModel | None = None
        if settings.ema_decay:  # without the device its counter stays on the CPU
            self.ema = AveragedModel(model, fabric.device, multi_avg_fn=_ema(model, settings.ema_decay))
        if settings.compile:  # after the EMA's copy, which would otherwise call the original's compiled method
            compile_decoder(model.decoder)
        self.checkpoints = Checkpoints(run, settings.average_checkpoints, processes)
        self.selection = ModelSelection(settings, reporter)
        self.board = Board(run.path / "tensorboard") if processes.is_first else None
        self.rewards: list[tuple[float, float]] = []
        """Mean reward and length of sampled captions, per batch since the last line of the log."""
        self.progress = self.checkpoints.resume(fabric, model, self.optimizer, self.ema)
        processes.share_weights(model, self.ema)
        self.finite = FiniteCheck(
            run, train_set.photos, train_set.features, self.progress, settings.lr, processes.is_first
        )
        self.total_steps = self._count_steps()
        self.pace = Pace(settings, self.progress.epoch, reporter.say)

    def _count_steps(self) -> int:
        """Optimiser steps of the whole run, if it is not stopped early."""
        settings = self.recipe.train
        photo_batches = -(-len(self.train_set.photos) // settings.batch_size)
        counts = (
            photo_batches + batches_of_epoch(settings.text, photo_batches, epoch) for epoch in range(settings.epochs)
        )
        return sum(-(-count // settings.accumulate_grad_batches) for count in counts)

    def plan(self) -> list[Batch]:
        """All batches of the current epoch."""
        settings, train_set, epoch = self.recipe.train, self.train_set, self.progress.epoch
        of_epoch = settings.batch_size, settings.views, settings.seed, epoch
        plan = batches(train_set.photos, train_set.tokenizer, *of_epoch, settings.captions_per_language)
        count = batches_of_epoch(settings.text, len(plan), epoch)
        if not count:
            return plan
        companion = self.model.encoder.companion
        num_nouns = 0 if companion is None else companion.num_nouns
        sentences = train_set.sentences, num_nouns, train_set.tokenizer, count
        options = settings.batch_size, settings.seed, epoch, settings.captions_per_language
        return with_sentences(plan, *sentences, *options)

    def fit(self) -> None:
        """Raises Interrupted on Ctrl-C or SIGTERM, with the state saved."""
        settings, progress = self.recipe.train, self.progress
        with catch_stop_signal() as should_stop:
            while progress.epoch < settings.epochs and not progress.stopped:
                plan = self.plan()
                title = f"epoch {progress.epoch + 1}/{settings.epochs}"
                with self.reporter.stage(title, len(plan), progress.batch) as advance:
                    self._train_epoch(plan[progress.batch :], advance, should_stop)
                self._validate()
                if progress.stopped or progress.epoch + 1 == settings.epochs:
                    self._validate_checkpoint_average()
                progress.epoch, progress.batch = progress.epoch + 1, 0
                self.save()
                if self.processes.is_first:
                    if progress.stopped or progress.epoch == settings.epochs:
                        self.checkpoints.best_epochs.remove()
                    self.after_epoch(self.run)
                if any(
                    self.processes.any(should_stop())
                ):  # the signal came during validation; a sweep would start the next run
                    raise Interrupted

    def save(self) -> None:
        """Write the full state, from which another Trainer resumes. Raises Diverged instead of saving weights that are
        not finite."""
        self.finite.weights(self.model)
        self.processes.share_buffers(self.model, self.ema)
        self.checkpoints.save_last(self.fabric, self.progress, self.model, self.optimizer, self.ema)

    def _train_epoch(
        self, plan: Sequence[Batch], advance: Callable[..., None], should_stop: Callable[[], bool]
    ) -> None:
        last_save = last_step = time.monotonic()
        size = self.recipe.train.accumulate_grad_batches
        with self.train_set.features.ahead(self._wanted(plan)):
            for first in range(0, len(plan), size):
                group = plan[first : first + size]
                cross_entropy = self.step(group)
                now = time.monotonic()
                self.pace.add(now - last_step, self.progress.step, self.total_steps)
                self.progress.seconds, last_step = self.progress.seconds + now - last_step, now
                advance(len(group), f"loss {cross_entropy:.3f}")
                is_due = now - last_save > 60 * self.recipe.train.checkpoint_minutes
                is_last = first + size >= len(plan)  # validation may take longer than a stop leaves time for
                stops, saves = self.processes.any(should_stop(), is_due or is_last)
                if stops:
                    self.save()
                    raise Interrupted
                if saves:
                    self.save()
                    last_save = now

    def _wanted(self, plan: Sequence[Batch]) -> Iterator[Wanted]:
        """What this process reads of the photos' features."""
        for batch in plan:
            part = part_of(batch, self.prompt_length, self.processes.rank, self.processes.count)
            if len(part.images):
                yield part.images, part.views

    def step(self, group: Sequence[Batch]) -> float:
        """One optimiser step on a group of accumulated batches; the cross-entropy per token in nats. Raises Diverged
        before the step when loss or gradients are not finite."""
        settings, progress = self.recipe.train, self.progress
        factor = learning_factor(settings, progress.step, self.total_steps, progress.epoch, progress.drops)
        for parameters in self.optimizer.param_groups:
            parameters["lr"] = parameters["base_lr"] * factor
        self.loss.train()
        self.optimizer.zero_grad(set_to_none=True)
        loss, cross_entropy = self._backward(group)
        # Without a limit gradients stay as they are: only their norm is computed.
        max_norm = math.inf if settings.max_grad_norm is None else settings.max_grad_norm
        clipped = self.fabric.clip_gradients(self.loss, self.optimizer, max_norm=max_norm, error_if_nonfinite=False)
        grad_norm = float(cast(Tensor, clipped))
        # On a GPU the scaler of half precision leaves out the steps that overflow; on a CPU there is none.
        if settings.precision != "16-mixed" or self.fabric.device.type == "cpu":
            self.finite.gradients(grad_norm, group)
        self.optimizer.step()
        if self.ema is not None:
            self.ema.update_parameters(self.model)
        progress.step += 1
        progress.batch += len(group)
        if progress.step % LOG_EVERY == 0 or progress.step == 1:
            self._log_step(loss, cross_entropy, grad_norm)
        return cross_entropy

    def _backward(self, group: Sequence[Batch]) -> tuple[float, float]:
        """Add up the gradients of the batches; returns loss and cross-entropy per token, of all processes."""
        processes = self.processes
        tokens = sum(batch.tokens for batch in group)
        values: list[float] = []
        for batch in group:
            part = part_of(batch, self.prompt_length, processes.rank, processes.count)
            share = part.tokens / tokens  # of a mean over tokens, so that small batches add up to the large one
            loss, cross_entropy = self._forward(part)
            self.fabric.backward(loss * share)
            values += [share * float(loss.detach()), share * float(cross_entropy)]
        processes.sum_gradients(self.loss)
        sums = processes.sum(values)
        for value, batch in zip(sums[::2], group, strict=True):
            self.finite.loss(value, batch)
        return sum(sums[::2]), sum(sums[1::2])

    def _forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        settings, progress, train_set = self.recipe.train, self.progress, self.train_set
        train_encoder = settings.trainable_encoder_stages > 0 and progress.epoch >= settings.unfreeze_encoder_at_epoch
        slots = self.fabric.to_device(batch.slots)
        if len(batch.images):
            features = self.fabric.to_device(train_set.features.batch(batch.images, batch.views))
            teachers = None if train_set.teachers is None else train_set.teachers.log_probs(batch)
            inputs = LossInputs(features, slots, teachers, self._sample_captions(features, batch))
        else:  # a teacher's sentences about no image, and a reward of theirs, would teach nothing
            inputs = LossInputs(None, slots, nouns=self.fabric.to_device(batch.nouns))
        probability = teacher_forcing(settings, progress.step, self.total_steps)
        loss: tuple[Tensor, Tensor] = self.loss(lambda: inputs, train_encoder, probability)
        return loss

    def _sample_captions(self, features: Tensor, batch: Batch) -> SampledCaptions | None:
        start_epoch = self.recipe.train.self_critical.start_epoch
        if self.train_set.critic is None or start_epoch is None or self.progress.epoch < start_epoch:
            return None
        with self.fabric.autocast():  # the policy that is sampled is the one whose gradient is taken
            sampled = self.train_set.critic(self.model, features, batch, self.progress.step)
        self.rewards.append((sampled.reward, sampled.length))
        return SampledCaptions(*self.fabric.to_device(tuple(sampled)))

    def _log_step(self, loss: float, cross_entropy: float, grad_norm: float) -> None:
        progress = self.progress
        entry = {
            "loss": round(loss, 4),
            "cross_entropy": round(cross_entropy, 4),
            **({"grad_norm": round(grad_norm, 4)} if self.recipe.train.max_grad_norm is not None else {}),
            "lr": self.optimizer.param_groups[0]["lr"],
            **self._mean_rewards(),
        }
        if self.board is not None:
            self.run.log(kind="train", epoch=progress.epoch + 1, step=progress.step, **entry)
            for name, value in entry.items():
                self.board.add_scalar(f"train/{name}", value, progress.step)

    def _mean_rewards(self) -> dict[str, float]:
        """Reward and length of the captions sampled in self-critical training: a collapsing model shows here
        first."""
        if not self.rewards:
            return {}
        reward, length = (sum(values) / len(self.rewards) for values in zip(*self.rewards, strict=True))
        self.rewards.clear()
        return {"reward": round(reward, 4), "sampled_length": round(length, 2)}

    @property
    def _validated_model(self) -> CaptioningModel:
        """The weights that are validated and kept."""
        return self.model if self.ema is None else cast(CaptioningModel, self.ema.module)

    def _validate(self) -> None:
        """Score the dev split, log the scores, keep the model when it is the best so far."""
        epoch = self.progress.epoch + 1
        model = self._validated_model
        self.finite.weights(model)
        self.processes.share_buffers(self.model, self.ema)
        scores, predictions = self.validator(model, f"epoch {epoch}")
        if self.board is not None:
            seconds = round(self.progress.seconds)
            self.run.log(kind="dev", epoch=epoch, step=self.progress.step, seconds=seconds, scores=scores)
            self._log_scores(self.board, scores)
        improved = self.selection.update(scores, self.progress)
        if self.checkpoints.best_epochs.count > 1 and self.processes.is_first:
            self.checkpoints.best_epochs.add(model, epoch, self.selection.monitored(scores))
        self._say_scores(f"epoch {epoch}", scores, improved)
        if improved:
            self.checkpoints.save_best(model, predictions, self._describe(scores, epoch=epoch))

    def _validate_checkpoint_average(self) -> None:
        """Validate the mean of the best epochs' weights, and keep it when it is better than each of them."""
        best_epochs, model, progress = self.checkpoints.best_epochs, self._validated_model, self.progress
        self.processes.wait()  # the first one has written them
        epochs = best_epochs.epochs()
        if len(epochs) < 2:
            return
        own = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        load_merged(model, best_epochs.mean())
        title = f"mean of epochs {', '.join(map(str, epochs))}"
        scores, predictions = self.validator(model, title)
        improved = self.selection.is_best(scores, progress)
        if self.processes.is_first:
            self.run.log(kind="mean", epochs=epochs, scores=scores)
        self._say_scores(title, scores, improved)
        if improved:
            progress.best_score = self.selection.monitored(scores)
            about = self._describe(scores, epoch=progress.best_epoch, mean_of=epochs)
            self.checkpoints.save_best(model, predictions, about)
        model.load_state_dict(own)

    def _describe(self, scores: dict[str, Any], **about: Any) -> dict[str, Any]:
        return {**about, "step": self.progress.step, "scores": scores}

    def _say_scores(self, title: str, scores: dict[str, Any], improved: bool) -> None:
        parts = [
            f"{language}: " + ", ".join(f"{name} {scores[language][name]:.4f}" for name in ("CIDEr", "BLEU-4"))
            for language in self.recipe.text.languages
        ]
        self.reporter.say(f"{title}: dev {'; '.join(parts)}" + (" (best)" if improved else ""))

    def _log_scores(self, board: Board, scores: dict[str, Any]) -> None:
        for language in self.recipe.text.languages:
            for name, value in scores[language].items():
                board.add_scalar(f"dev {language}/{name}", value, self.progress.step)
        for name in ("loss", "top-5"):
            board.add_scalar(f"dev/{name}", scores[name], self.progress.step)


def _ema(model: CaptioningModel, decay: float) -> Callable[..., None]:
    """The update of a moving average of the trained weights; frozen ones, often most of them, equal their average."""
    update: Callable[..., None] = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    is_trained = [parameter.requires_grad for parameter in model.parameters()]

    def update_trained(averages: Sequence[Tensor], weights: Sequence[Tensor], count: Tensor) -> None:
        trained = [pair for pair, known in zip(zip(averages, weights, strict=True), is_trained, strict=True) if known]
        update(*map(list, zip(*trained, strict=True)), count)

    return update_trained
