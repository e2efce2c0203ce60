"""From a model of Hugging Face to a bundle.

    source -> settings, tokenizer, pixels -> our network -> graphs, compared with our network in torch
           -> compared with transformers -> int8, if asked for -> bundle

What is cheap and may be refused comes first. Besides the weights of ONNX Runtime there is one torch model in memory at a
time: ours until the graphs are written and compared, then transformers'. Everything is made in a folder beside the
bundle, which is removed whatever happens.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from showtell import __version__
from showtell.core.bundle import check_destination, write_bundle
from showtell.core.imported_tokenizer import ImportedTokenizer
from showtell.core.onnx_stepper import OnnxStepper
from showtell.errors import OUTPUT_ERRNOS, BadBundle, BadConfig, BadWeights, OutputError
from showtell.export.graphs import export_graphs, round_to_half
from showtell.export.parity import Parity, compare
from showtell.export.samples import sample_pixels
from showtell.hub.card import CardFacts, model_card
from showtell.hub.checkpoint import Checkpoint
from showtell.hub.families import Family, Mapped, family_of
from showtell.hub.generation import decode_settings, read_generation
from showtell.hub.processor import pixel_settings
from showtell.hub.source import Source, fetch
from showtell.hub.text import imported_text, load_backend, prompt_length
from showtell.languages import canonical_tag
from showtell.nets.captioning_model import CaptioningModel
from showtell.progress import ProgressReporter
from showtell.settings import DecodeSettings, ModelSettings, PixelOverrides, PixelSettings


@dataclass(frozen=True)
class Original:
    """What a model's folder says, besides its weights."""

    source: Source
    family: Family
    pixels: PixelSettings
    tokenizer: ImportedTokenizer
    decode: DecodeSettings
    notes: tuple[str, ...]
    """Settings of the original that are not followed."""


@dataclass(frozen=True)
class Network:
    """What is left of our torch model when its graphs are written."""

    model: ModelSettings
    vocab_size: int
    max_positions: int
    grid: tuple[int, int]
    prefix_regions: int
    parameters: int
    parity: Parity
    """Of the graphs with it."""


def import_model(
    model: str,
    bundle: Path,
    revision: str | None,
    precision: str,
    language: str,
    prompt: str | None,
    reporter: ProgressReporter,
) -> None:
    """Write the bundle. `model`: an id of the hub, or a folder; `precision`: half or int8.

    Raises ExportMismatch, and writes nothing, when captions or log-probabilities are not those of transformers; and
    BadConfig for what cannot be imported, BadWeights for weights that cannot be had or do not fit, BadBundle and
    OutputError for a place that cannot be written to.
    """
    check_destination(bundle)
    language = _language(language)
    with quiet_libraries(), folder_beside(bundle) as parts:
        source = fetch(model, revision, reporter)
        checkpoint = Checkpoint(source.folder)
        original = read_original(source, checkpoint.config, language, prompt)
        reporter.say(f"{source.id}: {original.family.name}, licence: {source.licence or 'not stated'}")
        mapped = original.family.map_model(checkpoint, original.pixels.size)
        original = fit_positions(original, mapped.max_positions)
        for note in original.notes:
            reporter.say(f"not followed: {note}")
        network = write_graphs(original, mapped, parts, reporter)
        ...
        write_bundle(bundle, manifest(original, network, precision), parts)


def read_original(source: Source, config: dict[str, Any], language: str, prompt: str | None) -> Original:
    """Raises BadConfig for what cannot be imported."""
    family = family_of(config)
    generation = read_generation(source.folder, config)
    backend = load_backend(source.folder)
    text = imported_text(family, config, generation, backend, prompt)
    decode, notes = decode_settings(generation, prompt_length(text, backend))
    tokenizer = ImportedTokenizer(backend, [language], text)
    return Original(source, family, pixel_settings(source.folder), tokenizer, decode, tuple(notes))


