"""`showtell export`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from showtell.terminal import echo


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A folder that `showtell train` wrote.")],
    bundle: Annotated[Path, typer.Argument(metavar="DIR", help="The bundle to write: new, empty, or an old bundle.")],
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...", help="Decode settings that differ from the run's: decode.beam_size=8."
        ),
    ] = None,
    card: Annotated[Path | None, typer.Option(help="A model card (Markdown) instead of the generated one.")] = None,
    precision: Annotated[
        Literal["half", "int8"],
        typer.Option(
            help="Of the weights. half: arithmetic stays float32. int8: linear layers compute in eight bits, faster "
            "and smaller; what that loses is measured, and training cannot go on from such a bundle."
        ),
    ] = "half",
) -> None:
    """Write the best model of a run as a bundle that captions without torch.

    Refuses when ONNX Runtime and torch disagree on sample images by more than float32 rounding explains.
    """
    from showtell.cli.extras import needs

    with needs("train"):
        from showtell.export.bundle import export_run
    exported = export_run(run, bundle, card, settings or [], precision)
    echo(f"{bundle}: {exported}", err=True)
