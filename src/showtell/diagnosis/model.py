"""The built-in model: which one it is, and whether its files are as they were written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from showtell.core.bundle import CHECKSUM, MANIFEST, builtin, load_bundle, manifest_checksum
from showtell.diagnosis.findings import Findings
from showtell.diagnosis.folders import folder_size
from showtell.errors import BadBundle
from showtell.install import reinstall_hint


def identity(folder: Path) -> dict[str, Any]:
    """Name, languages and hash by what the manifest says of itself; nothing else is read. Raises OSError, ValueError,
    TypeError or KeyError where it cannot be read."""
    raw = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    checksum = raw.get(CHECKSUM) or manifest_checksum(raw)
    return {"name": folder.name, "languages": list(map(str, raw["languages"])), "sha256": str(checksum)}


def examine_model(folder: Path | None = None) -> Findings:
    folder = builtin() if folder is None else folder
    findings = Findings({"path": str(folder), "size": folder_size(folder), "intact": True})
    try:
        findings.facts |= identity(folder)
        load_bundle(folder)
    except BadBundle as error:
        found, _, advice = str(error).rpartition("; ")
        is_pointer = "git lfs" in advice
        findings.facts["intact"] = False
        findings.problem(f"built-in model: {found or error}", advice if is_pointer else reinstall_hint())
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        findings.facts["intact"] = False
        findings.problem(f"built-in model: {folder / MANIFEST} cannot be read ({error})", reinstall_hint())
    return findings
