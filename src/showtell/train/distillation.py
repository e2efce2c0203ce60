"""Knowledge distillation from an ensemble of finished runs.

Word-level distillation (Hinton, Vinyals & Dean 2015; Kim & Rush 2016, section 3.1) at temperature 1: the target
distribution of each token is the mean of the teachers' probabilities under teacher forcing. The student learns which
other tokens an ensemble finds acceptable, at the cost of a single model at inference.

Teachers get the same view of a photo as the student, each through its own encoder.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from showtell.core.tokenizer import AnyTokenizer
from showtell.errors import BadConfig
from showtell.files import sha256
from showtell.nets.captioning_model import CaptioningModel
from showtell.settings import Recipe
from showtell.train.batch_source import BatchSource
from showtell.train.batches import Batch, prompt_length
from showtell.train.best_model import load_best
from showtell.train.losses import forward_packed
from showtell.train.run_folder import RunFolder


@dataclass(frozen=True)
class Teacher:
    model: CaptioningModel
    features: BatchSource
    """Of the student's training photos, in the same views."""


class Teachers:
    def __init__(self, teachers: Sequence[Teacher], prompt_length: int) -> None:
        self.teachers, self.prompt_length = teachers, prompt_length

    @torch.no_grad()
    def log_probs(self, batch: Batch) -> Tensor:
        """The ensemble's log-probabilities [W, V] at each target token, in the order of `losses.forward_packed`."""
        log_probs = [self._teacher_log_probs(teacher, batch) for teacher in self.teachers]
        return torch.stack(log_probs).logsumexp(0) - math.log(len(log_probs))

    def _teacher_log_probs(self, teacher: Teacher, batch: Batch) -> Tensor:
        model = teacher.model
        device = next(model.parameters()).device
        features = teacher.features.batch(batch.images, batch.views).to(device)
        memory = model.decoder.encode_memory(model.encoder.forward_trainable(features))
        slots = [slot.to(device) for slot in batch.slots]
        output = forward_packed(slots, self.prompt_length, partial(model.decoder.forward_slots, memory=memory))
        return model.decoder.logits(output.hidden).float().log_softmax(-1)


def load_teachers(
    runs: Sequence[Path],
    tokenizer: Path,
    student: AnyTokenizer,
    features: Callable[[CaptioningModel, Recipe], BatchSource],
) -> Teachers:
    """`tokenizer` is the student's file; `features` extracts those of the student's photos with a teacher's encoder.

    Raises BadConfig for a run without a best model, and for one with another vocabulary than the student.
    """
    teachers = []
    for path in runs:
        run = RunFolder(path)
        model, _, recipe = load_best(run)
        if sha256(run.tokenizer) != sha256(tokenizer):
            raise BadConfig(
                f"{path} has another vocabulary than this run; expected teachers with the same text settings, trained "
                "on the same captions"
            )
        teachers.append(Teacher(model.requires_grad_(False), features(model, recipe)))
    return Teachers(teachers, prompt_length(student))
