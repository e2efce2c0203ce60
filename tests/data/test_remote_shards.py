"""Shards in object storage and on web servers give the samples that the same files give on the disk."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.remote.object_server import BUCKET, ObjectServer, object_server, use, wsgi_server
from tests.skips import PACKAGES

pytest.importorskip("s3fs", reason=PACKAGES)
pytest.importorskip("moto", reason=PACKAGES)

from showtell.core.image import load_image
from showtell.data.spec import read_samples
from showtell.errors import BadData, BadImage, StorageUnreachable
from showtell.records import FeatureRow, Sample

S3 = f"s3://{BUCKET}"


@pytest.fixture(scope="module")
def server() -> Iterator[ObjectServer]:
    with object_server() as server:
        yield server


@pytest.fixture(autouse=True)
def _client(server: ObjectServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use(server, monkeypatch, block=4096)
    monkeypatch.setenv("SHOWTELL_CACHE", str(tmp_path / "cache"))


def png(colour: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (60, 40), (colour, 9, 9)).save(buffer, "PNG")
    return buffer.getvalue()


def tar(members: dict[str, bytes | str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        for name, content in members.items():
            raw = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size = len(raw)
            file.addfile(info, io.BytesIO(raw))
    return buffer.getvalue()


def shard(first: int, **more: bytes | str) -> bytes:
    """Thirty photos: captions in every form, in two languages and encodings."""
    members: dict[str, bytes | str] = {}
    for n in range(first, first + 30):
        members[f"{n:03}.png"] = png(n)
        captions = {"captions": [f"number {n} .", f"it is {n} ."], "split": "val" if n % 10 == 0 else "train"}
        members[f"{n:03}.json"] = json.dumps(captions)
    members[f"{first:03}.txt"] = f"nümber {first} .\n".encode("utf-16")
    return tar(members | {name.replace("__", "."): content for name, content in more.items()})


def upload(server: ObjectServer, folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
        server.put(f"{folder.name}/{name}", data)


def photo(sample: Sample) -> Image.Image:
    assert not isinstance(sample.image, FeatureRow)
    return load_image(sample.image)


def said(samples: Iterable[Sample]) -> list[tuple[object, ...]]:
    return [(s.name, s.captions, s.split, s.language, photo(s).tobytes()) for s in samples]


@pytest.mark.parametrize("pattern", ["{0..1}.tar", "*.tar", "[01].tar"])
def test_they_are_those_of_the_disk(server: ObjectServer, tmp_path: Path, pattern: str) -> None:
    upload(server, tmp_path / "same", {"0.tar": shard(0), "1.tar": shard(50)})
    local = said(read_samples(f"shards:{tmp_path}/same/{pattern}"))
    server.faults.reset(every=7, seed=1)
    assert said(read_samples(f"shards:{S3}/same/{pattern}")) == local and len(local) == 60
    assert sum(server.faults.failed.values()) > 5


def test_a_photo_is_one_range_and_travels_to_another_process(server: ObjectServer) -> None:
    server.put("one/a.tar", shard(0))
    sample = read_samples(f"shards:{S3}/one/a.tar")[7]
    server.faults.reset()
    image = pickle.loads(pickle.dumps(sample.image))  # noqa: S301 (our own bytes)
    assert load_image(image).getpixel((3, 3)) == (7, 9, 9)
    assert server.faults.requests == {"GET": 1, "HEAD": 1}


def test_a_shard_is_read_once_and_again_when_it_has_changed(server: ObjectServer, tmp_path: Path) -> None:
    server.put("kept/a.tar", shard(0))
    before = said(read_samples(f"shards:{S3}/kept/a.tar"))
    server.faults.reset()
    assert [sample.name for sample in read_samples(f"shards:{S3}/kept/*.tar")] == [name for name, *_ in before]
    assert server.faults.requests["GET"] == 0
    server.put("kept/a.tar", shard(100))
    assert said(read_samples(f"shards:{S3}/kept/a.tar"))[0][:2] == ("a/100", ("nümber 100 .",))
    for file in (tmp_path / "cache" / "shards").iterdir():  # damaged, as by a disk that was full
        file.write_text(file.read_text(encoding="utf-8")[:-30], encoding="utf-8")
    assert len(read_samples(f"shards:{S3}/kept/a.tar")) == 30


def test_a_cache_that_cannot_be_written_costs_only_time(
    server: ObjectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.put("full/a.tar", shard(0))
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("SHOWTELL_CACHE", str(tmp_path / "file"))
    assert len(read_samples(f"shards:{S3}/full/a.tar")) == 30


def test_a_photo_of_a_shard_that_has_changed_is_an_error(server: ObjectServer) -> None:
    server.put("changing/a.tar", shard(0))
    sample = read_samples(f"shards:{S3}/changing/a.tar")[7]
    server.put("changing/a.tar", shard(50))
    with pytest.raises(BadImage, match=r"^unreadable: the container has changed while it was read"):
        photo(sample)


def test_an_interrupted_start_goes_on_after_the_last_whole_shard(server: ObjectServer) -> None:
    for number in range(3):
        server.put(f"many/{number}.tar", shard(50 * number))
    shown: list[int] = []

    def interrupted(number: int) -> None:
        shown.append(number)
        if len(shown) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read_samples(f"shards:{S3}/many/*.tar", stage=lambda title, total: Advancing(interrupted))
    server.faults.reset()
    assert len(read_samples(f"shards:{S3}/many/*.tar")) == 90
    assert 0 < server.faults.requests["GET"] <= len(shard(100)) // 4096 + 1  # those of the third


class Advancing:
    def __init__(self, advance: Callable[[int], None]) -> None:
        self.advance = advance

    def __enter__(self) -> Callable[[int], None]:
        return self.advance

    def __exit__(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(
    ("location", "message"),
    [
        (f"{S3}/none/a.tar", r"s3://bucket/none/a.tar: found nothing that can be read \(no such object\)"),
        ("s3://no-bucket-here/a.tar", r"no bucket no-bucket-here; check its name"),
        (f"{S3}/none/*.tar", r"s3://bucket/none/\*.tar: found no such objects; expected files such as"),
        (f"{S3}/bad/", r"found a folder; expected files, such as s3://bucket/bad/\*.tar"),
        (f"{S3}/bad", r"found nothing that can be read \(found a folder"),
        (f"{S3}/bad/cut.tar", r"cut.tar: found no whole tar file"),
        (f"{S3}/bad/text.tar", r"text.tar: found no whole tar file"),
        (f"{S3}/bad/link.tar", r"link.tar: found b.png, which is a link"),
        ("file:///tmp/a.tar", r"file://: found no storage that is read; expected one of: abfs, abfss, az, gcs, gs, hf"),
        (f"{S3}/bad/{{2..1}}.tar", r"found no numbers in a pair of braces"),
    ],
)
def test_what_cannot_be_read_is_named(server: ObjectServer, location: str, message: str) -> None:
    server.put("bad/cut.tar", shard(0)[:9000])
    server.put("bad/text.tar", b"no tar" * 300)
    buffer = io.BytesIO(shard(0))
    with tarfile.open(fileobj=buffer, mode="a") as file:
        link = tarfile.TarInfo("b.png")
        link.type, link.linkname = tarfile.SYMTYPE, "000.png"
        file.addfile(link)
    server.put("bad/link.tar", buffer.getvalue())
    with pytest.raises(BadData, match=message) as caught:
        read_samples(f"shards:{location}")
    assert "\n" not in str(caught.value)


def test_storage_that_does_not_answer_is_no_fault_of_the_data(server: ObjectServer) -> None:
    server.put("down/a.tar", shard(0))
    server.faults.reset(every=1)
    with pytest.raises(StorageUnreachable, match=r"^s3://bucket/down/a.tar: .*; the same command goes on$"):
        read_samples(f"shards:{S3}/down/a.tar")
    server.faults.reset(refusal="AccessDenied")
    with pytest.raises(BadData, match=r"\(access denied by bucket; expected credentials that may list and read it"):
        read_samples(f"shards:{S3}/down/a.tar")


def web_server(data: list[bytes], ranges: bool = True) -> Callable[..., list[bytes]]:
    """An application that serves the last of `data`, and says nothing of versions."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        header, whole = environ.get("HTTP_RANGE"), data[-1]
        if header is None or not ranges:
            start_response("200 OK", [("Content-Length", str(len(whole)))])
            return [whole]
        first, _, last = header.removeprefix("bytes=").partition("-")
        part = whole[int(first) : int(last) + 1]
        about = f"bytes {first}-{int(first) + len(part) - 1}/{len(whole)}"
        start_response("206 Partial Content", [("Content-Length", str(len(part))), ("Content-Range", about)])
        return [part]

    return app


