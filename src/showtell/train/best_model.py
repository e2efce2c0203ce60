"""The best model of a finished run, for whoever goes on from it: export, a student, a run that begins with it."""

from __future__ import annotations

from safetensors import SafetensorError
from safetensors.torch import load_file

from showtell.core.text import Text
from showtell.errors import BadConfig
from showtell.nets.captioning_model import CaptioningModel
from showtell.settings import Recipe, longest
from showtell.train.run_folder import RunFolder


def load_best(run: RunFolder) -> tuple[CaptioningModel, Text, Recipe]:
    """Raises BadConfig when there is no run, none of its epochs is done, or its parts do not fit each other."""
    recipe = run.recipe()
    _check_there_is_one(run)
    text = run.text()
    model = CaptioningModel(recipe.model, text.size, longest(recipe), recipe.train.encoder_stages, load=False)
    load_weights(model, run)
    return model.eval(), text, recipe


def load_weights(model: CaptioningModel, run: RunFolder) -> None:
    """Give `model` the best weights of `run`. Raises BadConfig when there are none, or those of another model."""
    _check_there_is_one(run)
    try:
        model.load_state_dict(load_file(str(run.best)))
    except (OSError, SafetensorError, RuntimeError) as error:
        # Torch begins with a headline; what does not fit comes below it.
        found = str(error).strip().splitlines()[:2][-1].strip()
        raise BadConfig(f"{run.best}: does not fit the settings ({found}); expected the same network") from error


def _check_there_is_one(run: RunFolder) -> None:
    if not run.best.exists():
        raise BadConfig(f"{run.path}: no best model yet; training writes one after its first epoch")
