"""`train.start_from`: the settings that a run takes over from a bundle, or from a finished run.

A bundle, imported or exported, decides `model`, `text` and the defaults of `decode`; what a recipe or the command line
has there must agree with it, except what changes training alone. A run does so for a recipe that leaves its model open
(`text.kind: imported` without a tokenizer, as `finetune` has it); any other recipe has to name the same network.

Reading a bundle's settings needs no torch, so that a recipe can be explained without.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from showtell.core.bundle import MANIFEST, Bundle, load_bundle
from showtell.core.no_bundle import what_it_is
from showtell.errors import BadConfig
from showtell.settings import ModelSettings, TextSettings

Raw = dict[str, Any]
OF_TRAINING = ("dropout", "embedding_dropout", "doubly_stochastic_weight", "reinforce_weight", "entropy_weight")
"""Settings of a decoder that matter in training alone."""


class Start(NamedTuple):
    """Sections of the recipe that a run continues, complete."""

    path: Path
    model: Raw
    text: Raw
    decode: Raw


def is_bundle(path: Path) -> bool:
    return (path / MANIFEST).is_file()


def read_bundle(path: Path) -> Bundle:
    """`load_bundle`, whose hashes of gigabytes are computed once for all runs of a sweep."""
    return _read_bundle(path.absolute(), (path / MANIFEST).stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _read_bundle(path: Path, modified: int) -> Bundle:
    return load_bundle(path)


def complete(raw: Mapping[str, Any]) -> Raw:
    """The recipe `raw` with what it takes over from `train.start_from`; as it is without one.

    Raises BadConfig for a setting that contradicts it, naming both values, and BadBundle for a damaged bundle.
    """
    start = _start(raw)
    if start is None:
        return dict(raw)
    given = {name: section if isinstance(section, dict) else {} for name, section in raw.items()}
    return {
        **raw,
        "model": _model(start, given.get("model", {})),
        "text": _text(start, given.get("text", {})),
        "decode": {**start.decode, **given.get("decode", {})},
    }


def leaves_model_open(raw: Mapping[str, Any]) -> bool:
    """Whether the recipe is for any model: it has none of its own, and waits for `train.start_from`."""
    text = raw.get("text")
    return isinstance(text, dict) and text.get("kind") == "imported" and not isinstance(text.get("imported"), dict)


def _start(raw: Mapping[str, Any]) -> Start | None:
    train = raw.get("train")
    name = train.get("start_from") if isinstance(train, dict) else None
    if not isinstance(name, str):
        return None
    path = Path(name)
    if is_bundle(path):
        return _of_bundle(path, read_bundle(path))
    if not leaves_model_open(raw):
        return None
    if not (path / "config.yaml").exists():
        raise BadConfig(f"train.start_from: {path}: {what_it_is(path)}")
    from showtell.train.run_folder import RunFolder  # which needs torch

    recipe = RunFolder(path).recipe()
    sections = {name: getattr(recipe, name).model_dump(mode="json") for name in ("model", "text", "decode")}
    return Start(path, **sections)


def _of_bundle(path: Path, bundle: Bundle) -> Start:
    manifest = bundle.manifest
    model = ModelSettings.model_validate(manifest.model).model_dump(mode="json")
    model["encoder"]["pixels"] = manifest.pixels.model_dump(mode="json")
    # The bundle's own weights are loaded: nobody else's are fetched before, and the feature cache goes by the weights.
    model["encoder"]["pretrained"] = False
    if model["encoder"]["companion"] is not None:
        model["encoder"]["companion"]["pretrained"] = False
    longest = manifest.max_length
    if longest is not None and model["decoder"].get("max_positions") is None:
        model["decoder"]["max_positions"] = longest + 1
    text: Raw = {"languages": list(manifest.languages)}
    if longest is not None:
        prompt = len(bundle.tokenizer.prompt_ids(manifest.languages[0]))
        default: int = TextSettings.model_fields["max_length"].default
        text["max_length"] = min(default, longest + 1 - prompt)
    if manifest.imported_text is not None:
        imported = manifest.imported_text.model_dump(mode="json")
        text |= {"kind": "imported", "imported": imported, "vocab_size": manifest.vocab_size}
    return Start(path, model, text, manifest.decode.model_dump(mode="json"))


def _model(start: Start, given: Raw) -> Raw:
    given = _long_form(given)
    kind, own_kind = given.get("decoder", {}).get("kind"), start.model["decoder"]["kind"]
    if kind not in (None, own_kind):
        raise _contradiction(start, "model.decoder.kind", own_kind, kind)
    merged = _merge(start.model, given)
    try:
        chosen = ModelSettings.model_validate(merged).model_dump(mode="json")
    except ValidationError:  # which is reported with the recipe's other problems
        return merged
    for part, own in start.model.items():
        for key, value in own.items():
            if chosen[part][key] != value and key not in OF_TRAINING:
                raise _contradiction(start, f"model.{part}.{key}", value, chosen[part][key])
    return chosen


def _text(start: Start, given: Raw) -> Raw:
    if leaves_model_open({"text": given}):  # whose tokenizer is ours, perhaps
        given = {**given, "kind": start.text.get("kind", "words")}
    merged = _merge(start.text, given)
    try:
        chosen = TextSettings.model_validate(merged).model_dump(mode="json")
    except ValidationError:
        return merged
    # Our own tokenizer is taken as it is, whatever would have built it. An imported one works the same in every
    # language, and may be given another default prompt.
    fixed = {"languages": start.text["languages"]}
    if (imported := start.text.get("imported")) is not None:
        prompt = {"prompt": chosen["imported"]["prompt"]} if chosen["imported"] else {}
        if prompt.get("prompt") and not imported["takes_prompt"]:
            raise BadConfig(f"text.imported.prompt: found a prompt; the model in {start.path} takes none: leave it out")
        fixed = {**{key: start.text[key] for key in ("kind", "vocab_size")}, "imported": {**imported, **prompt}}
    for key, value in fixed.items():
        if chosen[key] != value:
            raise _contradiction(start, f"text.{key}", value, chosen[key])
    return chosen


def _long_form(model: Raw) -> Raw:
    """`encoder: NAME` and `encoder_weights: FILE` as sections, as `ModelSettings` reads them."""
    encoder = model.get("encoder", {})
    encoder = {"name": encoder} if isinstance(encoder, str) else encoder
    short = {key.removeprefix("encoder_"): value for key, value in model.items() if key.startswith("encoder_")}
    rest = {key: value for key, value in model.items() if key != "encoder" and not key.startswith("encoder_")}
    sections = {**rest, "encoder": {**encoder, **short} if isinstance(encoder, dict) else encoder}
    return {key: value for key, value in sections.items() if value != {}}


def _merge(own: Raw, given: Raw) -> Raw:
    """`own` with what is given, section by section."""
    merged = dict(own)
    for key, value in given.items():
        both = isinstance(value, dict) and isinstance(own.get(key), dict)
        merged[key] = _merge(own[key], value) if both else value
    return merged


def _contradiction(start: Start, name: str, own: object, found: object) -> BadConfig:
    return BadConfig(
        f"train.start_from: {name} is {own!r} in {start.path}, {found!r} here; expected the same: leave it out"
    )
