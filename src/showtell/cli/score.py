"""`showtell score`"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def score(
    candidates: Annotated[
        Path, typer.Argument(help="JSONL with image and caption, as `showtell caption --output` writes.")
    ],
    data: Annotated[
        str, typer.Argument(metavar="REFERENCES", help="A data spec with the human captions, such as flickr:DIR.")
    ],
    split: Annotated[str, typer.Option(help="Which split the candidates belong to.")] = "dev",
    lang: Annotated[str, typer.Option(help="Language of candidates and references.")] = "en",
) -> None:
    """Score captions against human ones: BLEU, ROUGE-L, CIDEr, as one JSON object."""
    from showtell.cli.captions_file import read_captions
    from showtell.data.spec import of_split, read_samples
    from showtell.metrics import score as compute

    samples = of_split(read_samples(data, (lang,)), split)
    captions = read_captions(candidates, [sample.name for sample in samples])
    typer.echo(json.dumps(compute(captions, {s.name: s.captions for s in samples}, lang), indent=2))
