"""Loss, gradients and weights that are not finite stop a run before they reach its state."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from showtell.data.omissions import first_names
from showtell.errors import Diverged
from showtell.train.batch_source import BatchSource
from showtell.train.batches import Batch, Photo
from showtell.train.run_folder import RunFolder
from showtell.train.state import TrainProgress


class FiniteCheck:
    """All three raise Diverged, and write the names of all photos concerned to the log. The weights have not been
    changed by the step then, and the state in the run folder is one from before it."""

    def __init__(
        self,
        run: RunFolder,
        photos: Sequence[Photo],
        features: BatchSource,
        progress: TrainProgress,
        lr: float,
        writes: bool = True,
    ) -> None:
        """`writes`: false in all processes of a run but the first."""
        self.run, self.photos, self.features, self.progress, self.lr = run, photos, features, progress, lr
        self.writes = writes

    def loss(self, loss: float, batch: Batch) -> None:
        if not math.isfinite(loss):
            self._stop(f"the loss is {loss}", [batch])

    def gradients(self, norm: float, group: Sequence[Batch]) -> None:
        """`norm`: of all gradients together."""
        if not math.isfinite(norm):
            self._stop(f"the norm of the gradients is {norm}", group)

    def weights(self, model: nn.Module) -> None:
        """Before a save. A step with finite gradients may still overflow."""
        for name, parameter in model.named_parameters():
            if parameter.requires_grad and not torch.isfinite(parameter).all():
                self._stop(f"the weights {name} are not finite", [])

    def _stop(self, what: str, group: Sequence[Batch]) -> None:
        progress = self.progress
        names = self._names(group)
        epoch, step = progress.epoch + 1, progress.step + bool(group)
        if self.writes:
            self.run.log(kind="diverged", epoch=epoch, step=step, what=what, photos=names)
        photos = f", photos {first_names(names)} (log.jsonl has all names)" if names else ""
        look = "look at these photos and their captions, and " if names else ""
        best = f"; train.start_from={self.run.path} there goes on from the best epoch" if self.run.best.exists() else ""
        raise Diverged(
            f"{what} in epoch {epoch}, step {step}{photos}; the state before it is kept, and the same command tries "
            f"again from there; {look}lower train.lr ({self.lr:g} now) in another folder{best}"
        )

    def _names(self, group: Sequence[Batch]) -> list[str]:
        """Those whose features are not finite, or all of them."""
        images = [
            (int(image), int(view)) for batch in group for image, view in zip(batch.images, batch.views, strict=True)
        ]
        bad = [image for image, view in images if not self.features.batch(np.array([image]), view).isfinite().all()]
        return [self.photos[image].sample.name for image in bad or [image for image, _ in images]]
