"""A save that fails or dies anywhere, and files of which a bit is wrong."""

import errno
import json
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tests.failing_disk import FailingDisk, Killed, Moment, die, fail
from torch import Tensor

from showtell import files
from showtell.errors import OutputError
from showtell.train.checked_file import Damaged, damage, load_checked, save_checked


def tensors(seed: int) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    weight = torch.randn(3, 5)
    return {
        "weight": weight,
        "shared": weight,
        "transposed": weight.T,
        "half": torch.randn(4).bfloat16(),
        "count": torch.tensor(7),
        "nothing": torch.zeros(0, 3),
    }


METADATA = {"progress": json.dumps({"epoch": 3, "note": "صورة"})}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.safetensors"


def test_everything_comes_back(path: Path) -> None:
    save_checked(path, tensors(0), METADATA)
    loaded, metadata = load_checked(path, "progress")
    assert metadata.items() >= METADATA.items() and damage(path, "progress") is None
    assert loaded.keys() == tensors(0).keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in tensors(0).items())
    assert loaded["half"].dtype == torch.bfloat16


def test_a_flipped_bit_or_a_cut_is_noticed_wherever_it_is(path: Path) -> None:
    save_checked(path, tensors(0), METADATA)
    content = path.read_bytes()
    for position in range(len(content)):
        changed = bytearray(content)
        changed[position] ^= 1 << position % 8
        path.write_bytes(changed)
        assert damage(path, "progress") is not None, position
        with pytest.raises(Damaged):
            load_checked(path, "progress")
        path.write_bytes(content[:position])
        assert damage(path, "progress") is not None, position


@pytest.mark.parametrize("metadata", [None, {}, {"progress": "{}", "note": ""}, {"position": "{}"}])
def test_a_file_of_something_else(path: Path, metadata: dict[str, str] | None) -> None:
    save_file(tensors(0) | {"shared": torch.zeros(1), "transposed": torch.zeros(1)}, path, metadata)
    with pytest.raises(Damaged, match="metadata"):
        load_checked(path, "progress")


def test_a_file_of_an_earlier_version_has_no_checksum(path: Path) -> None:
    save_file({"weight": torch.ones(2)}, path, {"progress": "{}"})
    assert damage(path, "progress") is None and load_checked(path, "progress")[1] == {"progress": "{}"}


def test_the_operations_of_a_save_in_their_order(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    previous = path.with_name("previous")
    disk = FailingDisk(99, "before", die)
    monkeypatch.setattr(files, "disk", disk)
    for _ in range(2):
        save_checked(path, tensors(0), METADATA, previous)
    first = ["write", "sync", "rename to state.safetensors", f"sync {path.parent.name}/"]
    assert disk.done == [*first, *first[:2], "rename to previous", *first[2:]]


OPERATIONS, RENAMED = 5, 4
"""Of a save that keeps the previous file; and the one that gives the new file its name."""


def saved_before(path: Path, previous: Path) -> None:
    for seed in (1, 2):
        save_checked(path, tensors(seed), METADATA, previous)


def newest(path: Path, previous: Path) -> int:
    """The seed of the newest whole file."""
    whole = next(file for file in (path, previous) if file.exists() and damage(file, "progress") is None)
    found = load_checked(whole, "progress")[0]["weight"]
    return next(seed for seed in (1, 2, 3) if torch.equal(found, tensors(seed)["weight"]))


@pytest.mark.parametrize("moment", ["before", "half", "after"])
@pytest.mark.parametrize("at", range(1, OPERATIONS + 1))
def test_a_process_that_dies_in_a_save_leaves_the_new_file_or_the_old_one(
    at: int, moment: Moment, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    previous = path.with_name("previous")
    saved_before(path, previous)
    monkeypatch.setattr(files, "disk", disk := FailingDisk(at, moment, die))
    with pytest.raises(Killed):
        save_checked(path, tensors(3), METADATA, previous)
    assert len(disk.done) == at
    assert newest(path, previous) == (3 if at == OPERATIONS or (at, moment) == (RENAMED, "after") else 2)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("moment", ["before", "half"])
@pytest.mark.parametrize("at", range(1, OPERATIONS + 1))
def test_a_disk_that_fails_in_a_save_is_one_error(
    at: int, moment: Moment, number: int, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    previous = path.with_name("previous")
    saved_before(path, previous)
    monkeypatch.setattr(files, "disk", FailingDisk(at, moment, fail(number)))
    with pytest.raises(OutputError) as raised:
        save_checked(path, tensors(3), METADATA, previous)
    assert str(raised.value).startswith(f"{path}: cannot be written ({os.strerror(number)}); ")
    assert newest(path, previous) == (3 if at == OPERATIONS else 2)
    assert {file.name for file in path.parent.iterdir()} <= {path.name, previous.name}  # no temporary file


def bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("spoil", [bit, lambda file: os.truncate(file, 100)])
def test_a_disk_that_keeps_something_else_than_was_written(
    spoil: Callable[[Path], None], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Spoiling(files.Disk):
        def sync(self, file: Path) -> None:
            spoil(file)

    saved_before(path, path.with_name("previous"))
    monkeypatch.setattr(files, "disk", Spoiling())
    with pytest.raises(OutputError, match=r"cannot be written \(read back, it is damaged: "):
        save_checked(path, tensors(3), METADATA, path.with_name("previous"))
    assert newest(path, path.with_name("previous")) == 2 and len(list(path.parent.iterdir())) == 2


def test_saving_leaves_tensors_as_they_are(path: Path) -> None:
    parameter = torch.nn.Parameter(torch.randn(2, 3).T)
    save_checked(path, {"parameter": parameter}, METADATA)
    assert parameter.requires_grad and not parameter.is_contiguous()


def test_random_damage_of_a_larger_file(path: Path) -> None:
    save_checked(path, {f"layer.{n}": torch.randn(64, 64) for n in range(8)}, METADATA)
    content, numbers = path.read_bytes(), random.Random(0)
    for _ in range(100):
        changed = bytearray(content)
        changed[numbers.randrange(len(changed))] ^= 1 << numbers.randrange(8)
        path.write_bytes(changed)
        assert damage(path, "progress") is not None
