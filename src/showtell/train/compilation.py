"""torch.compile for the decoder in training: with a frozen encoder it takes nearly all of a step's time."""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from torch import Tensor

from showtell.errors import BadConfig
from showtell.nets.decoder import Decoder, Tensors


def compile_decoder(decoder: Decoder) -> None:
    """Compile `decoder.compiled_method` for training; parameter names stay.

    For a Transformer that is the pass over whole captions, for a recurrent decoder one step: the compiler would unroll
    a loop over tokens, again for every length. Where torch's fused kernels process whole captions, only scheduled
    sampling takes single steps.

    Rejected: wrapping the module. torch would rename every weight, and a run could not resume without compiling.
    """
    name = decoder.compiled_method
    plain = getattr(decoder, name)
    torch.compiler.reset()  # torch recompiles a function only a few times, earlier networks of the process included
    compiled: Any = torch.compile(plain)  # sizes that vary become dynamic

    def in_training(tokens: Tensor, memory: Tensors, *state: Tensors) -> Any:
        if not decoder.training:  # validation would recompile it, for beams and without gradients
            return plain(tokens, memory, *state)
        try:
            # A slice's stride is the caption's length: each would be recompiled.
            return compiled(tokens.contiguous(), memory, *state)
        except torch._dynamo.exc.TorchDynamoException as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            # The first line is the name of the backend, the reason comes below it.
            reason = next((line for line in lines if not line.endswith("raised:")), type(error).__name__)
            raise BadConfig(f"torch.compile failed ({reason}); train.compile=false trains without it") from error

    setattr(decoder, name, in_training)
    # Slots together have as many lengths and numbers of rows as batches, each of which would be compiled.
    decoder.forward_slots = MethodType(Decoder.forward_slots, decoder)  # type: ignore[method-assign]
