"""The weights of `train.start_from`, a bundle's or a finished run's, in the model of a new run."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file

from showtell.core.bundle import WEIGHTS
from showtell.core.tokenizer import AnyTokenizer, Tokenizer
from showtell.errors import BadBundle, BadConfig
from showtell.nets.captioning_model import CaptioningModel
from showtell.settings import Recipe
from showtell.train.best_model import load_state, load_weights
from showtell.train.features import fingerprint
from showtell.train.growth import grown, grows
from showtell.train.run_folder import RunFolder
from showtell.train.start_from import is_bundle, read_bundle


def load_start(model: CaptioningModel, path: Path, recipe: Recipe, tokenizer: AnyTokenizer) -> None:
    """`recipe` and `tokenizer` are those of `model`.

    Raises BadConfig for a bundle without weights to train and for a run that does not match, BadBundle for a damaged
    bundle.
    """
    if is_bundle(path):
        _load_bundle(model, path)
    else:
        _load_run(model, RunFolder(path), recipe, tokenizer)


def check_has_weights(path: Path) -> None:
    """Raises BadConfig for a bundle without weights that can be trained."""
    if WEIGHTS not in read_bundle(path).manifest.files:
        raise BadConfig(
            f"train.start_from: {path} has no {WEIGHTS}, as int8 bundles and those of earlier versions have none; "
            "expected one that was imported or exported in half precision by this version"
        )


def _load_bundle(model: CaptioningModel, path: Path) -> None:
    """Half precision becomes single."""
    check_has_weights(path)
    try:
        stored = load_file(str(path / WEIGHTS))
        # The file also has constants of the graphs, named by them.
        weights = {name: tensor for name, tensor in stored.items() if ".onnx/" not in name}
        load_state(model, {name: t.float() if t.is_floating_point() else t for name, t in weights.items()})
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[:2][-1].strip()
        raise BadBundle(f"{path / WEIGHTS}: not the weights of {path} ({reason}); import or export it again") from error


def _load_run(model: CaptioningModel, other: RunFolder, recipe: Recipe, tokenizer: AnyTokenizer) -> None:
    is_checked = not model.encoder.has_precomputed_features and model.encoder.freeze_bn
    before = _frozen(model) if is_checked else None
    if grows(other.recipe(), recipe):
        before_growth = other.load_tokenizer()
        assert isinstance(before_growth, Tokenizer) and isinstance(tokenizer, Tokenizer), "checked with the settings"
        load_weights(model, other, lambda weights: grown(model, weights, before_growth, tokenizer))
    else:
        load_weights(model, other)
    if before is not None and _frozen(model) != before:
        raise BadConfig(
            f"train.start_from: the frozen stages of {other.path} have other weights than those of this run's encoder; "
            "expected the same file as model.encoder.weights"
        )


def _frozen(model: CaptioningModel) -> list[str]:
    """Of the weights that features depend on."""
    companion = model.encoder.companion
    return [fingerprint(module) for module in (model.encoder.frozen, companion) if module is not None]
