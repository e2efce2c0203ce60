"""`showtell data features`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def features(
    spec: Annotated[str, typer.Argument(metavar="SPEC", help="Photos with captions; see docs/data.md.")],
    output: Annotated[Path, typer.Option(help="The file to write; train from it with data=features:FILE.")],
    encoder: Annotated[str, typer.Option(help="A timm model name.")],
    layer: Annotated[str, typer.Option(help="regions, pooled (their mean), or fc7 (VGG).")] = "regions",
    pca: Annotated[int | None, typer.Option(help="Principal components, fitted on the training split.")] = None,
    weights: Annotated[Path | None, typer.Option(help="A .safetensors file with timm's parameter names.")] = None,
    setting: Annotated[
        list[str] | None, typer.Option(help="A setting of model.encoder, such as pixels.size=256; may be repeated.")
    ] = None,
    lang: Annotated[list[str], typer.Option(help="Language of the captions; may be repeated.")] = ["en"],  # noqa: B006
) -> None:
    """Compute the features of every photo with a frozen encoder.

    After an interruption, the same command resumes. The file also holds the captions and the encoder: training needs
    nothing else.
    """
    from showtell.cli.extras import needs
    from showtell.cli.reading import read_data
    from showtell.config import apply_overrides, parse_recipe

    raw = {"model": {"encoder": {"name": encoder, "layer": layer, "pca": pca, "weights": weights and str(weights)}}}
    changes = [f"model.encoder.{override}" for override in setting or []]
    settings = parse_recipe(apply_overrides(raw, changes), "the command line").model.encoder
    with needs("train"):
        from showtell.progress import ProgressReporter
        from showtell.train.feature_file import make_features
    samples = read_data(spec, lang)
    reporter = ProgressReporter()
    shape = make_features(output, spec, settings, samples, reporter)
    reporter.say(f"{output}: features of {shape[0]} photos, {shape[1]} x {shape[2]} each")
