"""Distillation: a model learns from the words that an ensemble of finished runs expects, beside the true ones.

Word-level knowledge distillation (Hinton, Vinyals & Dean 2015; Kim & Rush 2016, section 3.1) at temperature 1: the
target of each word is the mean of the teachers' probabilities, every teacher reading the true words before it. An
ensemble says which other words would have done, and one model that has learned this is as fast as any other.

Teachers look at the same view of a photo as the student, each through its own encoder.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from showtell.core.text import Text
from showtell.errors import BadConfig
from showtell.files import sha256
from showtell.nets.captioning_model import CaptioningModel
from showtell.settings import Recipe
from showtell.train.batches import Batch
from showtell.train.best_model import load_best
from showtell.train.features import Features
from showtell.train.losses import read
from showtell.train.run_folder import RunFolder


@dataclass(frozen=True)
class Teacher:
    model: CaptioningModel
    features: Features
    """Of the photos that the student trains on, in the same views."""


class Teachers:
    def __init__(self, teachers: Sequence[Teacher], pad: int) -> None:
        self.teachers, self.pad = teachers, pad

    @torch.no_grad()
    def log_probs(self, batch: Batch) -> Tensor:
        """What the ensemble expects at each real word of the batch, in the order of `losses.read`: [W, V]."""
        expected = [self._of_one(teacher, batch) for teacher in self.teachers]
        return torch.stack(expected).logsumexp(0) - math.log(len(expected))

    def _of_one(self, teacher: Teacher, batch: Batch) -> Tensor:
        model = teacher.model
        device = next(model.parameters()).device
        features = teacher.features.batch(batch.images, batch.views).to(device)
        memory = model.decoder.memory(model.encoder.finish(features))
        slots = [slot.to(device) for slot in batch.slots]
        words = read(slots, self.pad, partial(model.decoder.teach, memory=memory), lambda tokens: tokens)
        return model.decoder.logits(words.hidden).float().log_softmax(-1)


def load_teachers(
    runs: Sequence[Path], tokenizer: Path, text: Text, features: Callable[[CaptioningModel, Recipe], Features]
) -> Teachers:
    """`tokenizer` is the student's; `features` gives those of the student's photos for a teacher's encoder.

    Raises BadConfig for a run that has no best model, and for one that writes other words than the student.
    """
    teachers = []
    for path in runs:
        run = RunFolder(path)
        model, _, recipe = load_best(run)
        if sha256(run.tokenizer) != sha256(tokenizer):
            raise BadConfig(
                f"{path} writes other words than this run; expected teachers with the same text settings, trained on "
                "the same captions"
            )
        teachers.append(Teacher(model.requires_grad_(False), features(model, recipe)))
    return Teachers(teachers, text.pad)
