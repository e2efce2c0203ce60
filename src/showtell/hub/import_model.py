"""From a model of Hugging Face to a bundle.

    source -> settings, tokenizer, pixels -> our network -> graphs, compared with our network in torch
           -> compared with transformers -> int8, if asked for -> bundle

What is cheap and may be refused comes first. Besides the weights of ONNX Runtime there is one torch model in memory at
a time: ours until the graphs are written and compared, then transformers'. Everything is made in a folder beside the
bundle, which is removed whatever happens.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from logging import ERROR
from pathlib import Path
from typing import Any, Literal

from showtell import __version__
from showtell.core.arguments import text
from showtell.core.bundle import CARD, WEIGHTS, check_destination, write_bundle
from showtell.core.onnx_stepper import OnnxStepper
from showtell.errors import OUTPUT_ERRNOS, BadBundle, BadConfig, OutputError
from showtell.export.graphs import export_graphs, round_to_half
from showtell.export.parity import compare
from showtell.export.precision_loss import PrecisionLoss, measure_loss
from showtell.export.quantize import quantize
from showtell.export.samples import sample_pixels
from showtell.hub.card import CardFacts, model_card
from showtell.hub.checkpoint import Checkpoint
from showtell.hub.families import Mapped, family_of
from showtell.hub.original import Original, fit_positions, fit_vocabulary, read_original, readable
from showtell.hub.parity import ImportParity, check
from showtell.hub.reference import load_reference
from showtell.hub.source import fetch
from showtell.languages import canonical_tag
from showtell.nets.captioning_model import CaptioningModel
from showtell.progress import ProgressReporter
from showtell.settings import ModelSettings, PixelOverrides

Precision = Literal["half", "int8"]


@dataclass(frozen=True)
class Network:
    """What is left of our torch model when its graphs are written."""

    model: ModelSettings
    max_positions: int
    grid: tuple[int, int]
    prefix_regions: int
    parameters: int
    graphs: OnnxStepper


@dataclass(frozen=True)
class Imported:
    """What the card and the manifest say."""

    original: Original
    network: Network
    parity: ImportParity
    int8: PrecisionLoss | None

    def manifest(self) -> dict[str, Any]:
        original, network = self.original, self.network
        return {
            "showtell": __version__,
            "languages": original.tokenizer.languages,
            "vocab_size": network.graphs.vocab_size,
            "max_length": network.max_positions,
            "grid": network.grid,
            "prefix_regions": network.prefix_regions,
            "pixels": original.pixels,
            "decode": original.decode,
            "model": network.model.model_dump(mode="json"),
            "imported_text": original.tokenizer.text,
            "source": self.source(),
        }

    def source(self) -> dict[str, Any]:
        """Where the model comes from, and how it was checked."""
        source = self.original.source
        found = {
            "id": source.id,
            "revision": source.revision,
            "licence": source.licence,
            "family": self.original.family.name,
            "precision": "half" if self.int8 is None else "int8",
            "parity": asdict(self.parity),
            "not_followed": list(self.original.notes),
        }
        return found if self.int8 is None else {**found, "int8": self.int8.as_dict()}

    def facts(self) -> CardFacts:
        original, network, parity = self.original, self.network, str(self.parity)
        return CardFacts(
            original.source,
            original.family.name,
            original.family.model_class,
            network.model,
            network.parameters,
            original.pixels,
            original.tokenizer.text,
            original.decode,
            original.notes,
            f"{parity[0].upper()}{parity[1:]}, with the same half-precision weights.\n\n{self.parity.table()}",
            None if self.int8 is None else f"{self.int8}.",
        )


def import_model(
    model: str,
    bundle: Path,
    revision: str | None,
    precision: Precision,
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
    language, prompt = _language(language), None if prompt is None else text("--prompt", prompt)
    with quiet_libraries(), folder_beside(bundle) as parts:
        source = fetch(model, revision, reporter, family_of)
        checkpoint = Checkpoint(source.folder)
        with readable(source.folder):
            original = read_original(source, checkpoint.config, language, prompt)
        reporter.say(f"{source.id}: {original.family.name}, licence: {source.licence or 'not stated'}")
        with readable(source.folder):
            mapped = original.family.map_model(checkpoint, original.pixels.size)
        original = fit_positions(fit_vocabulary(original, mapped.vocab_size), mapped.max_positions)
        for note in original.notes:
            reporter.say(f"not followed: {note}")
        network = write_graphs(original, mapped, parts, reporter)
        reporter.say("comparing with transformers")
        reference = load_reference(checkpoint, original.family, mapped, parts / WEIGHTS)
        pixels = sample_pixels(original.pixels)
        tokenizer, decode = original.tokenizer, original.decode
        parity = check(reference, network.graphs, tokenizer, decode, pixels, mapped.max_positions)
        del reference
        reporter.say(str(parity))
        loss = None
        if precision == "int8":
            quantize(parts)
            loss = measure_loss(network.graphs, stepper(parts), pixels, tokenizer, decode)
            reporter.say(str(loss))
        imported = Imported(original, network, parity, loss)
        (parts / CARD).write_text(model_card(imported.facts()), encoding="utf-8")
        write_bundle(bundle, imported.manifest(), parts)


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
    graphs = stepper(parts)
    # Not only with transformers: its attention weights are not compared.
    compare(network, graphs, sample_pixels(pixels), original.tokenizer, original.decode)
    return Network(
        settings,
        mapped.max_positions,
        network.encoder.grid,
        network.encoder.prefix_regions,
        sum(parameter.numel() for parameter in network.parameters()),
        graphs,
    )


def stepper(parts: Path) -> OnnxStepper:
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

    bars: Any = logging  # its functions of progress bars have no annotations
    had_bars = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    before = logging.get_verbosity(), hub_logging.get_verbosity()
    logging.set_verbosity(ERROR)
    hub_logging.set_verbosity(ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(before[0])
        hub_logging.set_verbosity(before[1])
        if had_bars:
            bars.enable_progress_bar()
