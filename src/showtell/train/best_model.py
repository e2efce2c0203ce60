"""The best model of a run: for export, for distillation, and for runs that start from it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from torch import Tensor

from showtell.core.tokenizer import AnyTokenizer
from showtell.errors import BadConfig
from showtell.nets.captioning_model import CaptioningModel
from showtell.settings import Recipe, max_positions
from showtell.train.checked_file import Damaged
from showtell.train.run_folder import RunFolder
from showtell.train.state import load_saved_weights
from showtell.train.vocabulary import network_vocab_size


def load_best(run: RunFolder) -> tuple[CaptioningModel, AnyTokenizer, Recipe]:
    """Raises BadConfig when there is no run, none of its epochs is done, or its files do not match."""
    recipe = run.recipe()
    _check_exists(run)
    tokenizer = run.load_tokenizer()
    vocab_size, stages = network_vocab_size(recipe, tokenizer), recipe.train.trainable_encoder_stages
    model = CaptioningModel(recipe.model, vocab_size, max_positions(recipe), stages, load=False)
    load_weights(model, run)
    return model.eval(), tokenizer, recipe


def load_weights(
    model: CaptioningModel,
    run: RunFolder,
    change: Callable[[dict[str, Tensor]], dict[str, Tensor]] = lambda weights: weights,
) -> None:
    """Load the best weights of `run` into `model`, after a change. Raises BadConfig when there are none, when the file
    is damaged, and when they are those of another model."""
    _check_exists(run)
    try:
        weights = load_saved_weights(run.best)
    except Damaged as error:
        raise BadConfig(f"{run.best}: damaged ({error}); restore it from a copy, or train again") from error
    try:
        load_state(model, change(weights))
    except RuntimeError as error:
        # Torch begins with a headline; the mismatch comes below it.
        reason = str(error).strip().splitlines()[:2][-1].strip()
        raise BadConfig(f"{run.best}: does not fit the settings ({reason}); expected the same network") from error


def load_state(model: CaptioningModel, weights: Mapping[str, Tensor]) -> None:
    """Load weights of the same network, whichever of its encoder's stages were trainable. Raises RuntimeError, as torch
    does, for other names or shapes."""
    own = model.state_dict()
    frozen, trainable = (len(list(getattr(model.encoder, part, ()))) for part in ("frozen", "trainable"))
    wanted = {_stage_name(name, frozen): name for name in own}
    counts = {name: tensor for name, tensor in own.items() if name.endswith("num_batches_tracked")}
    for cut in range(frozen + trainable + 1):
        found = {_stage_name(name, cut): tensor for name, tensor in weights.items()}
        # How many batches a batch norm has seen is for training from nothing, and in no graph.
        if found.keys() | {_stage_name(name, frozen) for name in counts} == wanted.keys():
            weights = {**counts, **{wanted[name]: tensor for name, tensor in found.items()}}
            break
    model.load_state_dict(dict(weights))


def _stage_name(name: str, frozen: int) -> str:
    """The name with the stage counted from the first, where `frozen` stages come before the trainable ones."""
    return re.sub(
        r"^encoder\.(frozen|trainable)\.(\d+)",
        lambda match: f"encoder.{int(match[2]) + (frozen if match[1] == 'trainable' else 0)}",
        name,
    )


def _check_exists(run: RunFolder) -> None:
    if not run.best.exists():
        raise BadConfig(f"{run.path}: no best model yet; training writes one after its first epoch")
