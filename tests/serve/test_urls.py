import asyncio
import threading
import time
from typing import Any

import pytest

from showtell.errors import BadImage
from showtell.fetch.fetch import Fetcher
from showtell.serve.batcher import Stopping
from showtell.serve.intake import Url
from showtell.serve.limits import Limits
from showtell.serve.urls import OF_ONE_CLIENT, OF_ONE_REQUEST, TOGETHER, Urls


class SlowWeb(Fetcher):
    """`slow...` answers when `go` is set, `gone...` is refused, `large` has 10 bytes, any other its own name."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.lock = threading.Lock()
        self.running = self.most = self.asked = 0
        self.urls: list[str] = []

    def fetch(self, url: str) -> bytes:
        with self.lock:
            self.asked += 1
            self.urls.append(url)
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
    assert web.running == OF_ONE_CLIENT, "of a client that left, too, no more than it may have"
    web.go.set()
    # What had not begun was dropped.
    assert asyncio.run(urls.fetched([Url("next")])) == [b"next"]
    assert (web.most, web.asked) == (OF_ONE_CLIENT, OF_ONE_CLIENT + 1)


async def until_running(web: SlowWeb, count: int) -> None:
    end = time.monotonic() + 10
    while web.running != count:
        assert time.monotonic() < end, f"{web.running} of {count}"
        await asyncio.sleep(0.01)


def test_a_client_with_many_requests_leaves_room_for_others(web: SlowWeb) -> None:
    urls = Urls(web, Limits())

    async def ask() -> None:
        hogs = [asyncio.create_task(urls.fetched([Url("slow")] * 32, "greedy")) for _ in range(10)]
        await until_running(web, OF_ONE_CLIENT)
        assert OF_ONE_CLIENT <= TOGETHER // 2
        many = [Url(f"{n}") for n in range(32)]
        assert await urls.fetched(many, "modest") == [str(each).encode() for each in many]
        assert web.running == OF_ONE_CLIENT
        web.go.set()
        await asyncio.gather(*hogs)

    asyncio.run(ask())
    assert web.most <= TOGETHER


def test_whoever_has_fewest_is_next(web: SlowWeb) -> None:
    urls = Urls(web, Limits())

    async def ask() -> None:
        hogs = [asyncio.create_task(urls.fetched([Url(f"slow{n}")] * 32, f"{n % 2}")) for n in range(8)]
        await until_running(web, TOGETHER)
        third = asyncio.create_task(urls.fetched([Url("third")], "third"))
        await asyncio.sleep(0.05)
        assert "third" not in web.urls, "all threads are taken"
        web.go.set()
        await asyncio.gather(*hogs, third)

    asyncio.run(ask())
    # It is begun by the first thread that ends; of those that end meanwhile, the next may be noted before it.
    assert web.urls.index("third") <= 2 * TOGETHER and len(web.urls) == 8 * 32 + 1


def test_stopping_lets_go_of_whoever_waits_and_of_whoever_comes(web: SlowWeb) -> None:
    urls = Urls(web, Limits())

    async def ask() -> None:
        asking = [asyncio.create_task(urls.fetched([b"bytes", *[Url("slow")] * 32], f"{n}")) for n in range(5)]
        await until_running(web, TOGETHER)
        urls.stop()
        done, late = await asyncio.wait(asking, timeout=5)
        assert not late and all(isinstance(each.exception(), Stopping) for each in done)
        with pytest.raises(Stopping):
            await urls.fetched([Url("new")])
        assert await urls.fetched([b"bytes"]) == [b"bytes"], "that is for the batcher to refuse"

    asyncio.run(ask())
    assert web.asked == TOGETHER, "no fetch begins any more"


def test_all_of_a_request_share_the_bytes_of_one_body(web: SlowWeb) -> None:
    assert fetched(web, Url("large"), Url("1234"), body_bytes=15) == [b"x" * 10, b"1234"]
    assert sorted(map(str, fetched(web, Url("large"), Url("large"), body_bytes=15))) == [str(b"x" * 10), "too_large"]
