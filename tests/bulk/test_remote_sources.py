"""Object storage and web servers give what the same files give on the disk."""

from __future__ import annotations

import csv
import io
import itertools
import json
import pickle
import random
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.bulk.stub import Engine, caption
from tests.bulk.test_sources import png, red
from tests.remote.object_server import BUCKET, ObjectServer, object_server, use
from tests.skips import PACKAGES

pytest.importorskip("s3fs", reason=PACKAGES)
pytest.importorskip("moto", reason=PACKAGES)

from showtell.bulk import container_file
from showtell.bulk.run import RunOptions
from showtell.bulk.sources import count_inputs, find_inputs
from showtell.core.load_ahead import load_ahead
from showtell.core.sources import ImageInput
from showtell.errors import BadConfig, BadImage, StorageUnreachable
from showtell.folder_scan import PassedOver
from showtell.records import Caption, CaptionRow
from showtell.remote import client

S3 = f"s3://{BUCKET}"


@pytest.fixture(scope="module")
def server() -> Iterator[ObjectServer]:
    with object_server() as server:
        yield server


@pytest.fixture(autouse=True)
def _client(server: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> None:
    use(server, monkeypatch, block=100_000)
    monkeypatch.setattr(container_file, "SMALL", 10_000)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def found(*names: str, column: str | None = None) -> list[tuple[str, object]]:
    """Key and red value, or code, of each input; what reads it can go to another process."""
    images = find_inputs(names, column=column)
    sent = (replace(image, read=pickle.loads(pickle.dumps(image.read))) for image in images)  # noqa: S301
    return [(image.path, red(image)) for image in sent]


def details(*names: str) -> list[str]:
    """Code and sentence of the inputs without bytes."""
    errors = []
    for image in find_inputs(names):
        try:
            if image.error is not None:
                raise image.error
            assert image.read is not None
            image.read()
        except BadImage as error:
            errors.append(str(error))
    return errors


def upload(server: ObjectServer, folder: Path, prefix: str) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            server.put(f"{prefix}/{path.relative_to(folder).as_posix()}", path.read_bytes())


FILES = {
    "a.png": png(10),
    "b.txt": b"a caption",
    "c/d.PNG": png(20),
    "c/e/f.png": png(30),
    "g.cr2": b"raw",
    "h.cr2": png(40),
    "i.png": b"",
    "j.png": b"no picture",
    ".k.png": png(1),
    "c/.git/l.png": png(1),
    "m.attention.png": png(1),
}


@pytest.mark.parametrize("scheme", ["s3", "memory"])
def test_a_prefix_gives_what_a_folder_gives(server: ObjectServer, scheme: str) -> None:
    for name, data in FILES.items():
        path = Path("same/folder") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        if scheme == "s3":
            server.put(f"same/folder/{name}", data)
        else:
            import fsspec

            fsspec.filesystem("memory").pipe(f"/{BUCKET}/same/folder/{name}", data)
    here, there = PassedOver(), PassedOver()
    expected = {image.path: red(image) for image in find_inputs(["same/folder"], passed_over=here)}
    base = f"{scheme}://{BUCKET}"
    for name in (f"{base}/same/folder/", f"{base}/same/folder", f"{base}/same"):
        there = PassedOver()
        images = list(find_inputs([name], passed_over=there))
        assert {image.path.removeprefix(f"{base}/"): red(image) for image in images} == expected
        assert [image.path for image in images] == sorted(image.path for image in images)
    assert there.counts == here.counts == {"hidden": 2, "no picture": 1, "attention map": 1}


def test_a_list_is_read_page_by_page(server: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(7):
        server.put(f"pages/{number}/x.png", b"x")
    s3 = client.filesystem("s3")
    call = s3.call_s3
    monkeypatch.setattr(s3, "call_s3", lambda method, **arguments: call(method, MaxKeys=3, **arguments))
    server.faults.reset()
    images = find_inputs([f"{S3}/pages/"])
    assert [next(images).path for _ in range(3)] == [f"{S3}/pages/{number}/x.png" for number in range(3)]
    assert server.faults.requests == {"LIST": 1}
    assert [image.path for image in images] == [f"{S3}/pages/{number}/x.png" for number in range(3, 7)]
    assert server.faults.requests == {"LIST": 3}
    server.faults.reset()
    assert len(list(find_inputs([f"{S3}/pages/*/x.png"]))) == 7
    assert server.faults.requests["LIST"] == 1 + 3 + 7  # whether there is such a name, the level, and each folder


@pytest.mark.parametrize("scheme", ["s3", "memory", ""])
def test_wildcards_match_as_a_shell_does(server: ObjectServer, scheme: str) -> None:
    names = ["a1.png", "a2.png", "b[1].png", "b1.png", "c/a1.png", "c/d/a1.png", "c/d/e.png", "c/.a1.png"]
    for name in names:
        if scheme == "s3":
            server.put(f"glob/{name}", png(5))
        elif scheme == "memory":
            import fsspec

            fsspec.filesystem("memory").pipe(f"/{BUCKET}/glob/{name}", png(5))
        else:
            Path("glob", name).parent.mkdir(parents=True, exist_ok=True)
            Path("glob", name).write_bytes(png(5))
    base = f"{scheme}://{BUCKET}/glob" if scheme else "glob"

    def matches(pattern: str) -> list[str]:
        return [name.removeprefix(f"{base}/") for name, value in found(f"{base}/{pattern}") if value == 5]

    assert matches("a?.png") == ["a1.png", "a2.png"]
    assert matches("[ab]1.png") == ["a1.png", "b1.png"]
    assert matches("[!a]1.png") == ["b1.png"]
    assert matches("*/a1.png") == ["c/a1.png"]
    assert matches("**/a1.png") == ["a1.png", "c/a1.png", "c/d/a1.png"]
    assert matches("c/**/e.png") == ["c/d/e.png"]
    assert matches("b[1].png") == ["b[1].png"]  # a name that exists is no pattern
    assert matches("c/d*") == ["c/d/a1.png", "c/d/e.png"]
    assert [code for _, code in found(f"{base}/x*.png")] == ["missing"]
    assert count_inputs([f"{base}/a?.png"]) == (None if scheme else 2)


def shard(members: dict[str, bytes], mode: str = "w") -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=mode) as tar:  # type: ignore[call-overload]
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return data.getvalue()


def large_png(shade: int) -> bytes:
    """More than `container_file.SMALL` bytes, as the tests have it."""
    return png(shade) + random.Random(shade).randbytes(20_000)


@pytest.mark.parametrize("name", ["shard.tar", "shard.tar.gz"])
def test_a_shard_is_read_by_large_ranges(server: ObjectServer, name: str) -> None:
    members = {f"{n:03}.png": png(n) + bytes(3000) for n in range(100)} | {"large.png": large_png(101)}
    data = shard(members, "w:gz" if name.endswith("gz") else "w")
    server.put(f"shards/{name}", data)
    server.faults.reset()
    rows = found(f"{S3}/shards/{name}")
    assert rows == [(f"{S3}/shards/{name}/{n:03}.png", n) for n in range(100)] + [
        (f"{S3}/shards/{name}/large.png", 101)
    ]
    # A block, and a look at the version after it; the large photo by one range.
    assert server.faults.requests.total() <= 2 * (len(data) // 100_000 + 3)
    if name == "shard.tar":
        assert server.faults.requests["GET"] < 10
    assert found(f"{S3}/shards/{name[:7]}*{name[7:]}") == rows


def test_a_shard_that_was_cut_gives_what_it_has(server: ObjectServer) -> None:
    data = shard({f"{n:03}.png": png(n) for n in range(8)})
    server.put("cut.tar", data[:4000])
    rows = found(f"{S3}/cut.tar")
    assert rows[-1] == (f"{S3}/cut.tar", "truncated") and len(rows) > 1
    assert rows[:-1] == [(f"{S3}/cut.tar/{n:03}.png", n) for n in range(len(rows) - 1)]


def test_an_object_that_changes_while_it_is_read_gives_no_bytes_of_another(server: ObjectServer) -> None:
    def put(shift: int) -> None:
        server.put("changing.tar", shard({f"{n:03}.png": large_png(n + shift) for n in range(30)}))

    put(0)
    images = find_inputs([f"{S3}/changing.tar"])
    first = next(images)
    put(100)
    assert red(first) == "unreadable"
    rest = [red(image) for image in images]
    assert set(rest) == {"unreadable"} and len(rest) < 30
    put(0)
    images = find_inputs([f"{S3}/changing.tar"])
    first = next(images)
    server.client.delete_object(Bucket=BUCKET, Key="changing.tar")
    assert red(first) == "unreadable"


def test_parquet_is_read_by_ranges(server: ObjectServer) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    values = [{"bytes": png(n), "path": "x"} for n in range(40)] + [{"bytes": None, "path": "a.png"}, None]
    parquet.write_table(arrow.table({"image": values, "n": range(len(values))}), "part.parquet")
    server.put("hub/part.parquet", Path("part.parquet").read_bytes())
    server.put("hub/a.png", png(70))
    expected: list[tuple[str, object]] = [(f"{S3}/hub/part.parquet#{n}", n) for n in range(40)]
    rows = found(f"{S3}/hub/part.parquet")
    assert rows == [*expected, ("a.png", 70), (f"{S3}/hub/part.parquet#41", "missing")]
    with pytest.raises(BadConfig, match="found n of the type int64"):
        found(f"{S3}/hub/part.parquet", column="n")


def test_cells_of_a_remote_table(server: ObjectServer) -> None:
    server.put("tables/a.png", png(10))
    server.put("tables/sub/b c.png", png(20))
    server.put("d.png", png(30))
    Path("local.png").write_bytes(png(40))
    cells: list[tuple[str, object]] = [
        *(("a.png", 10), ("sub/b c.png", 20), ("../d.png", 30), (f"{S3}/d.png", 30), ("./a.png", 10)),
        *(("gone.png", "missing"), ("../../e.png", "url_refused"), (str(Path("local.png").resolve()), "url_refused")),
        *(("C:\\local.png", "url_refused"), ("file:///etc/a.png", "missing"), ("https://example.org/c.png", "missing")),
    ]  # the last two, without `with_urls`, which refuses the one and fetches the other
    table = io.StringIO()
    csv.writer(table).writerows([["id", "image"], *enumerate(cell for cell, _ in cells)])
    server.put("tables/t.csv", table.getvalue().encode())
    server.put("tables/t.jsonl", "".join(json.dumps({"image": cell}) + "\n" for cell, _ in cells).encode())
    assert found(f"{S3}/tables/t.csv") == found(f"{S3}/tables/t.jsonl") == cells
    Path("here.csv").write_text(f"image\n{S3}/d.png\nlocal.png\n")
    assert found("here.csv") == [(f"{S3}/d.png", 30), ("local.png", 40)]


def test_a_list_on_standard_input_names_objects_and_prefixes(server: ObjectServer) -> None:
    server.put("list/a.png", png(10))
    server.put("list/b*.png", png(20))
    stdin = io.BytesIO(f"{S3}/list/\n{S3}/list/b*.png\n{S3}/list/x*.png\n".encode())
    rows = [(image.path, red(image)) for image in find_inputs(["-"], io.BufferedReader(stdin))]  # type: ignore[arg-type]
    expected = [("a.png", 10), ("b*.png", 20), ("b*.png", 20), ("x*.png", "missing")]
    assert rows == [(f"{S3}/list/{name}", value) for name, value in expected]


def test_what_is_not_there_is_one_sentence(server: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert details("s3://other/a.png", "s3://other/", f"{S3}/gone.png", f"{S3}/gone.tar", f"{S3}/gone/") == [
        *["missing: no bucket other; check its name and AWS_ENDPOINT_URL"] * 2,
        *["missing: no such object"] * 2,
        "missing: no images in this folder; check its name and that of the bucket",
    ]
    monkeypatch.setattr(client, "_filesystems", {})
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert details(f"{S3}/a.png") == [
        "url_failed: found no connection to bucket; check the network and AWS_ENDPOINT_URL; tried 7 times"
    ]
    monkeypatch.setattr(client, "_filesystems", {})
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(Path.cwd()))
    with pytest.raises(BadConfig, match="s3://bucket: found no credentials; set AWS_PROFILE, or AWS_ACCESS_KEY_ID"):
        details(f"{S3}/a.png")


def test_faults_of_the_server_are_not_seen(server: ObjectServer) -> None:
    for number in range(40):
        server.put(f"many/{number:03}.png", png(number))
    server.put("many.tar", shard({f"{n:03}.png": png(n) + bytes(5000) for n in range(40)}))
    server.faults.reset(every=6, seed=1)
    assert found(f"{S3}/many/") == [(f"{S3}/many/{n:03}.png", n) for n in range(40)]
    assert found(f"{S3}/many.tar") == [(f"{S3}/many.tar/{n:03}.png", n) for n in range(40)]
    assert min(server.faults.failed[fault] for fault in ("503", "500", "cut")) > 0


@pytest.mark.parametrize("name", ["many/", "many/*.png", "many.tar"])
def test_a_listing_or_shard_that_cannot_be_read_now_ends_the_run(server: ObjectServer, name: str) -> None:
    """With a row in place of the rest, the run would be complete without it."""
    server.put("many/1.png", png(1))
    server.put("many.tar", shard({"1.png": png(1)}))
    server.faults.reset(every=1)
    with pytest.raises(StorageUnreachable, match="the same command goes on") as caught:
        list(find_inputs([f"{S3}/{name}"]))
    assert caught.value.exit_code == 75


def test_what_is_no_url_is_a_row() -> None:
    (image,) = find_inputs(["https://[bad/list.csv"])
    assert image.path == "https://[bad/list.csv"


def test_what_fails_all_the_time_is_a_row(server: ObjectServer) -> None:
    server.put("always.png", png(1))
    server.faults.reset(every=1)
    codes = {error.partition(":")[0] for error in details(*[f"{S3}/always.png"] * 3)}
    assert codes == {"url_failed"} and server.faults.requests["GET"] == 3 * 7


def test_credentials_that_end_stop_the_run_and_an_object_that_is_denied_is_a_row(server: ObjectServer) -> None:
    server.faults.reset(refusal="AccessDenied")
    denied = "unreadable: access denied by bucket; expected credentials that may list and read it; ask its owner"
    assert details(f"{S3}/a.png", f"{S3}/folder/", f"{S3}/shard.tar") == [denied] * 3
    server.faults.reset(refusal="ExpiredToken")
    for name in ("a.png", "folder/"):
        with pytest.raises(
            BadConfig, match=r"s3://bucket: found credentials that were refused \(ExpiredToken\); set AWS_"
        ):
            details(f"{S3}/{name}")
    assert server.faults.requests.total() == 2  # not tried again


def reading(images: Iterator[ImageInput]) -> Iterator[CaptionRow]:
    """An engine that loads ahead, as the captioner does, and writes the colour of a photo."""
    for batch in load_ahead(images, red, 8):
        for image, value in batch:
            if isinstance(value, str):
                yield CaptionRow(image, error=value, detail="")
            else:
                yield CaptionRow(image, (Caption(f"a photo of {value}", 0.0, 0.5, (), "en"),))


@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_a_run_with_faults_that_is_interrupted_has_the_rows_of_a_local_one(server: ObjectServer, kind: str) -> None:
    members = {f"{n:03}.png": png(n) for n in range(30)} | {"030.png": b"no photo"}
    for name, data in members.items():
        Path("run/folder").mkdir(parents=True, exist_ok=True)
        Path("run/folder", name).write_bytes(data)
    Path("run/shard.tar").write_bytes(shard(members))
    upload(server, Path("run"), f"run-{kind}")
    name = {"folder": "folder/", "tar": "shard.tar"}[kind]
    inputs = (f"{S3}/run-{kind}/{name}",)

    def run(output: str, inputs: tuple[str, ...], rows: Engine, *, retry: bool = False) -> bytes:
        options = RunOptions(retry_failed=retry)
        caption(output, find_inputs(inputs), rows=rows, inputs=inputs, options=options)
        return Path(output).read_bytes()

    expected = run("local.jsonl", (f"run/{name}",), reading)

    def stopping(images: Iterator[ImageInput]) -> Iterator[CaptionRow]:
        yield from itertools.islice(reading(images), 12)
        raise KeyboardInterrupt

    server.faults.reset(every=4, seed=2)
    with pytest.raises(KeyboardInterrupt):
        run("remote.jsonl", inputs, stopping)
    found = run("remote.jsonl", inputs, reading)
    assert found.replace(f"{S3}/run-{kind}".encode(), b"run") == expected
    assert server.faults.failed.total() > 0
    server.faults.reset(refusal="AccessDenied")
    if kind == "folder":
        failed = run("denied.jsonl", tuple(f"{S3}/run-{kind}/folder/{name}" for name in members), reading)
        assert failed.count(b'"unreadable"') == len(members)
        server.faults.reset()
        again = run("denied.jsonl", tuple(f"{S3}/run-{kind}/folder/{name}" for name in members), reading, retry=True)
        assert again == found
