"""What is added to a bundle that is there: calibration curves, and a reranker. Everything else in it stays."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from showtell.core.bundle import CHECKSUM, MANIFEST, RERANKER, FileRecord, read_manifest, write_manifest
from showtell.core.confidence import Calibration
from showtell.core.reranker import from_arrays
from showtell.errors import BadBundle
from showtell.files import replacing, sha256


def write_calibration(path: Path, calibration: Mapping[str, Calibration]) -> None:
    """Write the curves, by language, into the bundle at `path`; curves of other languages stay.

    Raises BadBundle when the manifest cannot be read or written.
    """
    merged = {**read_manifest(path).calibration, **calibration}
    curves = {name: curve.model_dump(exclude_defaults=True) for name, curve in merged.items()}
    _change(path, {"calibration": curves})


def write_reranker(path: Path, arrays: Mapping[str, NDArray[Any]], weight: float) -> None:
    """Write the arrays of a reranker into the bundle at `path`, in place of one that is there, and its
    `decode.rerank_weight`. Calibration curves go: other captions are chosen now.

    Between two of its steps the bundle is whole, without a reranker. Raises ValueError for arrays that are none,
    BadBundle when the bundle cannot be read or written, OutputError when the disk takes no more.
    """
    files = {name: record.model_dump() for name, record in read_manifest(path).files.items() if name != RERANKER}
    from_arrays(arrays)
    _change(path, {"files": files, "calibration": {}})
    with replacing(path / RERANKER) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    record = FileRecord(sha256=sha256(path / RERANKER), size=(path / RERANKER).stat().st_size)
    decode = json.loads((path / MANIFEST).read_text(encoding="utf-8"))["decode"]
    _change(path, {"files": {**files, RERANKER: record.model_dump()}, "decode": {**decode, "rerank_weight": weight}})


def _change(path: Path, changes: Mapping[str, Any]) -> None:
    try:
        # Rejected: the validated manifest, which would write out every default.
        raw = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        raw.pop(CHECKSUM, None)
        write_manifest(path, {**raw, **changes})
    except OSError as error:
        raise BadBundle(f"{path / MANIFEST}: cannot be written ({error.strerror or error}); copy the model") from error
