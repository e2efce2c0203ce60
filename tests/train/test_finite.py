"""A run stops before a step that would spoil its weights, and says on which photos."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.train.test_loop import SHORT, cache, features, log, recipe, trainer, weights  # noqa: F401 (fixtures)

from showtell.errors import Diverged
from showtell.train.features import Features
from showtell.train.loop import Trainer
from showtell.train.run_folder import RunFolder

TINY = [*SHORT, "train.epochs=2", "train.max_images=32"]
"""Two steps an epoch."""


def spoil_loss(run: Trainer, at: int, value: float = torch.nan) -> None:
    """The loss of the step after `at` steps."""
    forward = run._forward
    run._forward = lambda batch: [x * (value if run.progress.step == at else 1) for x in forward(batch)]


def spoil_gradients(run: Trainer, at: int) -> None:
    weight = run.model.decoder.token_embedding.weight
    weight.register_hook(lambda gradient: gradient * (torch.inf if run.progress.step == at else 1))


def spoil_weights(run: Trainer, at: int) -> None:
    """A step from finite gradients that overflows."""
    step = run.optimizer.step

    def overflow() -> None:
        step()
        if run.progress.step == at:
            with torch.no_grad():
                run.model.decoder.token_embedding.weight[0] = torch.inf

    run.optimizer.step = overflow


@pytest.mark.parametrize("changes", [[], ["train.max_grad_norm=null"], ["train.ema_decay=0.9"]])
@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (spoil_loss, "the loss is nan in epoch 2, step 3, photos "),
        (lambda run, at: spoil_loss(run, at, torch.inf), "the loss is inf in epoch 2, step 3, photos "),
        (spoil_gradients, "the norm of the gradients is "),
    ],
)
def test_a_step_that_is_not_finite_is_not_taken(
    tmp_path: Path, spoil: Callable[[Trainer, int], None], what: str, changes: list[str]
) -> None:
    settings = recipe(*TINY, *changes)
    trainer(tmp_path / "whole", settings).fit()
    run = trainer(tmp_path / "run", settings)
    steps: list[int] = []
    run.optimizer.register_step_post_hook(lambda *_: steps.append(run.progress.step))
    spoil(run, 2)
    with pytest.raises(Diverged) as raised:
        run.fit()
    assert steps == [0, 1] and RunFolder(tmp_path / "run").progress().step == 2
    message = str(raised.value)
    assert message.startswith(what) and "\n" not in message and raised.value.exit_code not in (0, 2)
    assert (
        f"lower train.lr ({settings.train.lr:g} now) in another folder; train.start_from={tmp_path / 'run'} " in message
    )
    (entry,) = log(tmp_path / "run", "diverged")
    assert entry["photos"][0] in message and len(entry["photos"]) == 16 and (entry["epoch"], entry["step"]) == (2, 3)
    trainer(tmp_path / "run", settings).fit()
    whole, found = weights(tmp_path / "whole"), weights(tmp_path / "run")
    assert all(torch.equal(whole[name], found[name]) for name in whole)


@pytest.mark.parametrize("at", [0, 1])
def test_weights_that_overflow_are_neither_saved_nor_best(tmp_path: Path, at: int) -> None:
    """In the last step before a validation, and in the last one before a stop."""
    run = trainer(tmp_path, recipe(*TINY))
    spoil_weights(run, at)
    stopping = run._train_epoch
    if at == 0:
        run._train_epoch = lambda plan, advance, should_stop: stopping(plan, advance, lambda: True)
    with pytest.raises(Diverged, match=r"the weights decoder\.token_embedding\.weight are not finite in epoch 1, step"):
        run.fit()
    assert not RunFolder(tmp_path).state.exists() and not RunFolder(tmp_path).best.exists()


def test_photos_whose_features_are_not_finite_are_named_alone(tmp_path: Path) -> None:
    run = trainer(tmp_path, recipe(*TINY))
    view = run.train_set.features.views[0].astype("float32")
    view[5] = float("nan")
    run.train_set = replace(run.train_set, features=Features([view]))
    run.finite.features = run.train_set.features
    name = run.train_set.photos[5].sample.name
    with pytest.raises(Diverged, match=rf"photos {name} \(log"):
        run.fit()
    assert json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])["photos"] == [name]
