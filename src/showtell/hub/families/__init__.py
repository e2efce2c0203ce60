"""The families of captioners on the hub that can be imported, by the `model_type` of their config.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from showtell.errors import BadConfig
from showtell.hub.families import blip, git, vision_encoder_decoder
from showtell.hub.families.mapping import Family, Mapped

__all__ = ["FAMILIES", "Family", "Mapped", "family_of"]

FAMILIES: dict[str, Family] = {module.FAMILY.name: module.FAMILY for module in (blip, vision_encoder_decoder, git)}


def family_of(config: Mapping[str, Any]) -> Family:
    """Raises BadConfig for any other model, with the list. `auto_map`, which names code in the repository, is not read.

    BLIP's model of questions has the same `model_type` and other tensors, so the architecture is checked, too.
    """
    kind = str(config.get("model_type"))
    if kind not in FAMILIES:
        raise BadConfig(
            f"config.json: model_type is {kind!r}, which cannot be imported; expected one of {', '.join(FAMILIES)}"
        )
    family = FAMILIES[kind]
    architectures = config.get("architectures") or [family.model_class]
    if family.model_class not in architectures:
        raise BadConfig(
            f"config.json: architectures are {', '.join(map(str, architectures))}; expected {family.model_class}, the "
            f"one of {kind} that writes captions"
        )
    return family
