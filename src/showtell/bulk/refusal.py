"""Whether a run may go on where an earlier one stopped: its rows must come from the same model, settings and inputs."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

from showtell.bulk.sources import without_signature
from showtell.errors import BadConfig

FORM: Final = ("num", "attention")


def run_header(
    kind: str, version: str, model: Sequence[Sequence[str]], settings: Mapping[str, Any], inputs: Sequence[str]
) -> dict[str, Any]:
    """What rows depend on, for the ledger. `model`: the fingerprint of each member. The names of a million files are
    kept as a hash."""
    inputs = [without_signature(name) for name in inputs]
    digest = hashlib.sha256()
    for name in inputs:
        digest.update(os.fsencode(name) + b"\0")
    first = inputs[:3]
    header = {
        "showtell": version,
        "output": kind,
        "model": list(model),
        "settings": dict(settings),
        "inputs": {"count": len(inputs), "first": first, "sha256": digest.hexdigest()},
    }
    as_read: dict[str, Any] = json.loads(json.dumps(header))  # tuples are lists then
    return as_read


def check_same_run(name: str, earlier: Mapping[str, Any], now: Mapping[str, Any], allow_changed: bool) -> None:
    """Raises BadConfig, naming the first thing that differs; with `allow_changed` only for what changes the form of
    the rows, which must be one within a file."""
    difference = _difference(earlier, now)
    if difference and not allow_changed:
        raise BadConfig(
            f"--output {name}: its rows are of another run: {difference}; give --overwrite to begin anew, "
            "--allow-changed to go on all the same, or another name"
        )
    for key in FORM:
        if earlier["settings"].get(key) != now["settings"].get(key):
            raise BadConfig(
                f"--output {name}: its rows have {key} {earlier['settings'].get(key)}, these would have "
                f"{now['settings'].get(key)}; give --overwrite to begin anew, or another name"
            )


def _difference(earlier: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    if earlier["output"] != now["output"]:
        return f"found {earlier['output']}, expected {now['output']}"
    if earlier["model"] != now["model"]:
        return "another model"
    for key in sorted(earlier["settings"].keys() | now["settings"].keys()):
        before, after = earlier["settings"].get(key), now["settings"].get(key)
        if before != after:
            return f"found {key} {before}, expected {after}"
    if earlier["inputs"]["sha256"] != now["inputs"]["sha256"]:
        return f"found the inputs {_names(earlier['inputs'])}, expected {_names(now['inputs'])}"
    return ""


def _names(inputs: Mapping[str, Any]) -> str:
    more = inputs["count"] - len(inputs["first"])
    return " ".join(inputs["first"]) + (f" and {more} more" if more > 0 else "")
