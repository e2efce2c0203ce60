"""What all families share: the result of a mapping, and the words of config.json.

Configurations are read with transformers' own classes, because config.json leaves out what equals their defaults. An
option that changes the arithmetic and that our networks do not have is refused by its name (`refuse_options`): the
check against transformers would only say that the numbers differ.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedConfig

from showtell.errors import BadConfig
from showtell.hub.checkpoint import Checkpoint, Plan, check_shapes, merged, same
from showtell.nets.captioning_model import CaptioningModel
from showtell.settings import EncoderSettings, ModelSettings
from showtell.settings.decoder import PrefixTransformerSettings, TransformerSettings

ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_accurate": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_python_tanh": "gelu_tanh",
    "quick_gelu": "quick_gelu",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}
"""transformers' names of activations -> ours, which are timm's, too."""


class Adjust(NamedTuple):
    """For a tensor of ours that is made of several, or computed: how transformers' model gets the same numbers."""

    name: str
    """Ours."""
    apply: Callable[[Any, Tensor], None]
    """(transformers' model, the tensor)"""


class EncoderMapping(NamedTuple):
    settings: EncoderSettings
    plan: Plan
    """By timm's names."""
    channels: int
    adjust: Adjust | None = None
    output_norm: tuple[str, float] | None = None
    """Name and epsilon of a norm on the output that is no part of our encoder."""


class DecoderMapping(NamedTuple):
    settings: TransformerSettings | PrefixTransformerSettings
    plan: Plan
    """By the decoder's names."""
    vocab_size: int
    positions: int
    """Rows of the position embedding."""
    adjust: Adjust | None = None


@dataclass(frozen=True)
class Mapped:
    """A model of the hub as one of ours."""

    model: ModelSettings
    """Without the processor's pixels: `model.encoder.pixels` is the importer's."""
    vocab_size: int
    max_positions: int
    """As `CaptioningModel` takes it: without the start token."""
    image_size: int
    """Height and width of the encoder's input."""
    state: dict[str, Tensor]
    """`CaptioningModel.state_dict()`, with no trainable stages."""
    plan: Plan
    """The checkpoint's tensors in each tensor of `state`."""
    adjusts: dict[str, Callable[[Any, Tensor], None]]
    """By our names: (transformers' model, the tensor) -> that model with the same numbers, where our tensor is made of
    several of its own, or computed."""


@dataclass(frozen=True)
class Family:
    """A `model_type` of config.json."""

    name: str
    model_class: str
    """transformers' class of the whole model."""
    takes_prompt: bool
    """Whether it was made to continue a given beginning."""
    map_model: Callable[[Checkpoint, int | None], Mapped]
    """(checkpoint, height and width of the processor's images or None for config.json's) -> the model.

    Raises BadConfig for an option that is not supported, BadWeights for tensors that do not fit config.json."""


def finish(checkpoint: Checkpoint, encoder: EncoderMapping, decoder: DecoderMapping) -> Mapped:
    """Reads the checkpoint. Raises BadWeights when it is not what config.json says."""
    model = ModelSettings(encoder=encoder.settings, decoder=decoder.settings)
    max_positions = decoder.positions - 1
    with torch.device("meta"):
        ours = CaptioningModel(model, decoder.vocab_size, max_positions, load=False)
    names = {timm: name for name, timm in ours.encoder.timm_names.items()}
    plan = merged(
        {f"encoder.{names[name]}": source for name, source in encoder.plan.items()},
        {f"decoder.{name}": source for name, source in decoder.plan.items()},
    )
    state = checkpoint.read(plan)
    check_shapes(checkpoint.folder, state, ours.state_dict())
    return Mapped(
        model,
        decoder.vocab_size,
        max_positions,
        int(encoder.settings.timm_kwargs["img_size"]),  # type: ignore[arg-type]
        state,
        plan,
        {**_adjusts("encoder.", encoder.adjust, names), **_adjusts("decoder.", decoder.adjust, {})},
    )


def _adjusts(prefix: str, adjust: Adjust | None, names: dict[str, str]) -> dict[str, Callable[[Any, Tensor], None]]:
    return {} if adjust is None else {prefix + names.get(adjust.name, adjust.name): adjust.apply}


def renamed(ours: str, theirs: str, bias: bool = True) -> Plan:
    """Weight and bias of a linear layer, a convolution or a norm."""
    plan = {f"{ours}.weight": same(f"{theirs}.weight")}
    return {**plan, f"{ours}.bias": same(f"{theirs}.bias")} if bias else plan


def word_tables(checkpoint: Checkpoint, embedding: str, output: str, tied: bool) -> Plan:
    """The plan of the token embedding, and of an output matrix where that is another one.

    As transformers does: of tied ones a file may have either, or both, and one that has both with different values is
    right, whatever config.json says.
    """
    apart = {"token_embedding.weight": same(embedding), "output.weight": same(output)}
    if not tied:
        return apart
    if output not in checkpoint:
        return {"token_embedding.weight": same(embedding)}
    if embedding not in checkpoint:  # the hub's converter keeps the first in the alphabet, which is GPT-2's `lm_head`
        return {"token_embedding.weight": same(output)}
    if not torch.equal(checkpoint.take(output), checkpoint.take(embedding)):
        return apart
    checkpoint.ignore_copy(output)
    return {"token_embedding.weight": same(embedding)}


def refuse_options(config: PreTrainedConfig, where: str, **allowed: object) -> None:
    """Raises BadConfig for the first option whose value is not the allowed one."""
    for name, value in allowed.items():
        if (found := getattr(config, name, value)) != value:
            raise BadConfig(f"config.json: {where}.{name} is {found!r}, which cannot be imported; expected {value!r}")


def activation(config: PreTrainedConfig, where: str, name: str = "hidden_act") -> Any:
    """Our name of the activation in `config`."""
    found = getattr(config, name)
    if found not in ACTIVATIONS:
        raise BadConfig(
            f"config.json: {where}.{name} is {found!r}, which cannot be imported; expected one of "
            f"{', '.join(ACTIVATIONS)}"
        )
    return ACTIVATIONS[found]


def square(config: PreTrainedConfig, where: str, name: str) -> int:
    """Height and width in `config`, which may be one number or two equal ones."""
    found = getattr(config, name)
    sides = {found} if isinstance(found, int) else set(found)
    if len(sides) != 1:
        raise BadConfig(f"config.json: {where}.{name} is {found!r}; expected a square")
    side: int = sides.pop()
    return side


def check_heads(where: str, width: int, heads: int) -> None:
    if width % heads:
        raise BadConfig(f"config.json: {where} has width {width} and {heads} attention heads; expected a multiple")


def parse_config(config_class: type[PreTrainedConfig], config: dict[str, Any], where: str = "config.json") -> Any:
    """Raises BadConfig for values that transformers' class refuses."""
    try:
        return config_class.from_dict(config)
    except Exception as error:  # its checks raise errors of several packages
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BadConfig(f"{where}: no valid configuration of {config_class.model_type} ({reason})") from error
