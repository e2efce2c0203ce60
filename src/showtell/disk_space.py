"""Free space of a disk, and sizes in words."""

from __future__ import annotations

import shutil
from pathlib import Path


def free_bytes(folder: Path) -> int:
    """On the disk where the folder is, or will be. Raises OSError where the system does not tell."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(existing).free


def size_in_words(size: float) -> str:
    """`0.3 MB`, `38.9 MB`, `2.3 GB`"""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
