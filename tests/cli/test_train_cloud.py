"""`showtell train ... data=shards:s3://...`: the model of the same shards on the disk, whatever the storage does."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest
from PIL import Image
from tests.cli.in_process import showtell
from tests.cli.test_train import TINY
from tests.remote.object_server import BUCKET, object_server
from tests.skips import PACKAGES

pytest.importorskip("s3fs", reason=PACKAGES)
pytest.importorskip("moto", reason=PACKAGES)
pytest.importorskip("torch", reason=PACKAGES)

from showtell.backoff import Backoff
from showtell.data.spec import read_samples
from showtell.remote import client

PHOTOS = 60


def shards() -> dict[str, bytes]:
    """Two tars of drawn shapes."""
    packed = {}
    samples = read_samples(f"shapes:{PHOTOS}")
    for number in range(2):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for sample in samples[number::2]:
                photo = io.BytesIO()
                sample.image().save(photo, "PNG")  # type: ignore[operator, union-attr]
                about = json.dumps({"captions": sample.captions, "split": sample.split}).encode()
                for ending, raw in (("png", photo.getvalue()), ("json", about)):
                    info = tarfile.TarInfo(f"{sample.name}.{ending}")
                    info.size = len(raw)
                    tar.addfile(info, io.BytesIO(raw))
        packed[f"{number}.tar"] = buffer.getvalue()
    return packed


@pytest.mark.parametrize("caches", ["true", "false"])
def test_the_model_is_that_of_the_disk(caches: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_filesystems", {})
    monkeypatch.setattr(client, "backoff", Backoff(sleep=lambda seconds: None))
    settings = [*TINY, "train.epochs=2", "train.batch_size=16", f"train.cache_features={caches}"]

    def train(data: str, run: str, **environment: str) -> tuple[int, str]:
        cache = str(tmp_path / f"cache of {run}")
        command = ["train", "shapes", f"data={data}", *settings, "--run", tmp_path / run]
        done = showtell(*command, SHOWTELL_CACHE=cache, **environment)
        return done.returncode, done.stderr

    for name, data in shards().items():
        (tmp_path / name).write_bytes(data)
    status, said = train(f"shards:{tmp_path}/*.tar", "local")
    assert status == 0 and said.count(" to write in ") == (2 if caches == "true" else 0)
    remote = f"shards:s3://{BUCKET}/*.tar"
    with object_server() as server:
        for name, data in shards().items():
            server.put(name, data)
        for healthy in (60, 150):
            server.faults.reset(every=10, seed=3, healthy=healthy)
            status, said = train(remote, "remote", **server.environment())
            assert status == 75 and said.endswith("; the same command goes on\n"), said
            assert sum(server.faults.failed.values()) > 5
        server.faults.reset(every=10, seed=4)
        assert train(remote, "remote", **server.environment())[0] == 0
    assert weights(tmp_path / "remote") == weights(tmp_path / "local")


def test_other_commands_end_when_the_storage_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A score, a report of broken photos or a table of failed runs would tell of the network."""
    monkeypatch.setattr(client, "_filesystems", {})
    monkeypatch.setattr(client, "backoff", Backoff(sleep=lambda seconds: None))
    data, folder = f"shards:s3://{BUCKET}/0.tar", tmp_path / "sweep"
    with object_server() as server:
        server.put("0.tar", shards()["0.tar"])
        environment = {**server.environment(), "SHOWTELL_CACHE": str(tmp_path / "cache")}
        done = showtell("data", "check", data, **environment)
        assert done.returncode == 0 and "80 images checked" in done.stderr, done.stderr
        sweep = ["sweep", "shapes", f"data={data}", *TINY, "train.lr=0.001,0.002", "--output", folder]
        for command in (
            ["data", "check", data],
            ["evaluate", "--data", data, "--report", tmp_path / "report.json"],
            sweep,
        ):
            server.faults.reset(healthy=8)
            done = showtell(*command, **environment)
            assert done.returncode == 75 and done.stderr.count("Traceback") == 0, (command, done.stderr)
        assert not (tmp_path / "report.json").exists() and "failed" not in done.stderr


def test_parquet_in_storage_is_not_streamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each photo of a drawn order would fetch a whole group of rows."""
    import pyarrow
    import pyarrow.parquet

    monkeypatch.setattr(client, "_filesystems", {})
    photo, buffer = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (32, 32)).save(photo, "PNG")
    rows = {"image": [photo.getvalue()] * 4, "caption": ["a square"] * 4, "split": ["train", "train", "dev", "test"]}
    pyarrow.parquet.write_table(pyarrow.table(rows), buffer)
    with object_server() as server:
        server.put("a.parquet", buffer.getvalue())
        command = ["train", "shapes", "data=parquet:s3://bucket/a.parquet", *TINY, "--run", tmp_path / "run"]
        environment = {**server.environment(), "SHOWTELL_CACHE": str(tmp_path / "cache")}
        done = showtell(*command, "train.cache_features=false", **environment)
        assert done.returncode == 2 and "would fetch a group of rows of s3://bucket/a.parquet" in done.stderr
        done = showtell(*command[:-1], tmp_path / "other", **environment)
        assert done.returncode == 0, done.stderr


def weights(run: Path) -> dict[str, bytes]:
    from safetensors.numpy import load_file

    return {name: values.tobytes() for name, values in load_file(run / "best" / "model.safetensors").items()}
