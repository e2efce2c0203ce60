"""A whole data set from a local server into a folder, with a catalogue of the test."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.data.download.hostile_web import Served, Web, serving

from showtell.backoff import Backoff
from showtell.data.download.catalogue import CATALOGUE, GIGABYTE, Archive, Content, DataSet
from showtell.data.download.get import Download
from showtell.data.download.record import Record
from showtell.data.spec import read_samples
from showtell.errors import BadConfig, BadData, OutputError
from showtell.progress import ProgressReporter


def jpeg(shade: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (shade, 90, 30)).save(file, "JPEG")
    return file.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name, data in files.items():
            file.writestr(zipfile.ZipInfo(name), data)  # without the time, so that every process makes the same
    return content.getvalue()


def captions(names: list[str]) -> bytes:
    images = [{"id": n, "file_name": name} for n, name in enumerate(names)]
    annotations = [{"image_id": n, "caption": f"a dog on {name}"} for n, name in enumerate(names)]
    return json.dumps({"images": images, "annotations": annotations}).encode()


PHOTOS = {split: {f"{split}2014/{n}.jpg": jpeg(40 * n) for n in range(3)} for split in ("train", "val")}
ZIPS = {split: zipped(files) for split, files in PHOTOS.items()}
NOTES = zipped(
    {f"annotations/captions_{split}2014.json": captions([f"{n}.jpg" for n in range(3)]) for split in ("train", "val")}
    | {"annotations/instances_train2014.json": b"{}"}
)


def coco(web: Web, published: bool = True) -> DataSet:
    """COCO 2014 with six photos."""

    def archive(name: str, data: bytes, *contents: Content) -> Archive:
        known: dict[str, Any] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()} if published else {}
        return Archive(name, contents, 100_000, f"{web.url}/{name}", **known)

    paths = [Content(f"annotations/captions_{split}2014.json") for split in ("train", "val")]
    return DataSet(
        "Small COCO",
        "https://example.org",
        "Only for tests.",
        "coco:{folder},2014",
        (
            archive("notes.zip", NOTES, *paths),
            *(archive(f"{split}.zip", data, Content(f"{split}2014", 3)) for split, data in ZIPS.items()),
        ),
    )


def serving_coco(**changes: Served) -> Any:
    files = {"notes_zip": Served(NOTES), "train_zip": Served(ZIPS["train"]), "val_zip": Served(ZIPS["val"])}
    return serving(**{**files, **changes})


def download(data_set: DataSet, folder: Path, **options: Any) -> Download:
    task = Download(data_set, folder, ProgressReporter(), Backoff(2, sleep=lambda seconds: None), **options)
    task.run()
    return task


def names(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


WHOLE = sorted(
    [".showtell-data.json", *(f"annotations/captions_{split}2014.json" for split in ("train", "val"))]
    + [name for files in PHOTOS.values() for name in files]
)


def test_a_folder_that_the_reader_reads_and_a_second_call_that_asks_for_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "coco"
    with serving_coco(train_zip=Served(ZIPS["train"], breaks=[700])) as web:
        download(coco(web), folder)
        samples = read_samples(coco(web).spec.format(folder=folder), ["en"])
        assert [(s.split, s.image) for s in samples] == [
            (split, folder / name) for split, key in (("train", "train"), ("dev", "val")) for name in PHOTOS[key]
        ]
        assert (folder / "train2014" / "1.jpg").read_bytes() == PHOTOS["train"]["train2014/1.jpg"]
        assert names(folder) == WHOLE and len(web.requests) == 4
        assert Download(coco(web), folder, ProgressReporter()).steps() == []
        assert len(web.requests) == 4


def test_wrong_bytes_are_fetched_twice_and_then_refused(tmp_path: Path) -> None:
    wrong = bytearray(ZIPS["train"])
    wrong[300] ^= 1
    with serving_coco(train_zip=Served(bytes(wrong))) as web:
        with pytest.raises(BadData, match="SHA-256") as caught:
            download(coco(web), tmp_path)
        assert hashlib.sha256(ZIPS["train"]).hexdigest() in str(caught.value)
        assert [path for path, _, _ in web.requests].count("/train.zip") == 2
        assert not (tmp_path / "train2014").exists() and not list(tmp_path.glob("train.zip*"))
        web.files["/train.zip"] = Served(ZIPS["train"])
        before = len(web.requests)
        download(coco(web), tmp_path)
        assert [path for path, _, _ in web.requests[before:]] == ["/train.zip", "/val.zip"]
    assert names(tmp_path) == WHOLE


def test_a_damaged_part_is_found_and_fetched_anew(tmp_path: Path) -> None:
    (tmp_path / "train.zip.part").write_bytes(b"of another file" * 20)
    with serving_coco() as web:
        download(coco(web), tmp_path)
        asked = [asked for path, asked, _ in web.requests if path == "/train.zip"]
    assert asked == ["bytes=300-", None] and names(tmp_path) == WHOLE


def test_a_checksum_that_nobody_publishes_is_printed_and_recorded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = hashlib.sha256(ZIPS["val"]).hexdigest()
    with serving_coco() as web:
        download(coco(web, published=False), tmp_path)
        assert f"val.zip: {len(ZIPS['val']):,} bytes, SHA-256 {digest}" in capsys.readouterr().err
        record = json.loads((tmp_path / ".showtell-data.json").read_text())
        assert record["val.zip"]["sha256"] == digest and record["val.zip"]["size"] == len(ZIPS["val"])
        for photo in (tmp_path / "val2014").iterdir():
            photo.unlink()
        web.files["/val.zip"] = Served(ZIPS["val"] + b"x")
        with pytest.raises(BadData, match=f"expected {digest}, as at the first download"):
            download(coco(web, published=False), tmp_path)


def test_a_page_in_the_place_of_an_archive_is_removed(tmp_path: Path) -> None:
    with serving_coco(notes_zip=Served(b"<html>please log in</html>")) as web:
        with pytest.raises(BadData, match="a broken archive"):
            download(coco(web, published=False), tmp_path)
        web.files["/notes.zip"] = Served(NOTES)
        download(coco(web, published=False), tmp_path)
    assert names(tmp_path) == WHOLE


def test_what_the_user_has_already_is_counted_and_kept(tmp_path: Path) -> None:
    for name, data in PHOTOS["train"].items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    (tmp_path / "val.zip").write_bytes(ZIPS["val"])
    with serving_coco() as web:
        download(coco(web), tmp_path)
        assert [path for path, _, _ in web.requests] == ["/notes.zip"]
        assert (tmp_path / "val.zip").read_bytes() == ZIPS["val"]  # it was not downloaded here
        (tmp_path / "train2014" / "1.jpg").unlink()
        with pytest.raises(BadData, match="found 2 photos; expected 3"):
            Download(coco(web), tmp_path, ProgressReporter()).steps()
        (tmp_path / "train2014" / "1.jpg").write_bytes(PHOTOS["train"]["train2014/1.jpg"])
        (tmp_path / "val2014" / "1.jpg").write_bytes(b"cut")
        with pytest.raises(BadData, match=r"bytes; expected .* as were unpacked"):
            Download(coco(web), tmp_path, ProgressReporter()).steps()


def test_an_archive_that_the_user_put_there_is_checked(tmp_path: Path) -> None:
    (tmp_path / "val.zip").write_bytes(ZIPS["val"][:-1])
    with serving_coco() as web, pytest.raises(BadData, match=r"val\.zip: found .* bytes; expected"):
        download(coco(web), tmp_path)


def test_a_run_that_was_killed_before_it_removed_an_archive(tmp_path: Path) -> None:
    with serving_coco() as web:
        download(coco(web), tmp_path)
        (tmp_path / "val.zip").write_bytes(ZIPS["val"])
        Record(tmp_path).note("val.zip", downloaded=1)
        download(coco(web), tmp_path)
        assert len(web.requests) == 3
    assert names(tmp_path) == WHOLE


def test_an_archive_that_the_user_puts_there_later_stays(tmp_path: Path) -> None:
    with serving_coco() as web:
        download(coco(web), tmp_path)
        (tmp_path / "val.zip").write_bytes(ZIPS["val"])
        assert Download(coco(web), tmp_path, ProgressReporter()).steps() == []
        download(coco(web), tmp_path)
    assert names(tmp_path) == sorted([*WHOLE, "val.zip"])


@pytest.mark.parametrize("kind", ["other files", "link"])
def test_what_is_in_the_place_of_photos_is_refused_before_the_download(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "coco"
    folder.mkdir()
    if kind == "link":
        (tmp_path / "large disk").mkdir()
        (folder / "train2014").symlink_to(tmp_path / "large disk")
    else:
        (folder / "train2014").mkdir()
        (folder / "train2014" / ".DS_Store").write_bytes(b"x")
    with serving_coco() as web:
        with pytest.raises(BadData, match=r"train2014: found .*; expected the photos, an empty folder, or none"):
            download(coco(web), folder)
        assert web.requests == []


def test_what_another_run_has_done_meanwhile_is_not_done_again(tmp_path: Path) -> None:
    with serving_coco() as web:
        task = Download(coco(web), tmp_path, ProgressReporter(), Backoff(2, sleep=lambda seconds: None))
        assert len(task.steps()) == 3  # and then it asks whether the user agrees
        download(coco(web), tmp_path)
        task.run()
        assert len(web.requests) == 3
    assert names(tmp_path) == WHOLE


def test_a_disk_without_room_is_seen_first(tmp_path: Path) -> None:
    with serving_coco() as web:
        with pytest.raises(OutputError, match="GB are needed") as caught:
            download(coco(web), tmp_path / "new", free=lambda folder: 100_000)
        assert caught.value.exit_code == 3 and web.requests == []
        download(coco(web), tmp_path / "new", free=lambda folder: 110_000)


def test_two_runs_at_once(tmp_path: Path) -> None:
    with serving_coco() as web:
        task = Download(coco(web), tmp_path, ProgressReporter())
        with task._folder_locked(), pytest.raises(BadConfig, match="another run downloads to it"):
            download(coco(web), tmp_path)


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "coco").write_text("mine")
    with pytest.raises(BadConfig, match="is a file; expected a folder"):
        Download(CATALOGUE["coco2014"], tmp_path / "coco", ProgressReporter())


def flickr(web: Web) -> DataSet:
    """As Flickr30k: captions from a server, photos from a form."""
    images = Archive("images.tar.gz", (Content("flickr30k-images", 2),), 100_000, other_name="images.tar")
    tokens = Archive("tokens.tar.gz", (Content("results_20130124.token"),), 100_000, f"{web.url}/tokens.tar.gz")
    optional = Archive(images.name, images.contents, 100_000, other_name=images.other_name, is_optional=True)
    return DataSet(
        "Small Flickr", "https://e.org", "Terms", "flickr:{folder}", (tokens, optional), "https://e.org/form"
    )


def tarred(files: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as file:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return content.getvalue()


def test_photos_of_a_form_are_asked_for_and_unpacked_where_they_are_put(tmp_path: Path) -> None:
    tokens = b"".join(b"%d.jpg#%d\tA dog runs\n" % (n, i) for n in range(2) for i in range(5))
    with serving(tokens_tar_gz=Served(tarred({"results_20130124.token": tokens, "readme.txt": b"hello"}))) as web:
        task = download(flickr(web), tmp_path)
        assert task.missing() and "https://e.org/form" in task.how_to_request()
        (tmp_path / "images.tar").write_bytes(tarred({f"./flickr30k-images/{n}.jpg": jpeg(n) for n in range(2)}))
        task = download(flickr(web), tmp_path)
        assert not task.missing() and len(web.requests) == 1
    assert len(read_samples(f"flickr:{tmp_path}", ["en"])) == 2
    assert (tmp_path / "images.tar").exists()


def test_the_catalogue_is_complete_and_official() -> None:
    hosts = {archive.url.split("/")[2] for d in CATALOGUE.values() for archive in d.archives if archive.url}
    assert hosts == {"images.cocodataset.org", "shannon.cs.illinois.edu"}
    for data_set in CATALOGUE.values():
        for archive in data_set.archives:
            # What has no checksum comes over TLS, or from the user.
            assert archive.sha256 or not archive.url or archive.url.startswith("https:")
            assert archive.url or data_set.form
            assert archive.sha256 is None or len(bytes.fromhex(archive.sha256)) == 32
            assert archive.max_unpacked <= 22 * GIGABYTE
