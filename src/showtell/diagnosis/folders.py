"""Folders that showtell writes to, and how much room is in them."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from showtell.cache_folder import VARIABLE, cache_folder
from showtell.diagnosis.findings import Findings


def examine_folders() -> Findings:
    """The cache, and the folder for temporary files."""
    cache = cache_folder()
    findings = Findings({"cache": folder_facts(cache)})
    if not findings.facts["cache"]["writable"]:
        findings.problem(
            f"cache folder {cache}: cannot be written; features and the fastest runtime are computed anew each time",
            f"run: export {VARIABLE}=FOLDER, with a folder that you may write to",
        )
    try:
        temporary = Path(tempfile.gettempdir())
    except OSError as error:  # none of the usual folders can be written
        findings.facts["temporary"] = None
        findings.problem(f"no folder for temporary files ({error})", "run: export TMPDIR=FOLDER, with such a folder")
    else:
        findings.facts["temporary"] = folder_facts(temporary, is_ours=False)
    return findings


def folder_facts(folder: Path, is_ours: bool = True) -> dict[str, Any]:
    """Sizes in bytes; `size` of its files if it `is_ours`. A folder that does not exist is writable if it can be
    made."""
    above = next((path for path in (folder, *folder.absolute().parents) if os.path.exists(path)), None)  # noqa: PTH110 (not permitted to look: False)
    exists = folder.is_dir()
    return {
        "path": str(folder),
        "exists": exists,
        "writable": above is not None and above.is_dir() and _is_writable(above, exists),
        "free": None if above is None else _free(above),
        "size": folder_size(folder) if exists and is_ours else None,
    }


def folder_size(folder: Path) -> int:
    """Bytes of all files in it, of which those that cannot be asked are left out."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(root, name)).st_size  # noqa: PTH118 (caches hold many files)
            except OSError:
                continue
    return total


def _is_writable(folder: Path, is_the_one: bool) -> bool:
    """By writing, since permissions do not tell of a full quota; by permissions in a folder of others."""
    if not is_the_one:
        return os.access(folder, os.W_OK | os.X_OK)
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _free(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None
