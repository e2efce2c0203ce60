"""`showtell evaluate`"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    data: Annotated[str, typer.Option(help="A data spec, such as flickr:DIR.")],
    model: Annotated[Path | None, typer.Option(help="A bundle; else the built-in model.")] = None,
    split: Annotated[str, typer.Option(help="The split to caption.")] = "dev",
    lang: Annotated[str | None, typer.Option(help="Language; else the model's first.")] = None,
    beam: Annotated[int | None, typer.Option(help="Width of the beam search.")] = None,
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
    output: Annotated[Path | None, typer.Option(help="Write the captions to a .jsonl or .csv file, too.")] = None,
) -> None:
    """Caption a split with a bundle and score the captions; prints one JSON object."""
    import contextlib
    import dataclasses

    from showtell.cli.output import RowFile
    from showtell.core.captioner import Captioner
    from showtell.core.sources import Found
    from showtell.data.spec import of_split, read_samples
    from showtell.errors import BadConfig
    from showtell.metrics import score
    from showtell.records import FeatureRow

    with contextlib.ExitStack() as stack:
        file = stack.enter_context(RowFile(output, 1, 0.0)) if output else None
        captioner = Captioner.load(model)
        language = lang or captioner.languages[0]
        samples = of_split(read_samples(data, (language,)), split)
        if any(isinstance(sample.image, FeatureRow) for sample in samples):
            raise BadConfig(
                f"{data} has features, not photos, and a bundle looks at photos; give the data they came from"
            )
        images = (Found(str(s.image)) if isinstance(s.image, Path) else s.image for s in samples)
        settings = captioner.settings(beam=beam)
        captions: dict[str, str] = {}
        failed = 0
        rows = captioner.caption_many(images, batch_size=batch_size, language=language, decode=settings)
        for sample, row in zip(samples, rows, strict=True):
            failed += not row.ok
            captions[sample.name] = row.captions[0].text if row.ok else ""
            if file is not None:
                file.write(dataclasses.replace(row, source=sample.name))
    scores = score(captions, {s.name: s.captions for s in samples}, language)
    report = {"data": data, "split": split, "language": language, "images": len(samples), "failed": failed}
    typer.echo(json.dumps({**report, "decode": settings.model_dump(mode="json"), "scores": scores}, indent=2))
    if failed:
        raise typer.Exit(1)
