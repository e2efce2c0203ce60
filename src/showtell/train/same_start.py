"""That all processes of a run train the same model on the same data; on several machines nothing else makes sure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from showtell.records import Sample
from showtell.settings import Recipe
from showtell.train.processes import Processes
from showtell.train.run_folder import settings_that_differ


def check_same_start(processes: Processes, recipe: Recipe, samples: Sequence[Sample]) -> None:
    """Raises BadConfig, in all processes, when one has another recipe or other captions than the first."""
    if processes.count == 1:
        return
    own = recipe.model_dump(mode="json", exclude={"train": {"devices"}})
    processes.check_same(own, _explain_recipe)
    processes.check_same([len(samples), _digest(samples)], _explain_data)


def _digest(samples: Sequence[Sample]) -> str:
    digest = hashlib.sha256()
    for sample in samples:
        digest.update(json.dumps([sample.name, sample.language, sample.split, sample.captions]).encode())
    return digest.hexdigest()


def _explain_recipe(first: dict[str, Any], other: dict[str, Any]) -> str:
    return (
        f"{settings_that_differ(first, other, 'in the first', 'in the other')}; expected the same command and the same "
        "version of showtell on all machines"
    )


def _explain_data(first: list[Any], other: list[Any]) -> str:
    counts = f"{first[0]} in the first, {other[0]} in the other" if first[0] != other[0] else f"{first[0]} in both"
    return (
        f"it has other names, captions or splits ({counts}); expected the same data on all machines: copy them "
        "from one, or put them on a disk that all share"
    )
