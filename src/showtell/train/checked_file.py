"""Safetensors files with a checksum of everything in them; the old file stays until the new one has been read back.

The checksum is of names, types, shapes, values and metadata, not of bytes, so that it is known before the file is
written, by whatever writes it. Rejected: a checksum in a file of its own, which would be replaced by another rename.
"""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from showtell import files
from showtell.files import replacing

CHECKSUM: Final = "sha256"
"""Its key in the metadata."""


class Damaged(Exception):
    """The file is not what was written; the message is a phrase."""


def save_checked(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str], previous: Path | None = None
) -> None:
    """`previous`: the name that the replaced file gets. Raises OutputError when the disk is full or fails, and when
    what was read back is not what was written."""
    # safetensors refuses tensors that share memory and wants them contiguous.
    copies = {name: _copy(tensor) for name, tensor in tensors.items()}
    checksum = _checksum(copies.keys(), copies.__getitem__, metadata)

    def check(file: Path) -> None:
        if (problem := damage(file, *metadata)) is not None:
            raise OSError(errno.EIO, f"read back, it is damaged: {problem}")

    with replacing(path, check, previous) as temporary:
        files.disk.write(temporary, lambda file: save_file(copies, str(file), {**metadata, CHECKSUM: checksum}))


def load_checked(path: Path, *keys: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors, on the CPU, and the metadata, which has these keys. A file of an earlier version has no checksum.

    Raises Damaged.
    """
    try:
        with safe_open(str(path), "pt") as file:
            metadata = _metadata(file.metadata(), keys)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (safe_open is no dict)
    except (OSError, SafetensorError, ValueError) as error:
        raise Damaged(_phrase(error)) from error
    _compare(metadata, tensors.keys(), tensors.__getitem__)
    return tensors, metadata


def damage(path: Path, *keys: str) -> str | None:
    """Why `load_checked` would refuse the file; None if it would not. Holds one tensor in memory at a time."""
    try:
        with safe_open(str(path), "pt") as file:
            _compare(_metadata(file.metadata(), keys), file.keys(), file.get_tensor)
    except (OSError, SafetensorError, ValueError) as error:
        return _phrase(error)
    except Damaged as error:
        return str(error)
    return None


def _copy(tensor: Tensor) -> Tensor:
    return torch.empty_like(tensor, device="cpu", memory_format=torch.contiguous_format).copy_(tensor.detach())


def _metadata(found: Mapping[str, str] | None, keys: tuple[str, ...]) -> dict[str, str]:
    names = set(found or {})
    if names - {CHECKSUM} != set(keys):
        raise ValueError(f"metadata {sorted(names)}, expected {sorted({*keys, CHECKSUM})}")
    return dict(found or {})


def _compare(metadata: Mapping[str, str], names: Iterable[str], tensor: Callable[[str], Tensor]) -> None:
    expected = metadata.get(CHECKSUM)
    if expected is None:
        return
    rest = {key: value for key, value in metadata.items() if key != CHECKSUM}
    if _checksum(names, tensor, rest) != expected:
        raise Damaged("its checksum is not that of its content")


def _checksum(names: Iterable[str], tensor: Callable[[str], Tensor], metadata: Mapping[str, str]) -> str:
    digest = hashlib.sha256(repr(sorted(metadata.items())).encode())
    for name in sorted(names):
        values = tensor(name)
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}\n".encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _phrase(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
