"""Resumed downloads against a server that breaks off, ignores Range, changes the file and lies."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from tests.data.download.hostile_web import Served, Web, serving

from showtell.backoff import Backoff
from showtell.data.download.transfer import MAX_RESTARTS, Transfer
from showtell.errors import BadData, OutputError, StorageUnreachable

BODY = random.Random(0).randbytes(50_000)
OTHER = random.Random(1).randbytes(50_000)


def transfer(web: Web, folder: Path, **fields: Any) -> Transfer:
    """Of /file.zip, whose size is known, without waiting between tries."""
    options: dict[str, Any] = {
        **{"url": f"{web.url}/file.zip", "part": folder / "file.zip.part", "size": len(BODY), "max_size": 100_000},
        **{"validator": None, "remember": lambda validator: None, "progress": lambda count: None},
        **{"say": lambda line: None, "backoff": Backoff(3, sleep=lambda seconds: None), "timeout": 5.0},
    }
    return Transfer(**{**options, **fields})


def received(folder: Path) -> bytes:
    return (folder / "file.zip.part").read_bytes()


def test_a_connection_that_breaks_is_resumed_where_it_broke(tmp_path: Path) -> None:
    shown: list[int] = []
    said: list[str] = []
    with serving(file_zip=Served(BODY, breaks=[20_000, 0, 10_000])) as web:
        transfer(web, tmp_path, progress=shown.append, say=said.append).fetch()
    assert received(tmp_path) == BODY
    assert web.requests == [
        ("/file.zip", None, None),
        ("/file.zip", "bytes=20000-", '"1"'),
        ("/file.zip", "bytes=20000-", '"1"'),
        ("/file.zip", "bytes=30000-", '"1"'),
    ]
    assert shown == sorted(shown) and shown[-1] == len(BODY)
    assert said[0] == "file.zip.part: the connection broke, at 20,000 bytes; trying again" and len(said) == 3


def test_what_another_process_left_is_gone_on_with(tmp_path: Path) -> None:
    (tmp_path / "file.zip.part").write_bytes(BODY[:30_000])
    with serving(file_zip=Served(BODY)) as web:
        transfer(web, tmp_path, validator='"1"').fetch()
    assert web.requests == [("/file.zip", "bytes=30000-", '"1"')] and received(tmp_path) == BODY


def test_a_complete_part_is_not_asked_for(tmp_path: Path) -> None:
    (tmp_path / "file.zip.part").write_bytes(BODY)
    with serving(file_zip=Served(BODY)) as web:
        transfer(web, tmp_path, validator='"1"').fetch()
    assert web.requests == [] and received(tmp_path) == BODY


@pytest.mark.parametrize("size", [None, len(BODY)])
def test_a_file_that_changed_is_begun_anew(size: int | None, tmp_path: Path) -> None:
    (tmp_path / "file.zip.part").write_bytes(OTHER[:30_000])
    kept: list[str] = []
    with serving(file_zip=Served(BODY, etag='"2"')) as web:
        transfer(web, tmp_path, validator='"1"', size=size, remember=kept.append).fetch()
    assert received(tmp_path) == BODY and kept == ['"2"']


def test_a_range_of_another_version_is_not_taken(tmp_path: Path) -> None:
    """The server ignores If-Range."""
    (tmp_path / "file.zip.part").write_bytes(OTHER[:30_000])
    with serving(file_zip=Served(BODY, etag='"1"')) as web:
        web.files["/file.zip"].headers["ETag"] = '"2"'
        transfer(web, tmp_path, validator='"1"').fetch()
    assert received(tmp_path) == BODY
    assert [asked for _, asked, _ in web.requests] == ["bytes=30000-", None]


def test_a_server_that_ignores_range_sends_all_of_it(tmp_path: Path) -> None:
    with serving(file_zip=Served(BODY, ranges=False, breaks=[20_000])) as web:
        transfer(web, tmp_path).fetch()
    assert received(tmp_path) == BODY and len(web.requests) == 2


def test_another_range_than_was_asked_for_is_not_taken(tmp_path: Path) -> None:
    with serving(file_zip=Served(BODY, range_shift=7, breaks=[20_000])) as web:
        transfer(web, tmp_path).fetch()
    assert received(tmp_path) == BODY
    assert [asked for _, asked, _ in web.requests] == [None, "bytes=20000-", None]


def test_a_file_that_changes_at_every_try_ends_in_one_line(tmp_path: Path) -> None:
    class Changing(list[int]):
        """Gives each response another ETag."""

        def pop(self, index: Any = -1) -> int:
            served.headers["ETag"] = f'"{len(web.requests)}"'
            return 20_000

    served = Served(BODY, breaks=Changing([1]), is_conditional=False)
    with serving(file_zip=served) as web, pytest.raises(BadData, match="expected one file that stays the same"):
        served.headers["ETag"] = '"0"'
        transfer(web, tmp_path).fetch()
    assert len(web.requests) <= 2 * MAX_RESTARTS + 2


def test_without_a_version_only_a_file_with_a_checksum_is_resumed(tmp_path: Path) -> None:
    (tmp_path / "file.zip.part").write_bytes(BODY[:30_000])
    with serving(file_zip=Served(BODY, etag='W/"1"')) as web:  # a weak one: If-Range takes no such
        transfer(web, tmp_path).fetch()
        assert [asked for _, asked, _ in web.requests] == [None]
        (tmp_path / "file.zip.part").write_bytes(BODY[:30_000])
        transfer(web, tmp_path, can_be_checked=True).fetch()
        assert web.requests[1:] == [("/file.zip", "bytes=30000-", None)]
    assert received(tmp_path) == BODY


def test_a_date_is_a_version_too(tmp_path: Path) -> None:
    date = "Wed, 21 Oct 2015 07:28:00 GMT"
    with serving(file_zip=Served(BODY, etag=None, modified=date, breaks=[20_000])) as web:
        transfer(web, tmp_path).fetch()
    assert web.requests[1] == ("/file.zip", "bytes=20000-", date) and received(tmp_path) == BODY


def test_no_such_range_means_complete_or_anew(tmp_path: Path) -> None:
    with serving(file_zip=Served(BODY)) as web:
        (tmp_path / "file.zip.part").write_bytes(BODY)
        transfer(web, tmp_path, size=None, validator='"1"').fetch()
        assert len(web.requests) == 1 and received(tmp_path) == BODY
        (tmp_path / "file.zip.part").write_bytes(BODY + b"more")
        transfer(web, tmp_path, size=None, validator='"1"').fetch()
        assert len(web.requests) == 3 and received(tmp_path) == BODY


@pytest.mark.parametrize("length", [len(BODY) - 1, len(BODY) + 1])
def test_another_length_than_the_table_has_is_refused_before_the_first_byte(length: int, tmp_path: Path) -> None:
    problem = f"found a file of {length:,} bytes; expected 50,000"
    with serving(file_zip=Served(BODY, length=length)) as web, pytest.raises(BadData, match=problem):
        transfer(web, tmp_path).fetch()
    assert not (tmp_path / "file.zip.part").exists()


def test_a_length_that_never_comes_ends_in_exit_code_75(tmp_path: Path) -> None:
    served, problem = Served(BODY, length=60_000, ranges=False), "the same command goes on"
    with serving(file_zip=served) as web, pytest.raises(StorageUnreachable, match=problem) as caught:
        transfer(web, tmp_path, size=60_000).fetch()
    assert caught.value.exit_code == 75 and received(tmp_path) == BODY


def test_chunks_end_at_the_size_that_is_known_or_allowed(tmp_path: Path) -> None:
    with serving(file_zip=Served(BODY, chunked=True)) as web:
        transfer(web, tmp_path, size=None).fetch()
        assert received(tmp_path) == BODY
        (tmp_path / "file.zip.part").unlink()
        for options in ({"size": 40_000}, {"size": None, "max_size": 40_000}):
            with pytest.raises(BadData, match="more than 40,000 bytes"):
                transfer(web, tmp_path, **options).fetch()
            (tmp_path / "file.zip.part").unlink()


@pytest.mark.parametrize("answer", [{"headers": {"Content-Type": "text/html"}}, {"chunked": True}])
def test_the_login_of_a_network_takes_nothing_of_what_came(tmp_path: Path, answer: dict[str, Any]) -> None:
    (tmp_path / "file.zip.part").write_bytes(BODY[:30_000])
    with serving(file_zip=Served(BODY[:300], ranges=False, **answer)) as web:
        with pytest.raises(StorageUnreachable, match="30,000 of 50,000 bytes are in"):
            transfer(web, tmp_path, validator='"1"').fetch()
        web.files["/file.zip"] = Served(BODY)
        transfer(web, tmp_path, validator='"1"').fetch()
    assert received(tmp_path) == BODY


def test_a_server_that_begins_anew_and_breaks_off_is_given_up(tmp_path: Path) -> None:
    """It ignores Range, so that each try begins at nothing, and none comes further than the first."""
    served = Served(BODY, ranges=False, breaks=[20_000, 10_000] * 30)
    with serving(file_zip=served) as web:
        with pytest.raises(StorageUnreachable):
            transfer(web, tmp_path).fetch()
        assert len(web.requests) == 1 + 3


def test_a_busy_server_is_asked_again_and_a_missing_file_is_not(tmp_path: Path) -> None:
    waits: list[float] = []
    backoff = Backoff(3, sleep=waits.append, draw=lambda: 1.0)
    with serving(file_zip=Served(BODY, statuses=[503, 429])) as web:
        transfer(web, tmp_path, backoff=backoff).fetch()
        assert received(tmp_path) == BODY and waits == [1.0, 2.0]
        web.files["/file.zip"].statuses = [404]
        (tmp_path / "file.zip.part").unlink()
        with pytest.raises(BadData, match="found the status 404"):
            transfer(web, tmp_path).fetch()
        web.files["/file.zip"].statuses = [503] * 9
        with pytest.raises(StorageUnreachable, match="status 503"):
            transfer(web, tmp_path).fetch()
        assert len(web.requests) == 3 + 1 + 3


def test_redirects_are_followed_but_not_to_a_file_of_this_machine(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(OTHER)
    with serving(file_zip=Served(BODY, redirect="/real.zip"), real_zip=Served(BODY, breaks=[20_000])) as web:
        transfer(web, tmp_path).fetch()
        assert received(tmp_path) == BODY and web.requests[-1] == ("/real.zip", "bytes=20000-", '"1"')
        (tmp_path / "file.zip.part").unlink()
        for target in (secret.as_uri(), "ftp://127.0.0.1/x"):
            web.files["/file.zip"].redirect = target
            with pytest.raises(BadData):
                transfer(web, tmp_path).fetch()
        web.files["/file.zip"].redirect = "/file.zip"
        with pytest.raises(BadData, match="found the status 302"):
            transfer(web, tmp_path).fetch()
    assert not (tmp_path / "file.zip.part").exists()


def test_a_compressed_response_is_refused(tmp_path: Path) -> None:
    served = Served(BODY, headers={"Content-Encoding": "gzip"})
    with serving(file_zip=served) as web, pytest.raises(BadData, match="compressed response"):
        transfer(web, tmp_path).fetch()


def test_no_server_is_exit_code_75(tmp_path: Path) -> None:
    with serving() as web:
        pass
    with pytest.raises(StorageUnreachable, match="cannot be reached"):
        transfer(web, tmp_path).fetch()


def test_a_full_disk_is_an_output_error_and_keeps_what_came(tmp_path: Path) -> None:
    (tmp_path / "file.zip.part").symlink_to("/dev/full")
    with serving(file_zip=Served(BODY)) as web, pytest.raises(OutputError, match="what was received is kept"):
        transfer(web, tmp_path).fetch()
