"""The option `--runtime` of all commands that run a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from showtell.core.captioner import Captioner

RuntimeOption = Annotated[
    str,
    typer.Option(
        "--runtime",
        metavar="NAME",
        help="What runs the network: onnxruntime, openvino, openvino-bf16 (faster where the processor has it; a few "
        "words may differ), cuda, or auto, which tries them once and remembers the fastest.",
    ),
]


def say_runtime(captioner: Captioner, asked: str) -> None:
    """On stderr, what `auto` chose."""
    from showtell.core.runtimes.registry import AUTO
    from showtell.terminal import echo

    if asked == AUTO:
        echo(f"showtell: runtime {', '.join(dict.fromkeys(captioner.runtimes))}", err=True)
