"""The best model of a run: for export, for distillation, and for runs that start from it."""

from __future__ import annotations

from safetensors import SafetensorError
from safetensors.torch import load_file

from showtell.core.tokenizer import Tokenizer
from showtell.errors import BadConfig
from showtell.nets.captioning_model import CaptioningModel
from showtell.settings import Recipe, max_positions
from showtell.train.run_folder import RunFolder


def load_best(run: RunFolder) -> tuple[CaptioningModel, Tokenizer, Recipe]:
    """Raises BadConfig when there is no run, none of its epochs is done, or its files do not match."""
    recipe = run.recipe()
    _check_exists(run)
    tokenizer = run.load_tokenizer()
    model = CaptioningModel(
        recipe.model, tokenizer.vocab_size, max_positions(recipe), recipe.train.trainable_encoder_stages, load=False
    )
    load_weights(model, run)
    return model.eval(), tokenizer, recipe


def load_weights(model: CaptioningModel, run: RunFolder) -> None:
    """Load the best weights of `run` into `model`. Raises BadConfig when there are none, or those of another model."""
    _check_exists(run)
    try:
        model.load_state_dict(load_file(str(run.best)))
    except (OSError, SafetensorError, RuntimeError) as error:
        # Torch begins with a headline; the mismatch comes below it.
        reason = str(error).strip().splitlines()[:2][-1].strip()
        raise BadConfig(f"{run.best}: does not fit the settings ({reason}); expected the same network") from error


def _check_exists(run: RunFolder) -> None:
    if not run.best.exists():
        raise BadConfig(f"{run.path}: no best model yet; training writes one after its first epoch")
