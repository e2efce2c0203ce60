"""The option `--runtime` of commands that write captions."""

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


def say_runtime(captioner: Captioner) -> None:
    """On stderr, what `auto` chose."""
    from showtell.core.runtimes.registry import RUNTIMES
    from showtell.terminal import echo

    if captioner.runtime_choice:
        changes = "" if RUNTIMES[captioner.runtime].is_float32 else "; a few words may differ from those of float32"
        echo(f"showtell: {captioner.runtime_choice}{changes}", err=True)
