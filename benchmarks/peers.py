"""Captioning against what a user would otherwise run: ours, theirs, ratio, medians of interleaved rounds.

    python benchmarks/peers.py QUESTION... --photos FOLDER [--rounds 5] [--threads N]

    decode    32 images, beam 5, from the encoder's output: Hugging Face's `generate` with the same weights
    loops     the same: the uncached Transformer and the attention LSTM of tutorials, one image at a time
    photo     one photo, JPEG to caption: `generate` behind the same encoder in torch
    encoder   many photos: the encoder alone, in the best runtime
    before    many photos, the built-in model: this tree against the one of models.RELEASE
    all       every question, in this order

Every variant of `showtell bench` (runtimes that are installed) is compared; the best one answers the question. Each
result is printed as a row of a Markdown table and appended to benchmarks/results/peers.jsonl. `baselines/` has the
other sides.

Nothing of showtell is imported at the top: the processes of the sides load this file, too, before they choose a tree.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import sides
from baselines.encoder_alone import RUNTIMES
from measure import Side, Timings, interleave, report
from models import RELEASE, ROOT, checkout, float32_bundle, patch_bundle, timm_bundle

BATCH = 32
BULK_PHOTOS = 96
LOOP_ROUNDS = 3
"""The loops take half a second for an image."""
LENGTH = 12
"""Words of a caption of random weights; the built-in model's have 11 on average."""
LSTM = {"kind": "attention", "width": 512, "embedding_dim": 512, "attention_dim": 512}
GRID, CHANNELS, VOCABULARY = 14, 2048, 5417
"""Of the usual Show, Attend and Tell: ResNet-101's features in 14 x 14 regions."""


class Comparison:
    """The sides of one question, which end with it."""

    def __init__(self, arguments: argparse.Namespace, folder: Path) -> None:
        self.arguments, self.folder = arguments, folder
        self.sides: dict[str, Side] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Comparison:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def photos(self, count: int) -> list[str]:
        return [str(path) for path in self.arguments.paths[:count]]

    def add(self, name: str, build: Callable[..., Any], *arguments: Any) -> None:
        self.sides[name] = self._stack.enter_context(closing(Side(build, *arguments, threads=self.arguments.threads)))

    def add_float32(self, photos: list[str], decoding: dict[str, Any]) -> list[str]:
        """A side for the built-in model in float32; returns its name."""
        name = "showtell, float32"
        bundle = float32_bundle(self.folder / "float32", checkout(RELEASE, self.folder))
        self.add(name, sides.ours, None, str(bundle), {}, photos, decoding)
        return [name]

    def add_ours(self, photos: list[str], decoding: dict[str, Any], model: Path | None = None) -> list[str]:
        """A side for each runtime that can be loaded, of the built-in model as shipped (int8) or of `model`; returns
        their names."""
        from showtell import Captioner
        from showtell.cli.bench_run import variants
        from showtell.errors import ShowtellError

        names = []
        for name, options in variants().items():
            try:
                Captioner.load(model, self.arguments.threads, **options)  # type: ignore[arg-type]
            except ShowtellError as error:
                print(f"without {name}: {error}")
                continue
            model_name = None if model is None else str(model)
            self.add(f"showtell, {name}", sides.ours, None, model_name, options, photos, decoding)
            names.append(f"showtell, {name}")
        return names

    def add_int8(self, photos: list[str], decoding: dict[str, Any]) -> list[str]:
        """A side for the built-in model as shipped; the decoder is ONNX Runtime's in every runtime of the processor."""
        self.add("showtell, int8", sides.ours, None, None, {}, photos, decoding)
        return ["showtell, int8"]

    def run(self, task: str, most_rounds: int = 100) -> Timings:
        return interleave(self.sides, min(most_rounds, self.arguments.rounds), task)


def show(timings: Timings, question: str, ours: list[str], theirs: str, items: int) -> None:
    """A result for each of our sides."""
    for name in ours:
        report(
            "peers",
            question,
            timings.ratio(theirs, name),
            (name, 1000 * timings.median(name) / items),
            (theirs, 1000 * timings.median(theirs) / items),
            "ms per image",
            same_captions=same(timings.results[name], timings.results[theirs]),
        )


def same(ours: Any, theirs: Any) -> str | None:
    """How many captions are equal; None where they are of different networks."""
    if ours is None or theirs is None:
        return None
    pairs = list(zip(*([r] if isinstance(r, str) else r for r in (ours, theirs)), strict=True))
    return f"{sum(a == b for a, b in pairs)} of {len(pairs)}"


def decode(comparison: Comparison) -> None:
    photos = comparison.photos(BATCH)
    ours = comparison.add_float32(photos, sides.LIMIT) + comparison.add_int8(photos, sides.LIMIT)
    comparison.add("generate", sides.generate, str(checkout(RELEASE, comparison.folder)), photos)
    show(comparison.run("decode"), "decoding, 32 images, beam 5", ours, "generate", BATCH)