def fit_positions(original: Original, max_positions: int) -> Original:
    """Captions no longer than the position embeddings allow, as `generate` does. `max_positions`: after one start token.

    Raises BadConfig when the prompt leaves no room."""
    prompt = len(original.tokenizer.prompt_ids(original.tokenizer.languages[0]))
    room = max_positions + 1 - prompt
    decode = original.decode
    if decode.max_length <= room:
        return original
    if room < 1:
        raise BadConfig(f"found --prompt of {prompt} tokens; this model has positions for {max_positions + 1}; shorten it")
    note = f"max_length: of {decode.max_length} generated tokens, the model has positions for {room}"
    shorter = {"max_length": room, "min_length": min(decode.min_length, room)}
    return replace(original, decode=decode.model_copy(update=shorter), notes=(*original.notes, note))


def write_graphs(original: Original, mapped: Mapped, parts: Path, reporter: ProgressReporter) -> Network:
    """Our network, its two graphs and the tokenizer in `parts`. Empties `mapped.state`. Raises ExportMismatch when ONNX
    Runtime does not compute what torch does."""
    pixels = original.pixels
    overrides = PixelOverrides(**pixels.model_dump())
    encoder = mapped.model.encoder.model_copy(update={"pixels": overrides})
    settings = mapped.model.model_copy(update={"encoder": encoder})
    reporter.say("writing the networks")
    network = CaptioningModel(settings, mapped.vocab_size, mapped.max_positions, load=False).eval()
    network.load_state_dict(mapped.state, assign=True)  # no second copy
    mapped.state.clear()
    round_to_half(network)
    export_graphs(network, pixels.size, parts)
    original.tokenizer.save(parts / "tokenizer.json")
    reporter.say("comparing ONNX Runtime with torch")
    parity = compare(network, _stepper(parts), sample_pixels(pixels), original.tokenizer, original.decode)
    return Network(
        settings,
        mapped.vocab_size,
        mapped.max_positions,
        network.encoder.grid,
        network.encoder.prefix_regions,
        sum(parameter.numel() for parameter in network.parameters()),
        parity,
    )


def load_reference(folder: Path, family: Family) -> Any:
    """The original in transformers: float32, without kernels of its own, never from a pickle, never with its code.

    Raises BadWeights when transformers cannot load it."""
    import torch
    import transformers

    model_class: Any = getattr(transformers, family.model_class)
    try:
        return model_class.from_pretrained(
            folder,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            dtype=torch.float32,
            attn_implementation="eager",
        ).eval()
    except Exception as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise BadWeights(f"{folder}: transformers cannot load it ({reason}); expected a model that it can") from error


def manifest(original: Original, network: Network, source: dict[str, Any]) -> dict[str, Any]:
    """Of the bundle; `source`: what is known of the import."""
    return {
        "showtell": __version__,
        "languages": original.tokenizer.languages,
        "vocab_size": network.vocab_size,
        "max_length": network.max_positions,
        "grid": network.grid,
        "prefix_regions": network.prefix_regions,
        "pixels": original.pixels,
        "decode": original.decode,
        "model": network.model.model_dump(mode="json"),
        "imported_text": original.tokenizer.text,
        "source": source,
    }


def _stepper(parts: Path) -> OnnxStepper:
    return OnnxStepper(parts / "encoder.onnx", parts / "decoder.onnx")


def _language(tag: str) -> str:
    try:
        return canonical_tag(tag)
    except ValueError as error:
        raise BadConfig(f"--lang: {error}") from error


@contextmanager
def folder_beside(bundle: Path) -> Iterator[Path]:
    """A temporary folder on the bundle's disk: the system's own is often small, or in memory. Raises BadBundle when
    there can be none."""
    parent = next(folder for folder in bundle.resolve().parents if folder.is_dir())
    try:
        temporary = tempfile.TemporaryDirectory(prefix=f".{bundle.name}.", suffix=".import", dir=parent)
    except OSError as error:
        if error.errno in OUTPUT_ERRNOS:
            raise OutputError.of(bundle, error) from error
        raise BadBundle(f"{bundle}: cannot be written ({error.strerror or error}); give another folder") from error
    with temporary as name:
        yield Path(name)


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Without the advice of transformers and huggingface_hub, which a user of showtell cannot follow."""
    from huggingface_hub.utils import logging as hub_logging
    from transformers.utils import logging

    levels, bars = (logging.get_verbosity(), hub_logging.get_verbosity()), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    hub_logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(levels[0])
        hub_logging.set_verbosity(levels[1])
        if bars:
            logging.enable_progress_bar()
