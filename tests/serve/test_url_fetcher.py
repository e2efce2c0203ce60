import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tests.clocks import HANG_SECONDS, SkippableLoop, until, until_async

from showtell.errors import BadImage
from showtell.fetch.fetch import Fetcher
from showtell.serve.limits import Limits
from showtell.serve.queue_errors import ShuttingDown
from showtell.serve.request_parsing import Url
from showtell.serve.url_fetcher import MAX_FETCHES, MAX_FETCHES_PER_CLIENT, MAX_FETCHES_PER_REQUEST, UrlFetcher

HOUR = 3600.0


class FakeFetcher(Fetcher):
    """`slow...` returns when it is released, `gone...` is refused, `large` has 10 bytes, any other its own name."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()
        self.running = self.most_running = 0
        self.urls: list[str] = []
        self._permits = threading.Semaphore(0)

    def release(self, count: int = 1) -> None:
        self._permits.release(count)

    def release_all(self) -> None:
        self.release(10_000)

    def fetch(self, url: str) -> bytes:
        with self.lock:
            self.urls.append(url)
            self.running += 1
            self.most_running = max(self.most_running, self.running)
        try:
            if url.startswith("slow"):
                assert self._permits.acquire(timeout=HANG_SECONDS)
            if url.startswith("gone"):
                raise BadImage("url_failed", "found no address of the host")
            return b"x" * 10 if url == "large" else url.encode()
        finally:
            with self.lock:
                self.running -= 1


@pytest.fixture
def web() -> Iterator[FakeFetcher]:
    web = FakeFetcher()
    yield web
    web.release_all()


def fetcher(web: FakeFetcher, **limits: Any) -> UrlFetcher:
    return UrlFetcher(web, Limits(**{"request_timeout": 2 * HOUR, **limits}))


def result(image: Any) -> Any:
    """The bytes, or the error code."""
    try:
        return image() if callable(image) else image
    except BadImage as error:
        return error.code


def fetch_all(web: FakeFetcher, *images: Any, **limits: Any) -> list[Any]:
    return [result(image) for image in asyncio.run(fetcher(web, **limits).fetch_all(images))]


async def until_running(web: FakeFetcher, count: int) -> None:
    await until_async(lambda: web.running == count)


async def let_tasks_run() -> None:
    """Until all that have begun wait for a download."""
    for _ in range(10):
        await asyncio.sleep(0)


def test_urls_become_bytes_and_other_images_stay(web: FakeFetcher) -> None:
    results = fetch_all(web, b"bytes", Url("one"), Url("gone"), b"more", Url("two"))
    assert results == [b"bytes", b"one", "url_failed", b"more", b"two"]
    assert fetch_all(web, b"bytes") == [b"bytes"] and len(web.urls) == 3


def test_dead_hosts_do_not_take_the_others_with_them(web: FakeFetcher) -> None:
    """They end after half of the time for the request."""
    dead = [Url(f"slow{n}") for n in range(MAX_FETCHES_PER_REQUEST - 1)]
    loop = SkippableLoop()

    async def request() -> list[Any]:
        task = asyncio.create_task(fetcher(web, request_timeout=2 * HOUR).fetch_all([*dead, Url("good"), b"bytes"]))
        # This one, the request, and a download of each dead host: the good one is done.
        await until_async(lambda: "good" in web.urls and len(asyncio.all_tasks()) == 2 + len(dead))
        loop.advance(HOUR - 60)
        await let_tasks_run()
        assert not task.done()
        loop.advance(60)
        return await task

    try:
        results = loop.run_until_complete(request())
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
    assert [result(image) for image in results] == ["url_failed"] * len(dead) + [b"good", b"bytes"]


def test_one_request_leaves_threads_for_others(web: FakeFetcher) -> None:
    urls = fetcher(web)

    async def requests() -> list[Any]:
        large = asyncio.create_task(urls.fetch_all([Url(f"slow{n}") for n in range(32)]))
        await until_running(web, MAX_FETCHES_PER_REQUEST)
        small = await urls.fetch_all([Url("small")])
        assert web.running == MAX_FETCHES_PER_REQUEST
        web.release_all()
        await large
        return small

    assert asyncio.run(requests()) == [b"small"]


def test_cancelled_requests_do_not_add_to_what_runs(web: FakeFetcher) -> None:
    urls = fetcher(web)

    async def cancel() -> None:
        for _ in range(10):
            task = asyncio.create_task(urls.fetch_all([Url(f"slow{n}") for n in range(32)]))
            await let_tasks_run()
            task.cancel()
            await asyncio.wait([task])

    asyncio.run(cancel())
    until(lambda: web.running == MAX_FETCHES_PER_CLIENT)
    web.release_all()
    # What had not begun was dropped.
    assert asyncio.run(urls.fetch_all([Url("next")])) == [b"next"]
    assert (web.most_running, len(web.urls)) == (MAX_FETCHES_PER_CLIENT, MAX_FETCHES_PER_CLIENT + 1)


def test_a_client_with_many_requests_leaves_threads_for_others(web: FakeFetcher) -> None:
    urls = fetcher(web)

    async def requests() -> None:
        greedy = [asyncio.create_task(urls.fetch_all([Url("slow")] * 32, "greedy")) for _ in range(10)]
        await until_running(web, MAX_FETCHES_PER_CLIENT)
        assert MAX_FETCHES_PER_CLIENT <= MAX_FETCHES // 2
        many = [Url(f"{n}") for n in range(32)]
        assert await urls.fetch_all(many, "modest") == [url.encode() for url in many]
        assert web.running == MAX_FETCHES_PER_CLIENT
        web.release_all()
        await asyncio.gather(*greedy)

    asyncio.run(requests())
    assert web.most_running <= MAX_FETCHES


def test_the_client_with_the_fewest_downloads_is_next(web: FakeFetcher) -> None:
    urls = fetcher(web)

    async def requests() -> None:
        greedy = [asyncio.create_task(urls.fetch_all([Url(f"slow{n}")] * 32, f"{n % 2}")) for n in range(8)]
        await until_running(web, MAX_FETCHES)
        third = asyncio.create_task(urls.fetch_all([Url("slow third")], "third"))
        await let_tasks_run()
        assert len(web.urls) == MAX_FETCHES, "all threads are taken"
        web.release()
        await until_async(lambda: len(web.urls) == MAX_FETCHES + 1)
        assert web.urls[-1] == "slow third"
        web.release_all()
        await asyncio.gather(*greedy, third)

    asyncio.run(requests())
    assert len(web.urls) == 8 * 32 + 1


def test_a_shutdown_ends_requests_that_wait_and_those_that_come(web: FakeFetcher) -> None:
    urls = fetcher(web)

    async def requests() -> None:
        waiting = [asyncio.create_task(urls.fetch_all([b"bytes", *[Url("slow")] * 32], f"{n}")) for n in range(5)]
        await until_running(web, MAX_FETCHES)
        urls.stop()
        done, pending = await asyncio.wait(waiting, timeout=HANG_SECONDS)
        assert not pending and all(isinstance(task.exception(), ShuttingDown) for task in done)
        with pytest.raises(ShuttingDown):
            await urls.fetch_all([Url("new")])
        assert await urls.fetch_all([b"bytes"]) == [b"bytes"], "the batcher refuses it"

    asyncio.run(requests())
    assert len(web.urls) == MAX_FETCHES, "no download begins any more"


def test_all_urls_of_a_request_share_the_bytes_of_one_body(web: FakeFetcher) -> None:
    assert fetch_all(web, Url("large"), Url("1234"), body_bytes=15) == [b"x" * 10, b"1234"]
    assert sorted(map(str, fetch_all(web, Url("large"), Url("large"), body_bytes=15))) == [str(b"x" * 10), "too_large"]
