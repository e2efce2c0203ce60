"""`--diverse`, for the commands that write several captions of a photo."""

from __future__ import annotations

from typing import Annotated

import typer

from showtell.errors import BadConfig

WIDEST = 64
"""The greatest beam that DecodeSettings allow."""

Diverse = Annotated[bool, typer.Option("--diverse", help="With --num: different captions, not variants of one.")]


def check_diverse(diverse: bool, num: int) -> None:
    """Raises BadConfig when a single caption is to be different from the others."""
    if diverse and num < 2:
        raise BadConfig(f"found --diverse with --num {num}; expected --num 2 or more")


def groups_and_beam(num: int, beam: int) -> dict[str, int]:
    """Decode settings for `num` different captions: a group each, and at least `beam` wide where that is allowed."""
    return {"groups": num, "beam": min(-(-beam // num), max(1, WIDEST // num)) * num}
