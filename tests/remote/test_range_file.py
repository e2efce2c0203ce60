"""A file by ranges against the same bytes in memory, at random places; and which blocks are fetched."""

from __future__ import annotations

import io
import random
import threading

import pytest

from showtell.remote.range_file import RangeFile

DATA = random.Random(0).randbytes(1000)


def test_it_reads_as_bytes_in_memory_do() -> None:
    dice = random.Random(1)
    for size in (0, 1, 64, 65, 1000):
        fetched: list[int] = []

        def fetch(start: int, end: int, size: int = size, fetched: list[int] = fetched) -> bytes:
            assert start % 64 == 0 and start < end <= min(start + 64, size)
            fetched.append(start)
            return DATA[start:end]

        expected = io.BytesIO(DATA[:size])
        with io.BufferedReader(RangeFile(size, fetch, 64), 16) as file:
            for _ in range(300):
                whence = dice.choice([io.SEEK_SET, io.SEEK_CUR, io.SEEK_END])
                offset = dice.randrange(-30, 30) if whence else dice.randrange(size + 10)
                if whence == io.SEEK_SET or (
                    expected.tell() + offset >= 0 and (whence == io.SEEK_CUR or size + offset >= 0)
                ):
                    assert file.seek(offset, whence) == expected.seek(offset, whence)
                count = dice.choice([0, 1, 7, 64, 200])
                assert file.read(count) == expected.read(count) and file.tell() == expected.tell()


def test_in_order_each_block_is_fetched_once_the_next_one_ahead() -> None:
    fetched: list[int] = []
    ahead = threading.Event()

    def fetch(start: int, end: int) -> bytes:
        fetched.append(start)
        if start == 100:
            ahead.set()
        return DATA[start:end]

    with RangeFile(1000, fetch, 100) as file:
        assert file.read(1) == DATA[:1]
        assert ahead.wait(60)
        file.seek(0)
        assert b"".join(iter(lambda: file.read(30), b"")) == DATA
    assert sorted(fetched) == list(range(0, 1000, 100))


def test_at_random_nothing_is_fetched_ahead_and_an_error_is_raised_where_its_bytes_are_read() -> None:
    fetched: list[int] = []

    def fetch(start: int, end: int) -> bytes:
        fetched.append(start)
        if start == 600:
            raise OSError("gone")
        return DATA[start:end]

    with RangeFile(1000, fetch, 100) as file:
        for place in (950, 510, 730):
            file.seek(place)
            assert file.read(10) == DATA[place : place + 10]
        assert fetched == [900, 500, 700]
        file.seek(600)
        with pytest.raises(OSError, match="gone"):
            file.read(1)
