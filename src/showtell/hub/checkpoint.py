"""The folder of a model from Hugging Face: config.json and the tensors of its *.safetensors files.

Nothing else of the folder is read here: no pickle, and no code (`auto_map` in config.json is ignored). A family says
which tensors of the file make up each tensor of ours (`Source`), so that one check sees all of them: a tensor that
nobody reads, or that is not there, means that the file is of another architecture than config.json says, and the
captions would be wrong without any other sign.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from showtell.errors import BadWeights

INDEX = "model.safetensors.index.json"


class Source(NamedTuple):
    """What one tensor of ours is made of."""

    names: tuple[str, ...]
    """Tensors of the checkpoint."""
    combine: Callable[..., Tensor]
    """From these tensors, in float32, to ours."""


Plan = dict[str, Source]
"""By our names."""


def same(name: str) -> Source:
    return Source((name,), lambda tensor: tensor)


def joined(*names: str) -> Source:
    """Tensors one after the other along their first dimension, as in fused projections."""
    return Source(names, lambda *tensors: torch.cat(tensors))


def merged(*plans: Plan) -> Plan:
    """One plan of several; our names must differ."""
    plan: Plan = {}
    for other in plans:
        assert not plan.keys() & other.keys(), "two sources for one tensor"
        plan.update(other)
    return plan


class Checkpoint:
    """`config` is config.json; tensors are read from disk when they are asked for."""

    def __init__(self, folder: Path) -> None:
        """Raises BadWeights when config.json or the tensors are not there or cannot be read."""
        self.folder = folder
        self.config = _read_json(folder / "config.json")
        self._files = _tensor_files(folder)
        self._ignored: list[re.Pattern[str]] = []
        self.copies: set[str] = set()
        """Tensors that are equal to another one of the file, to which transformers ties them."""

    def __contains__(self, name: str) -> bool:
        return name in self._files

    @property
    def names(self) -> Iterable[str]:
        return self._files.keys()

    def take(self, name: str) -> Tensor:
        """One tensor; numbers in float32, whatever they are stored in. Raises BadWeights when it is not there."""
        return self.read({name: same(name)}, check=False)[name]

    def ignore(self, pattern: str, reason: str) -> None:
        """Tensors whose whole name matches may stay unread; `reason` is for who reads the code."""
        assert reason
        self._ignored.append(re.compile(pattern))

    def ignore_copy(self, name: str) -> None:
        self.ignore(re.escape(name), "a copy")
        self.copies.add(name)

    def read(self, plan: Plan, check: bool = True) -> dict[str, Tensor]:
        """All tensors of the plan, by our names.

        Raises BadWeights for tensors of the plan that are missing, and for tensors of the files that are neither in the
        plan nor ignored: in one message, so that the first of each can be compared.
        """
        wanted = {name: None for source in plan.values() for name in source.names}
        missing = [name for name in wanted if name not in self]
        unused = [name for name in self.names if name not in wanted and not self._is_ignored(name)] if check else []
        if missing or unused:
            lost, extra = _count(missing, "expected and not there"), _count(unused, "there and not expected")
            raise BadWeights(
                f"{self.folder}: {lost}, {extra}; expected the tensors of the architecture in config.json; save it "
                "again with save_pretrained of a recent transformers, or report the model"
            )
        with ExitStack() as stack:
            handles = {file: self._open(file, stack) for file in {self._files[name] for name in wanted}}
            return {
                ours: source.combine(*(_float32(handles[self._files[name]].get_tensor(name)) for name in source.names))
                for ours, source in plan.items()
            }

    def _open(self, file: str, stack: ExitStack) -> Any:
        try:
            return stack.enter_context(safe_open(str(self.folder / file), framework="pt"))
        except (OSError, SafetensorError) as error:
            raise _unreadable(self.folder / file, error) from error

    def _is_ignored(self, name: str) -> bool:
        return any(pattern.fullmatch(name) for pattern in self._ignored)


def check_shapes(folder: Path, state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Raises BadWeights unless `state` has the names and shapes of `expected`, a state dict of the network."""
    for name in [*expected, *(set(state) - set(expected))]:
        found = tuple(state[name].shape) if name in state else None
        wanted = tuple(expected[name].shape) if name in expected else None
        if found != wanted:
            raise BadWeights(
                f"{folder}: {name} would have shape {found}; expected {wanted}, as config.json says; the tensors and "
                "config.json are of different models"
            )


def _float32(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def _tensor_files(folder: Path) -> dict[str, str]:
    """The file of each tensor, by the index where there is one, and else of all *.safetensors in the folder."""
    if (folder / INDEX).is_file():
        index = _read_json(folder / INDEX).get("weight_map")
        if not isinstance(index, dict) or not all(_is_plain(file) for file in index.values()):
            raise BadWeights(f"{folder / INDEX}: found no weight_map of files in this folder; download the model again")
        return {str(name): str(file) for name, file in index.items()}
    file = folder / "model.safetensors"
    if not file.is_file():
        raise BadWeights(f"{folder}: found no model.safetensors and no {INDEX}; expected a model saved as safetensors")
    try:
        with safe_open(str(file), framework="pt") as handle:
            return dict.fromkeys(handle.keys(), file.name)
    except (OSError, SafetensorError) as error:
        raise _unreadable(file, error) from error


def _is_plain(file: object) -> bool:
    """Whether this is the name of a .safetensors file, and no path out of the folder."""
    return isinstance(file, str) and file == Path(file).name and file.endswith(".safetensors")


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _unreadable(file, error) from error
    if not isinstance(content, dict):
        raise BadWeights(f"{file}: found no JSON object; download the model again")
    return content


def _unreadable(file: Path, error: Exception) -> BadWeights:
    return BadWeights(f"{file}: cannot be read ({error}); expected a complete download; download the model again")


def _count(names: list[str], what: str) -> str:
    first = f", first {names[0]}" if names else ""
    return f"{len(names) or 'no'} tensor{'' if len(names) == 1 else 's'} {what}{first}"
