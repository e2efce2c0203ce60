"""A safetensors file with one tensor larger than memory: written block by block, read as a memory map.

Rejected: safetensors' own numpy functions, which take and return whole arrays. The format is simple: the header's
length in 8 bytes, the header as JSON, the tensors' bytes in order.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGE = "features"
"""Name of the large tensor, which has half precision."""
TYPES = {np.dtype(np.float32): "F32", np.dtype(np.float16): "F16", np.dtype(np.uint8): "U8"}


def write_large(
    path: Path,
    shape: tuple[int, ...],
    blocks: Iterable[NDArray[np.float16]],
    small_tensors: Mapping[str, NDArray[Any]],
    metadata: Mapping[str, str],
) -> None:
    """`blocks` are the large tensor's rows in their order. Raises ValueError when they do not fill `shape`."""
    # Wider types first, so that every tensor is aligned.
    entries = [(name, array.dtype, array.shape) for name, array in small_tensors.items()]
    entries.append((LARGE, np.dtype(np.float16), shape))
    entries.sort(key=lambda entry: -entry[1].itemsize)
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    begin = 0
    for name, dtype, dimensions in entries:
        end = begin + dtype.itemsize * int(np.prod(dimensions))
        header[name] = {"dtype": TYPES[dtype], "shape": list(dimensions), "data_offsets": [begin, end]}
        begin = end
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    with path.open("wb") as file:
        file.write(len(encoded).to_bytes(8, "little") + encoded)
        for name, _, _ in entries:
            for array in blocks if name == LARGE else [small_tensors[name]]:
                file.write(np.ascontiguousarray(array).tobytes())
        if file.tell() != 8 + len(encoded) + begin:
            raise ValueError(f"blocks of another size than {shape}")


def map_large(path: Path) -> NDArray[np.float16]:
    """The large tensor as a memory map. Raises OSError, KeyError or ValueError for any other file."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        entry = json.loads(file.read(length))[LARGE]
    if entry["dtype"] != "F16" or len(entry["shape"]) != 3:
        raise ValueError(f"{LARGE} of type {entry['dtype']} and shape {entry['shape']}")
    begin = 8 + length + entry["data_offsets"][0]
    mapped: NDArray[np.float16] = np.memmap(path, np.float16, "r", begin, tuple(entry["shape"]))
    return mapped