def loops(comparison: Comparison) -> None:
    photos = comparison.photos(BATCH)
    ours = comparison.add_float32(photos, sides.LIMIT) + comparison.add_int8(photos, sides.LIMIT)
    loop = "uncached Transformer, one image at a time"
    comparison.add(loop, sides.uncached_transformer, str(checkout(RELEASE, comparison.folder)), photos)
    show(
        comparison.run("decode", LOOP_ROUNDS), "decoding against the usual Transformer loop, beam 5", ours, loop, BATCH
    )


def lstm_loop(comparison: Comparison) -> None:
    from showtell.settings import AttentionSettings

    photos, settings = comparison.photos(BATCH), AttentionSettings.model_validate(LSTM)
    lengths = {"beam_size": 5, "min_length": LENGTH, "max_length": LENGTH}
    ours = []
    for name in ("float32", "int8"):
        bundle = comparison.folder / f"attention-{name}"
        if not bundle.exists():
            patch_bundle(bundle, settings, GRID, CHANNELS, VOCABULARY, name == "int8", **lengths)
        ours.append(f"showtell, {name}")
        comparison.add(ours[-1], sides.ours, None, str(bundle), {}, photos, lengths)
    loop = "attention LSTM, one image at a time"
    comparison.add(loop, sides.attention_lstm, settings, GRID, CHANNELS, VOCABULARY, LENGTH, photos, 5)
    # Ours projects the features in the encoder's graph, so that is measured with it.
    show(
        comparison.run("from pixels", LOOP_ROUNDS),
        "decoding against the usual attention loop, beam 5",
        ours,
        loop,
        BATCH,
    )


def photo(comparison: Comparison) -> None:
    photos = comparison.photos(1)
    ours = comparison.add_float32(photos, sides.LIMIT) + comparison.add_ours(photos, sides.LIMIT)
    comparison.add("generate", sides.generate, str(checkout(RELEASE, comparison.folder)), photos)
    show(comparison.run("photo"), "one photo, JPEG to caption, beam 5", ours, "generate", 1)


def encoder(comparison: Comparison, name: str | None) -> None:
    """`name`: a timm encoder with random weights; None: the built-in model."""
    from showtell.core.bundle import builtin

    photos = comparison.photos(BULK_PHOTOS)
    bundle = None
    if name is not None:
        bundle = comparison.folder / name
        if not bundle.exists():
            timm_bundle(bundle, name, layers=3, length=LENGTH)
    ours = comparison.add_ours(photos, {}, bundle)
    graph = (bundle or builtin()) / "encoder.onnx"
    limits = [f"encoder alone, {runtime}" for runtime in RUNTIMES]
    for limit, runtime in zip(limits, RUNTIMES, strict=True):
        comparison.add(limit, sides.encoder_alone, str(graph), runtime, None if bundle is None else str(bundle), photos)
    timings = comparison.run("bulk")
    best = min(limits, key=timings.median)
    what = f"{name} and 3 layers, beam 5" if name else "built-in model, as shipped"
    for each in limits:
        print(f"{each}: {BULK_PHOTOS / timings.median(each):.1f} photos/s")
    show(timings, f"end to end as a part of the encoder alone, {what}", ours, best, BULK_PHOTOS)


def before(comparison: Comparison) -> None:
    photos, name = comparison.photos(BULK_PHOTOS), f"showtell {RELEASE}"
    ours = comparison.add_ours(photos, {})
    comparison.add(name, sides.ours, str(checkout(RELEASE, comparison.folder)), None, {}, photos, {})
    show(comparison.run("bulk"), "many photos, built-in model, against the release before", ours, name, BULK_PHOTOS)


QUESTIONS: dict[str, tuple[Callable[[Comparison], None], ...]] = {
    "decode": (decode,),
    "loops": (loops, lstm_loop),
    "photo": (photo,),
    "encoder": tuple(partial(encoder, name=name) for name in ("resnet50", "convnext_tiny", None)),
    "before": (before,),
}


def main() -> None:
    from showtell.core.machine import available_cores

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("questions", nargs="+", choices=[*QUESTIONS, "all"])
    parser.add_argument("--photos", type=Path, default=ROOT.parent / "shared" / "flickr8k" / "images")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=available_cores())
    arguments = parser.parse_args()
    arguments.paths = sorted(arguments.photos.glob("*.jpg"))
    if len(arguments.paths) < BULK_PHOTOS:
        parser.error(f"--photos {arguments.photos}: found {len(arguments.paths)} .jpg; expected {BULK_PHOTOS} or more")
    chosen = list(QUESTIONS) if "all" in arguments.questions else arguments.questions
    with tempfile.TemporaryDirectory() as name:
        for question in chosen:
            for ask in QUESTIONS[question]:
                with Comparison(arguments, Path(name)) as comparison:
                    ask(comparison)


if __name__ == "__main__":
    main()
