"""Parquet files in object storage give the samples that the same files give on the disk."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.data.test_remote_shards import photo, png, said
from tests.remote.object_server import BUCKET, ObjectServer, object_server, use
from tests.skips import PACKAGES

pytest.importorskip("s3fs", reason=PACKAGES)
pytest.importorskip("moto", reason=PACKAGES)
pytest.importorskip("pyarrow", reason=PACKAGES)

import pyarrow
import pyarrow.parquet

from showtell.core.image import load_image
from showtell.data.parquet import _fetched, _images
from showtell.data.spec import read_samples
from showtell.errors import BadData, BadImage, StorageUnreachable

S3 = f"s3://{BUCKET}"


@pytest.fixture(scope="module")
def server() -> Iterator[ObjectServer]:
    with object_server() as server:
        yield server


@pytest.fixture(autouse=True)
def _client(server: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> None:
    use(server, monkeypatch, block=4096)
    _images.cache_clear()


def table(first: int, **columns: list[object]) -> bytes:
    """Twelve photos in groups of five."""
    numbers = range(first, first + 12)
    photos = [{"bytes": png(n), "path": f"{n}.png"} for n in numbers]
    captions = [[f"number {n} .", "a number ."] for n in numbers]
    rows = pyarrow.table({"image": photos, "captions": captions, **columns})
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(rows, buffer, row_group_size=5)
    return buffer.getvalue()


@pytest.mark.parametrize("pattern", ["*.parquet", "train-{0..1}.parquet"])
def test_they_are_those_of_the_disk(server: ObjectServer, tmp_path: Path, pattern: str) -> None:
    for number in range(2):
        (tmp_path / f"train-{number}.parquet").write_bytes(table(20 * number))
        server.put(f"same/train-{number}.parquet", table(20 * number))
    local = said(read_samples(f"parquet:{tmp_path}"))
    server.faults.reset(every=7, seed=1)
    samples = read_samples(f"parquet:{S3}/same/{pattern}")
    assert said(samples) == local and len(local) == 24
    assert sum(server.faults.failed.values()) > 3
    sent = pickle.loads(pickle.dumps(samples[7].image))  # noqa: S301 (our own bytes)
    assert load_image(sent).getpixel((3, 3)) == (7, 9, 9)


def test_threads_read_a_group_once(server: ObjectServer) -> None:
    server.put("once/a.parquet", table(0))
    samples = read_samples(f"parquet:{S3}/once/a.parquet")

    def requests(threads: int) -> int:
        _images.cache_clear()
        _fetched.cache_clear()
        server.faults.reset()
        with ThreadPoolExecutor(threads) as pool:
            shades = list(pool.map(lambda sample: photo(sample).getpixel((0, 0))[0], samples))
        assert shades == list(range(12))
        return server.faults.requests["GET"]

    assert requests(2) == requests(1)


def test_a_table_that_has_changed_is_an_error(server: ObjectServer) -> None:
    server.put("changing/a.parquet", table(0))
    one, other = (read_samples(f"parquet:{S3}/changing/a.parquet")[7] for _ in range(2))
    assert repr(one.image) == repr(other.image)
    server.put("changing/a.parquet", table(50))
    with pytest.raises(BadImage, match=r"^unreadable: the table has changed since it was first read"):
        photo(one)


@pytest.mark.parametrize(
    ("location", "message"),
    [
        (f"{S3}/none/a.parquet", r"s3://bucket/none/a.parquet: found nothing that can be read \(no such object\)"),
        (f"{S3}/none/*.parquet", r"found no such objects; expected files such as \*.parquet"),
        (f"{S3}/bad/", r"found a folder; expected files, such as s3://bucket/bad/\*.parquet"),
        (f"{S3}/bad/cut.parquet", r"s3://bucket/bad/cut.parquet: found nothing that can be read"),
        (f"{S3}/bad/paths.parquet", r"found image of the type string; expected photos in the table, where it is a URL"),
    ],
)
def test_what_cannot_be_read_is_named(server: ObjectServer, location: str, message: str) -> None:
    server.put("bad/cut.parquet", table(0)[:-100])
    server.put("bad/paths.parquet", table(0, image=[f"{n}.png" for n in range(12)]))
    with pytest.raises(BadData, match=message) as caught:
        read_samples(f"parquet:{location}")
    assert "\n" not in str(caught.value)


def test_storage_that_does_not_answer_is_no_fault_of_the_data(server: ObjectServer) -> None:
    server.put("down/a.parquet", table(0))
    for healthy in (0, 4):
        server.faults.reset(healthy=healthy)
        with pytest.raises(StorageUnreachable, match=r"^s3://bucket/down/a.parquet: .*; the same command goes on$"):
            read_samples(f"parquet:{S3}/down/a.parquet")