def test_a_web_server_that_says_nothing_of_versions() -> None:
    """Nothing is kept of its shards: sizes of tars are multiples of 10 KiB, so that another one may have the same."""
    data = [tar({"a.png": png(1), "a.txt": "one"})]
    with wsgi_server(web_server(data)) as url:
        (sample,) = read_samples(f"shards:{url}/a.tar")
        assert (sample.name, sample.captions) == ("a/a", ("one",))
        assert photo(sample).getpixel((3, 3)) == (1, 9, 9)
        data.append(tar({"a.png": png(2), "a.txt": "two"}))
        assert len(data[0]) == len(data[1])
        assert read_samples(f"shards:{url}/a.tar")[0].captions == ("two",)


def test_a_web_server_without_ranges() -> None:
    with (
        wsgi_server(web_server([shard(0)], ranges=False)) as url,
        pytest.raises(BadData, match=r"found a server that gives no ranges of bytes; expected one that does"),
    ):
        read_samples(f"shards:{url}/a.tar")


@pytest.mark.parametrize("url", ["https://example.org/a.tar?X-Signature=secret", "https://me:secret@example.org/a.tar"])
@pytest.mark.parametrize("kind", ["shards", "parquet"])
def test_a_secret_in_a_url_is_refused_and_not_shown(kind: str, url: str) -> None:
    """It would be kept in run folders, model cards and reports."""
    with pytest.raises(BadData, match=r"^https://example.org/a.tar: found a query or a password in the URL") as caught:
        read_samples(f"{kind}:{url}")
    assert "secret" not in str(caught.value)


def test_an_empty_photo_is_empty_and_not_the_whole_shard(server: ObjectServer) -> None:
    server.put("empty/a.tar", tar({"a.png": b"", "a.txt": "nothing", "b.png": png(1), "b.txt": "one"}))
    sample = read_samples(f"shards:{S3}/empty/a.tar")[0]
    with pytest.raises(BadImage, match=r"^empty"):
        photo(sample)


def test_wildcards_match_no_hidden_names(server: ObjectServer) -> None:
    server.put("mac/a.tar", shard(0))
    server.put("mac/._a.tar", b"of the Finder")
    assert len(read_samples(f"shards:{S3}/mac/*.tar")) == 30
