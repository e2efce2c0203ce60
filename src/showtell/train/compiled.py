"""torch.compile for a decoder's teacher-forced pass, where nearly all of a step's time with a frozen encoder goes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from showtell.errors import BadConfig
from showtell.nets.decoder import Decoder, Taught, Tensors


def compile_decoder(decoder: Decoder) -> None:
    """Replace `decoder.teach`; the names of its weights stay. Lengths vary from batch to batch, so shapes are dynamic.

    The module itself is not wrapped: torch would rename every weight, and a run could not go on without compiling.
    """
    plain = decoder.teach
    compiled: Any = torch.compile(plain, dynamic=True)

    def teach(tokens: Tensor, memory: Tensors) -> Taught:
        try:
            taught: Taught = compiled(tokens, memory)
        except torch._dynamo.exc.TorchDynamoException as error:
            first = next(iter(str(error).splitlines()), type(error).__name__)
            raise BadConfig(f"torch.compile failed ({first}); train.compile=false goes without it") from error
        return taught

    decoder.teach = teach  # type: ignore[method-assign]
