"""`--diverse`, for the commands that write several captions of a photo."""

from __future__ import annotations

from typing import Annotated

import typer

from showtell.errors import BadConfig

MAX_BEAM_SIZE = 64
"""The largest beam that DecodeSettings allow."""

Diverse = Annotated[bool, typer.Option("--diverse", help="With --num: diverse beam search, a group per caption.")]


def check_diverse(diverse: bool, num: int) -> None:
    """Raises BadConfig for --diverse with a single caption."""
    if diverse and num < 2:
        raise BadConfig(f"found --diverse with --num {num}; expected --num 2 or more")


def groups_and_beam(num: int, beam: int) -> dict[str, int]:
    """Decode settings for `num` different captions: one beam group per caption, at least `beam` wide if allowed."""
    return {"num_beam_groups": num, "beam_size": min(-(-beam // num), max(1, MAX_BEAM_SIZE // num)) * num}
