"""`showtell fit-reranker`"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from showtell.errors import BadConfig
from showtell.terminal import echo

if TYPE_CHECKING:
    from showtell.core.captioner import Captioner
    from showtell.records import Sample
    from showtell.rerank.targets import Captions


def fit_reranker(
    bundle: Annotated[Path, typer.Argument(help="A folder that `showtell export` wrote; its reranker is replaced.")],
    data: Annotated[str, typer.Option(help="A data spec, such as flickr:DIR.")],
    split: Annotated[str, typer.Option(help="The split to learn from: what the model was trained on.")] = "train",
    lang: Annotated[str | None, typer.Option(help="One language; else all languages of the model.")] = None,
    landmarks: Annotated[int, typer.Option(min=1, help="Photos that others are compared with.")] = 1500,
    rank: Annotated[int, typer.Option(min=1, help="Numbers that say what is in a photo.")] = 288,
    min_photos: Annotated[int, typer.Option(min=1, help="An n-gram counts if it is in the captions of so many.")] = 10,
    ridge: Annotated[float, typer.Option(min=1e-9, help="Larger: what is expected differs less from the mean.")] = 0.1,
    weight: Annotated[
        float, typer.Option(min=0, help="The bundle's decode.rerank_weight; 0: expect, choose not.")
    ] = 3.0,
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
) -> None:
    """Fit a reranker: a bundle then chooses among the hypotheses of its beam by their expected CIDEr, too.

    It learns from photos what people write about such photos. Calibration curves are removed, since other captions are
    chosen afterwards: run `showtell calibrate` again. Exporting the model again removes the reranker.
    """
    from showtell.cli.evaluate import images_of
    from showtell.cli.scoring import check_outputs
    from showtell.core.bundle import MANIFEST, RERANKER
    from showtell.core.bundle_updates import write_reranker
    from showtell.core.captioner import Captioner
    from showtell.progress import ProgressReporter
    from showtell.rerank.features import pooled_features
    from showtell.rerank.fit import FitSettings
    from showtell.rerank.fit import fit_reranker as fit

    captioner = Captioner.load(bundle)
    check_outputs({"BUNDLE": bundle / MANIFEST})
    _check_model(bundle, captioner)
    languages = captioner.languages if lang is None else (captioner.generation_options(lang).language,)
    if lost := sorted(set(() if captioner.reranker is None else captioner.reranker.languages) - set(languages)):
        raise BadConfig(f"{bundle}: would lose its reranker for {', '.join(lost)}; give data with all languages")
    samples = {language: _samples(data, split, language) for language in languages}
    photos = {sample.name: sample for split_samples in samples.values() for sample in split_samples}
    with ProgressReporter().stage("features", len(photos)) as advance:
        features, usable = pooled_features(captioner, images_of(list(photos.values())), batch_size, advance)
    rows = [name for name, is_usable in zip(photos, usable, strict=True) if is_usable]
    if not rows:
        raise BadConfig(f"{data}: found no photo of {split} that can be used; give others")
    captions = {language: _captions(captioner, samples[language], rows, language) for language in languages}
    settings = FitSettings(landmarks, rank, min_photos, ridge)
    try:
        with ProgressReporter().stage("languages", len(languages)) as advance:
            arrays = fit(features, captions, captioner.bundle.tokenizer.unk_id, settings, advance)
    except ValueError as error:
        raise BadConfig(f"{data}: {error}; give more photos, or a smaller --min-photos") from error
    write_reranker(bundle, arrays, weight)
    size = (bundle / RERANKER).stat().st_size / 1e6
    echo(f"{bundle / RERANKER}: {size:.1f} MB, of {len(rows)} photos, for {', '.join(languages)}", err=True)
    echo(f"{bundle}: no longer calibrated; run `showtell calibrate {bundle} --data {data}`", err=True)
    if failed := len(photos) - len(rows):
        echo(f"showtell: {failed} photos could not be used and were left out", err=True)
        raise typer.Exit(1)


def _check_model(bundle: Path, captioner: Captioner) -> None:
    """Raises BadConfig for a model that cannot have a reranker."""
    from showtell.core.caption_ngrams import MAX_TOKENS
    from showtell.core.onnx_stepper import OnnxStepper

    if not (isinstance(captioner.stepper, OnnxStepper) and captioner.stepper.pooled_channels):
        raise BadConfig(f"{bundle}: was exported by a version without rerankers; export the model again")
    tokenizer = captioner.bundle.tokenizer
    if tokenizer.vocab_size > MAX_TOKENS:
        raise BadConfig(f"{bundle}: has {tokenizer.vocab_size} tokens; a reranker knows {MAX_TOKENS} at most")
    if captioner.bundle.manifest.imported_text is not None:
        raise BadConfig(f"{bundle}: is an imported model; a reranker needs a vocabulary of showtell's own")
    if tokenizer.needs_pretokenization:
        raise BadConfig(f"{bundle}: has pieces of words, and only training can split captions into them")


def _samples(data: str, split: str, language: str) -> list[Sample]:
    from showtell.cli.evaluate import check_photos
    from showtell.cli.reading import read_data
    from showtell.data.spec import select_split

    samples = select_split(read_data(data, (language,)), split)
    check_photos(data, samples)
    return samples


def _captions(
    captioner: Captioner, samples: Sequence[Sample], rows: Sequence[str], language: str
) -> Mapping[int, Captions]:
    """By the photo's row, its captions as token ids without prompt and end."""
    tokenizer = captioner.bundle.tokenizer
    begin, place = len(tokenizer.prompt_ids(language)), {name: row for row, name in enumerate(rows)}
    encoded = {
        place[sample.name]: [tokenizer.encode(caption, language)[begin:-1] for caption in sample.captions]
        for sample in samples
        if sample.name in place
    }
    return {row: [tokens for tokens in captions if tokens] for row, captions in encoded.items() if any(captions)}
