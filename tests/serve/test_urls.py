import asyncio
import threading
import time
from typing import Any

import pytest

from showtell.errors import BadImage
from showtell.fetch.fetch import Fetcher
from showtell.serve.intake import Url
from showtell.serve.limits import Limits
from showtell.serve.urls import OF_ONE_REQUEST, TOGETHER, Urls


class SlowWeb(Fetcher):
    """`slow...` answers when `go` is set, `gone...` is refused, `large` has 10 bytes, any other its own name."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.lock = threading.Lock()
        self.running = self.most = self.asked = 0

    def fetch(self, url: str) -> bytes:
        with self.lock:
            self.asked += 1
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            if url.startswith("slow"):
                assert self.go.wait(20)
            if url.startswith("gone"):
                raise BadImage("url_failed", "found no address of the host")
            return b"x" * 10 if url == "large" else url.encode()
        finally:
            with self.lock:
                self.running -= 1


@pytest.fixture
def web() -> Any:
    web = SlowWeb()
    yield web
    web.go.set()


def seen(source: Any) -> Any:
    """The bytes, or the code of what is wrong."""
    try:
        return source() if callable(source) else source
    except BadImage as error:
        return error.code


def fetched(web: SlowWeb, *sources: Any, **limits: Any) -> list[Any]:
    urls = Urls(web, Limits(**limits))
    return [seen(each) for each in asyncio.run(urls.fetched(sources))]


def test_urls_become_bytes_and_other_images_stay(web: SlowWeb) -> None:
    found = fetched(web, b"bytes", Url("one"), Url("gone"), b"more", Url("two"))
    assert found == [b"bytes", b"one", "url_failed", b"more", b"two"]
    assert fetched(web, b"bytes") == [b"bytes"] and web.asked == 3


def test_dead_hosts_do_not_take_the_others_with_them(web: SlowWeb) -> None:
    begin = time.monotonic()
    dead = [Url(f"slow{n}") for n in range(OF_ONE_REQUEST - 1)]
    found = fetched(web, *dead, Url("good"), b"bytes", deadline=1, upload_seconds=1)
    assert found == ["url_failed"] * len(dead) + [b"good", b"bytes"]
    assert time.monotonic() - begin < 5, "half of the deadline, and not the time of all one after the other"


def test_one_request_leaves_room_for_others(web: SlowWeb) -> None:
    urls = Urls(web, Limits(deadline=5, upload_seconds=1))

    async def both() -> list[Any]:
        hog = asyncio.create_task(urls.fetched([Url(f"slow{n}") for n in range(32)]))
        await asyncio.sleep(0.2)
        assert web.running == OF_ONE_REQUEST
        modest = await urls.fetched([Url("modest")])
        web.go.set()
        await hog
        return modest

    assert asyncio.run(both()) == [b"modest"]


def test_clients_that_leave_do_not_add_to_what_runs(web: SlowWeb) -> None:
    urls = Urls(web, Limits())

    async def leave() -> None:
        for _ in range(10):
            asking = asyncio.create_task(urls.fetched([Url(f"slow{n}") for n in range(32)]))
            await asyncio.sleep(0.02)
            asking.cancel()
            await asyncio.wait([asking])

    asyncio.run(leave())
    assert 0 < web.running <= TOGETHER
    web.go.set()
    # What had not begun was dropped.
    assert asyncio.run(urls.fetched([Url("next")])) == [b"next"]
    assert web.most <= TOGETHER and web.asked <= TOGETHER + 1


def test_all_of_a_request_share_the_bytes_of_one_body(web: SlowWeb) -> None:
    assert fetched(web, Url("large"), Url("1234"), body_bytes=15) == [b"x" * 10, b"1234"]
    assert sorted(map(str, fetched(web, Url("large"), Url("large"), body_bytes=15))) == [str(b"x" * 10), "too_large"]
