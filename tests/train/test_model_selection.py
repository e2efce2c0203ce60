from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from showtell.errors import BadConfig
from showtell.progress import ProgressReporter
from showtell.settings import TrainSettings
from showtell.train.model_selection import ModelSelection
from showtell.train.state import TrainProgress


def select(
    scores: Sequence[dict[str, float]], settings: TrainSettings
) -> tuple[list[bool], list[float], TrainProgress]:
    """Whether each epoch was the best so far, the learning rate factor after it, and the progress at the end."""
    selection, progress = ModelSelection(settings, ProgressReporter()), TrainProgress()
    is_best, factors = [], []
    for epoch_scores in scores:
        is_best.append(selection.update(epoch_scores, progress))
        factors.append(settings.lr_factor**progress.drops)
        progress.epoch += 1
    return is_best, factors, progress


def test_higher_is_better_except_for_a_loss() -> None:
    scores = [{"loss": value, "BLEU-4": value, "CIDEr": 0.0} for value in (2.0, 1.5, 1.7, 1.5, 1.4)]
    is_best, _, progress = select(scores, TrainSettings(monitor="loss"))
    assert is_best == [True, True, False, False, True]
    assert (progress.best_score, progress.best_epoch) == (-1.4, 5)
    is_best, _, progress = select(scores, TrainSettings(monitor="BLEU-4"))
    assert is_best == [True, False, False, False, False]
    assert (progress.best_score, progress.best_epoch) == (2.0, 1)


@pytest.mark.parametrize("patience", [1, 2, 8])
@pytest.mark.parametrize("monitor", ["CIDEr", "loss"])
def test_a_plateau_equals_torchs(monitor: str, patience: int) -> None:
    """torch counts the epochs that are tolerated: one less."""
    values = np.random.default_rng(patience).random(80).round(2)
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0)
    mode = "min" if monitor == "loss" else "max"
    scheduler = ReduceLROnPlateau(optimizer, mode, factor=0.8, patience=patience - 1, threshold=0.0, eps=0.0)
    expected = []
    for value in values:
        scheduler.step(value)
        expected.append(scheduler.get_last_lr()[0])
    settings = TrainSettings(schedule="plateau", lr_factor=0.8, plateau_patience=patience, monitor=monitor)
    _, factors, _ = select([{monitor: value} for value in values], settings)
    assert factors == pytest.approx(expected) and factors[-1] < 0.8**2


def test_early_stopping_waits_for_its_patience() -> None:
    settings = TrainSettings(early_stopping_patience=2)
    for values, stopped in (([0.2, 0.1], False), ([0.2, 0.1, 0.2], True), ([0.2, 0.1, 0.3, 0.1], False)):
        assert select([{"CIDEr": value} for value in values], settings)[2].stopped is stopped


def test_a_score_that_dev_does_not_have() -> None:
    with pytest.raises(BadConfig, match=r"^train.monitor: dev has no CIDEr; expected one of: loss$"):
        select([{"loss": 1.0, "en": {}}], TrainSettings())  # type: ignore[dict-item]
