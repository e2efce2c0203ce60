"""Where showtell keeps what it can compute again: features of photos, what is in remote shards, and the fastest runtime
of this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

VARIABLE: Final = "SHOWTELL_CACHE"


def cache_folder() -> Path:
    """`SHOWTELL_CACHE`, or showtell's folder in the user's cache; it need not exist."""
    if chosen := os.environ.get(VARIABLE):
        return Path(chosen)
    from platformdirs import user_cache_path  # captioning without `--runtime auto` needs no cache

    return user_cache_path("showtell")
