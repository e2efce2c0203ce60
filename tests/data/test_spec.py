from pathlib import Path

import pytest

from showtell.data.spec import READERS, read_samples, select_split
from showtell.errors import BadConfig, BadData


@pytest.mark.parametrize("kind", ["csv", "jsonl", "folder", "flickr"])
def test_every_kind_reaches_its_reader(tmp_path: Path, kind: str) -> None:
    with pytest.raises(BadData, match="absent: found"):
        read_samples(f"{kind}:{tmp_path / 'absent'}")


def test_every_syntax_in_the_registry_begins_with_its_kind() -> None:
    assert all(reader.syntax.startswith(f"{kind}:") and reader.summary for kind, reader in READERS.items())


def test_a_reader_gets_what_follows_the_first_colon_and_each_language_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    reader = READERS["csv"]._replace(read=lambda where, languages, *_: asked.append((where, languages)) or [])
    monkeypatch.setitem(READERS, "shards", reader)
    read_samples("shards:http://x/{0..3}.tar", ["en", "ar", "en"])
    assert asked == [("http://x/{0..3}.tar", ("en", "ar"))]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("flikr:DIR", "'flikr' is no kind of data; did you mean 'flickr'"),
        (
            "/data/photos",
            "is no kind of data; expected one of: coco, cs231n, csv, features, flickr, "
            "folder, jsonl, karpathy, parquet, shapes, shards",
        ),
        ("shapes", "found nothing after 'shapes'; expected shapes:N"),
        ("csv:", "found nothing after 'csv'; expected csv:FILE"),
        ("", "is no kind of data"),
    ],
)
def test_a_spec_that_cannot_be_followed_is_refused(spec: str, message: str) -> None:
    with pytest.raises(BadConfig, match=message):
        read_samples(spec)


def test_no_languages_are_refused() -> None:
    with pytest.raises(BadConfig, match="found no languages"):
        read_samples("shapes:1", ())


def test_of_split_keeps_the_order_and_names_the_splits_that_exist() -> None:
    samples = read_samples("shapes:3")
    assert [sample.name for sample in select_split(samples, "train")] == ["train-00000", "train-00001", "train-00002"]
    assert select_split(samples, "VAL") == select_split(samples, "validation") == select_split(samples, "dev")
    with pytest.raises(BadConfig, match="no split 'tset'; did you mean 'test'"):
        select_split(samples, "tset")
    with pytest.raises(BadConfig, match="no split 'valley'; expected one of: dev, test, train"):
        select_split(samples, "valley")
