"""`showtell import`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def import_model(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="An id on the Hugging Face hub, or a folder in the same form.")
    ],
    bundle: Annotated[Path, typer.Argument(metavar="DIR", help="The bundle to write: new, empty, or an old bundle.")],
    revision: Annotated[
        str | None, typer.Option(help="A branch, tag, commit or refs/pr/N of the hub; default: the latest commit.")
    ] = None,
    precision: Annotated[
        Literal["half", "int8"],
        typer.Option(
            help="Of the weights. half: arithmetic stays float32. int8: linear layers compute in eight bits, faster "
            "and smaller; what that loses is measured, and training cannot go on from such a bundle."
        ),
    ] = "half",
    lang: Annotated[str, typer.Option(help="The language that the model writes, a BCP 47 tag.")] = "en",
    prompt: Annotated[
        str | None, typer.Option(help="How every caption begins by default; for models that take a prompt.")
    ] = None,
) -> None:
    """Turn a public captioning model into a bundle that captions without torch.

    Families: blip, git, and vision-encoder-decoder. Nothing but JSON, text and *.safetensors is read. Refuses when
    captions differ from those of transformers.
    """
    from showtell.cli.extras import needs

    with needs("hub"):
        from showtell.hub.import_model import import_model as run
        from showtell.progress import ProgressReporter
    reporter = ProgressReporter()
    run(model, bundle, revision, precision, lang, prompt, reporter)
    reporter.say(f"next: showtell caption PHOTO --model {bundle}")
