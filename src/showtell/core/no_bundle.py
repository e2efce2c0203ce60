"""What a path is that is no bundle, and what to do about it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

MANIFEST: Final = "bundle.json"
_EXPECTED: Final = "expected a folder that `showtell export` wrote"
_ARCHIVE: Final = re.compile(r"\.(zip|7z|rar|(tar(\.\w+)?)|tgz|tbz2|txz)$", re.IGNORECASE)
_WEIGHTS: Final = (".safetensors", ".pt", ".pth", ".ckpt", ".bin", ".h5", ".gguf", ".pkl", ".npz")
_HUB_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def what_it_is(path: Path) -> str:
    """The end of a sentence that begins with the path."""
    if not path.exists():
        return _what_is_missing(str(path))
    if path.is_dir():
        return _what_folder(path)
    if (path.parent / MANIFEST).exists():
        return f"no such model folder, but one of its files; give {path.parent}"
    if _ARCHIVE.search(path.name):
        return f"no such model folder, but an archive; unpack it and give the folder with {MANIFEST}"
    if path.suffix.lower() == ".onnx":
        return f"no such model folder, but a single network; {_EXPECTED}, with {MANIFEST} and both networks"
    if path.suffix.lower() in _WEIGHTS:
        return f"no such model folder, but a file of weights; {_EXPECTED}"
    return f"no such model folder, but a file; {_EXPECTED}"


def _what_is_missing(path: str) -> str:
    if path.startswith("~"):
        return "no such model folder, ~ is not expanded here; give os.path.expanduser(path)"
    if _HUB_NAME.fullmatch(path):
        return (
            "no such model folder, and captioning downloads nothing; a model of the Hugging Face hub is made one by "
            f"`showtell import {path} DIR`"
        )
    return f"no such model folder; {_EXPECTED}"


def _what_folder(path: Path) -> str:
    missing = f"no {MANIFEST} in it"
    if (path / "config.yaml").exists() and any((path / name).exists() for name in ("last", "best", "log.jsonl")):
        return f"{missing}, it is a run of `showtell train`; `showtell export {path} DIR` makes a model folder of it"
    try:
        inside = sorted(manifest.parent for manifest in path.glob(f"*/{MANIFEST}"))
    except OSError:
        inside = []
    if inside:
        return f"{missing}, but in {', '.join(map(str, inside[:3]))}; give {'that' if len(inside) == 1 else 'one'}"
    if (path / "config.json").exists():
        return (
            f"{missing}, but config.json, as transformers has it; `showtell import {path} DIR` makes a model folder of "
            "it"
        )
    return f"{missing}; {_EXPECTED}"
