"""torch.compile for what a decoder computes in training: nearly all of a step's time, with a frozen encoder."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from showtell.errors import BadConfig
from showtell.nets.decoder import Decoder, Tensors
from showtell.nets.transformer import TransformerDecoder


def compile_decoder(decoder: Decoder) -> None:
    """Replace one method of `decoder` in training; the names of its weights stay.

    A Transformer's pass over whole captions, `teach`, is compiled. Of a recurrence it is one word, `advance`: a
    compiler unrolls a loop over words, anew for every length. Where torch's fused kernels read whole captions, that is
    only what scheduled sampling needs, for nothing is to be gained on them.

    The module itself is not wrapped: torch would rename every weight, and a run could not go on without compiling.
    """
    name = "teach" if isinstance(decoder, TransformerDecoder) else "advance"
    plain = getattr(decoder, name)
    torch.compiler.reset()  # torch compiles a function anew but a few times, earlier networks of the process included
    compiled: Any = torch.compile(plain)  # shapes that turn out to vary become dynamic

    def in_training(tokens: Tensor, memory: Tensors, *state: Tensors) -> Any:
        if not decoder.training:  # validation would compile it again, for beams and without gradients
            return plain(tokens, memory, *state)
        try:
            # A slice's stride is the caption's length: each would be a new case.
            return compiled(tokens.contiguous(), memory, *state)
        except torch._dynamo.exc.TorchDynamoException as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            # torch begins with the name of the backend; the reason is below it.
            found = next((line for line in lines if not line.endswith("raised:")), type(error).__name__)
            raise BadConfig(f"torch.compile failed ({found}); train.compile=false goes without it") from error

    setattr(decoder, name, in_training)
