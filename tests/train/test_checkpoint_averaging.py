"""The mean of the best epochs' weights."""

from pathlib import Path

import torch
from torch import nn

from showtell.train.checkpoint_averaging import BestCheckpoints


def network(value: float) -> nn.Module:
    model = nn.BatchNorm1d(2)
    with torch.no_grad():
        model.weight.fill_(value)
        model.bias.copy_(torch.tensor([value, -value]))
    model.num_batches_tracked.fill_(int(value))
    return model


def test_the_best_are_kept_and_averaged(tmp_path: Path) -> None:
    kept = BestCheckpoints(tmp_path, 2)
    for epoch, value in enumerate([0.3, 0.9, 0.5, 0.1, 0.5], start=1):
        kept.add(network(epoch), epoch, value)
    assert kept.epochs() == [2, 3]  # of equals the earlier
    assert sorted(file.name for file in tmp_path.iterdir()) == ["epoch-2.safetensors", "epoch-3.safetensors"]
    mean = kept.mean()
    torch.testing.assert_close(mean["weight"], torch.tensor([2.5, 2.5]))
    torch.testing.assert_close(mean["bias"], torch.tensor([2.5, -2.5]))
    assert mean["num_batches_tracked"] == 3
    assert mean.keys() == network(0).state_dict().keys()


def test_an_epoch_that_is_run_again_takes_its_own_place(tmp_path: Path) -> None:
    kept = BestCheckpoints(tmp_path, 2)
    for epoch, value in [(1, 0.1), (2, 0.2), (2, 0.3)]:
        kept.add(network(10 * value), epoch, value)
    assert BestCheckpoints(tmp_path, 2).epochs() == [1, 2]
    torch.testing.assert_close(kept.mean()["weight"], torch.tensor([2.0, 2.0]))


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    kept = BestCheckpoints(tmp_path, 2)
    kept.add(network(1), 1, 0.1)
    kept.remove()
    assert kept.epochs() == [] and not list(tmp_path.iterdir())
