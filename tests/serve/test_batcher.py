import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from tests.serve.doubles import FakeNetwork

from showtell.core.captioner import Ask, Captioner
from showtell.errors import BadImage
from showtell.records import Caption
from showtell.serve.batcher import Batcher, Outcome, QueueFull, Stopping
from showtell.serve.limits import Limits
from showtell.settings import DecodeSettings

ENGLISH = Ask("en", 1, False, DecodeSettings())
ARABIC = Ask("ar", 1, False, DecodeSettings())
EXAMPLES = Path(__file__).parents[2] / "examples"

Make = Callable[..., Batcher]


@pytest.fixture
def network() -> FakeNetwork:
    return FakeNetwork()


@pytest.fixture
def make(network: FakeNetwork) -> Iterator[Make]:
    made: list[Batcher] = []

    def make(**limits: float) -> Batcher:
        made.append(Batcher(network, Limits(**{"wait": 0, **limits})))  # type: ignore[arg-type]
        return made[-1]

    yield make
    network.go.set()
    for batcher in made:
        assert batcher.close(10), "threads are left over"
        assert batcher.waiting == 0


def hold(network: FakeNetwork, batcher: Batcher) -> Future[list[Outcome]]:
    """The network is busy with a photo `first` until `network.go`."""
    network.go.clear()
    first = batcher.submit(["first"], ENGLISH)
    assert network.running.wait(10)
    return first


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.002)


def texts(outcomes: list[Outcome]) -> list[str]:
    return [each.code if isinstance(each, BadImage) else each[0].text for each in outcomes]


def test_outcomes_stand_in_the_order_of_the_images(make: Make) -> None:
    images = ["a", "broken", "b", "broken too", "c"]
    assert texts(make().submit(images, ENGLISH).result(10)) == ["a", "truncated", "b", "truncated", "c"]
    assert texts(make().submit(["broken"], ENGLISH).result(10)) == ["truncated"]
    assert make().submit([], ENGLISH).result(10) == []


def test_requests_that_ask_for_the_same_run_together(make: Make, network: FakeNetwork) -> None:
    batcher = make(batch=3)
    hold(network, batcher)
    futures = [batcher.submit([f"en{n}"], ENGLISH) for n in range(4)] + [batcher.submit(["ar"], ARABIC)]
    until(lambda: len(network.loaded) == 6)
    network.go.set()
    found = [each.result(10)[0] for each in futures]
    assert [each[0].language for each in found if isinstance(each, tuple)] == ["en"] * 4 + ["ar"]
    assert sorted(map(sorted, network.batches)) == [["ar"], ["en0", "en1", "en2"], ["en3"], ["first"]]


def test_a_photo_waits_for_others_and_not_for_long(make: Make, network: FakeNetwork) -> None:
    batcher = make(wait=0.5, batch=2)
    begin = time.monotonic()
    futures = [batcher.submit(["a"], ENGLISH), batcher.submit(["b"], ENGLISH)]
    for each in futures:
        each.result(10)
    assert network.batches == [["a", "b"]]
    assert time.monotonic() - begin < 0.4, "a full batch need not wait"
    batcher.submit(["c"], ENGLISH).result(10)
    assert time.monotonic() - begin >= 0.5


def test_a_small_request_does_not_wait_for_all_of_a_large_one(make: Make, network: FakeNetwork) -> None:
    batcher = make(batch=4)
    hold(network, batcher)
    large = batcher.submit([f"large{n}" for n in range(32)], ENGLISH)
    until(lambda: len(network.loaded) == 33)
    small = batcher.submit(["small"], ENGLISH)
    until(lambda: len(network.loaded) == 34)
    network.go.set()
    small.result(10)
    large.result(10)
    place = next(n for n, batch in enumerate(network.batches) if "small" in batch)
    assert place == 1 and len(network.batches) == 10
    assert all(len(batch) == 4 for batch in network.batches[1:9])


def test_clients_take_turns_however_many_requests_they_have(make: Make, network: FakeNetwork) -> None:
    batcher = make(batch=2)
    hold(network, batcher)
    greedy = [batcher.submit([f"greedy{n}"], ENGLISH, "greedy") for n in range(20)]
    modest = [batcher.submit([f"modest{n}"], ENGLISH, "modest") for n in range(3)]
    until(lambda: len(network.loaded) == 24)
    network.go.set()
    for each in [*greedy, *modest]:
        each.result(10)
    assert [sorted(batch) for batch in network.batches[1:5]] == [
        ["greedy0", "modest0"],
        ["greedy1", "modest1"],
        ["greedy2", "modest2"],
        ["greedy3", "greedy4"],
    ]


def test_clients_take_turns_in_loading(make: Make, network: FakeNetwork) -> None:
    batcher = make()
    with batcher._changed:
        greedy = [batcher.submit([f"greedy{n}"], ENGLISH, "greedy") for n in range(20)]
        modest = [batcher.submit([f"modest{n}"], ENGLISH, "modest") for n in range(3)]
    for each in [*greedy, *modest]:
        each.result(10)
    # They alternate, give or take the two that are loaded at a time.
    assert network.loaded.index("modest2") <= 7


def test_newcomers_do_not_starve_who_is_waiting(make: Make, network: FakeNetwork) -> None:
    batcher, newcomers = make(batch=1), iter(range(60))
    run = network.caption_prepared

    def run_while_two_more_come(photos: Sequence[Any], ask: Ask) -> list[tuple[Caption, ...]]:
        for n in itertools.islice(newcomers, 2):
            batcher.submit([f"new{n}"], ENGLISH, f"client {n}")
            until(lambda n=n: f"new{n}" in network.loaded)  # type: ignore[misc]
        return run(photos, ask)

    network.caption_prepared = run_while_two_more_come  # type: ignore[method-assign]
    hold(network, batcher)
    waiting = [batcher.submit([f"a{n}"], ENGLISH, "a") for n in range(3)]
    until(lambda: len(network.loaded) == 6)
    network.go.set()
    for each in waiting:
        each.result(10)
    # After each turn those pass who were there by then: four, and ten.
    assert [network.batches.index([f"a{n}"]) for n in range(3)] == [3, 8, 19]


def test_the_last_quarter_of_the_queue_is_for_clients_with_nothing_in_it(make: Make, network: FakeNetwork) -> None:
    batcher = make(queue=8)
    first = hold(network, batcher)  # of a client without a name
    greedy = [batcher.submit([f"{n}"], ENGLISH, "greedy") for n in range(5)]
    for check in (batcher.check_room, lambda client: batcher.submit(["x"], ENGLISH, client)):
        with pytest.raises(QueueFull, match="6 photos are waiting"):
            check("greedy")
    others = [batcher.submit(["a"], ENGLISH, "a"), batcher.submit(["b"], ENGLISH, "b")]
    with pytest.raises(QueueFull, match="8 photos are waiting"):
        batcher.submit(["c"], ENGLISH, "c")
    network.go.set()
    for each in [first, *greedy, *others]:
        each.result(10)
    assert not batcher._clients, "nobody is remembered"


def test_the_photos_of_a_small_request_are_loaded_before_the_rest_of_a_large_one(
    make: Make, network: FakeNetwork
) -> None:
    batcher = make()
    # Nothing is loaded while both loaders are busy; what is next is decided when one of them is free.
    waiting = {"large": [f"large{n}" for n in range(10)], "small": ["small"]}
    with batcher._changed:
        futures = [batcher.submit(images, ENGLISH) for images in waiting.values()]
    for each in futures:
        each.result(10)
    assert network.loaded.index("small") <= 3


def test_a_large_request_is_loaded_while_small_ones_come_and_go(make: Make, network: FakeNetwork) -> None:
    batcher = make(batch=1)
    large = batcher.submit([f"large{n}" for n in range(32)], ENGLISH)
    small = 0
    while not large.done():
        batcher.submit([f"small{small}"], ENGLISH).result(10)
        small += 1
        assert small < 500, "the large one starves"
    assert texts(large.result(0))[-1] == "large31"


def test_a_popular_ask_does_not_starve_another(make: Make, network: FakeNetwork) -> None:
    batcher = make(batch=2, queue=64)
    hold(network, batcher)
    popular = [batcher.submit([f"en{n}"], ENGLISH) for n in range(10)]
    rare = batcher.submit(["ar0", "ar1", "ar2"], ARABIC)
    popular += [batcher.submit([f"en{n}"], ENGLISH) for n in range(10, 20)]
    until(lambda: len(network.loaded) == 24)
    network.go.set()
    for each in [*popular, rare]:
        each.result(10)
    # Ten photos came before it, two in a batch; its third photo lets those pass who have had no turn.
    assert network.batches[6] == ["ar0", "ar1"]
    assert network.batches[12] == ["ar2"] and len(network.batches) == 13


def test_a_full_queue_says_so_at_once_and_takes_more_when_there_is_room(make: Make, network: FakeNetwork) -> None:
    batcher = make(queue=3)
    first = hold(network, batcher)
    # The third place is free, and whoever takes it may be large.
    others = [batcher.submit(["a"], ENGLISH), batcher.submit(["b", "c", "d"], ENGLISH)]
    assert batcher.waiting == 5
    with pytest.raises(QueueFull, match="5 photos are waiting, which is the limit; try again in") as raised:
        batcher.submit(["e"], ENGLISH)
    assert raised.value.retry_after >= 1
    with pytest.raises(QueueFull):
        batcher.check_room()
    network.go.set()
    for each in [first, *others]:
        each.result(10)
    assert texts(batcher.submit(["e"], ENGLISH).result(10)) == ["e"]


def test_work_of_a_client_that_left_is_dropped(make: Make, network: FakeNetwork) -> None:
    batcher = make(queue=4)
    hold(network, batcher)
    left = batcher.submit([f"left{n}" for n in range(8)], ENGLISH)
    assert batcher.waiting == 9 and left.cancel()
    assert batcher.waiting == 1, "there is room again"
    stays = batcher.submit(["stays"], ENGLISH)
    network.go.set()
    assert texts(stays.result(10)) == ["stays"]
    assert network.batches == [["first"], ["stays"]]


def test_a_client_that_leaves_while_its_photo_is_in_the_network(make: Make, network: FakeNetwork) -> None:
    batcher = make()
    first = hold(network, batcher)
    assert first.cancel()
    network.go.set()
    assert texts(batcher.submit(["next"], ENGLISH).result(10)) == ["next"]
    assert batcher.waiting == 0


def test_a_mistake_fails_its_own_requests_alone(make: Make, network: FakeNetwork) -> None:
    batcher = make(batch=1)
    network.fails_on = "bad"
    bad, bug = batcher.submit(["bad", "good"], ENGLISH), batcher.submit(["x", "bug"], ENGLISH)
    good = batcher.submit(["good"], ENGLISH)
    with pytest.raises(RuntimeError, match="in the network"):
        bad.result(10)
    with pytest.raises(RuntimeError, match="in loading"):
        bug.result(10)
    assert texts(good.result(10)) == ["good"]
    until(lambda: batcher.waiting == 0)


def test_a_network_that_breaks_its_promise_does_not_end_the_thread(make: Make, network: FakeNetwork) -> None:
    batcher = make()
    promised = network.caption_prepared
    network.caption_prepared = lambda photos, ask: []  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="zip"):
        batcher.submit(["a"], ENGLISH).result(10)
    network.caption_prepared = promised  # type: ignore[method-assign]
    assert texts(batcher.submit(["b"], ENGLISH).result(10)) == ["b"] and batcher.alive


def test_closing_finishes_what_was_admitted_and_takes_no_more(make: Make, network: FakeNetwork) -> None:
    batcher = make(batch=2)
    first = hold(network, batcher)
    others = batcher.submit([f"{n}" for n in range(9)], ENGLISH)
    assert not batcher.close(0.05), "it cannot be done yet"
    with pytest.raises(Stopping, match="stopping; try again later"):
        batcher.submit(["late"], ENGLISH)
    network.go.set()
    assert batcher.close(10)
    assert texts(first.result(0)) == ["first"] and texts(others.result(0)) == [f"{n}" for n in range(9)]


def test_how_long_to_wait_follows_from_how_long_photos_took(make: Make, network: FakeNetwork) -> None:
    batcher = make(queue=2, batch=1)
    for _ in range(20):  # quick ones, so that the first guess is forgotten
        batcher.submit(["quick"], ENGLISH).result(10)
    hold(network, batcher)
    time.sleep(0.6)
    network.go.set()
    until(lambda: batcher.waiting == 0)
    network.running.clear()
    hold(network, batcher)
    batcher.submit([f"{n}" for n in range(20)], ENGLISH)
    with pytest.raises(QueueFull) as raised:
        batcher.submit(["late"], ENGLISH)
    # One in five of 0.6 seconds for each of the twenty that have to be done before there is room.
    assert 3 <= raised.value.retry_after <= 4


def test_a_slow_model_has_less_room(make: Make, network: FakeNetwork) -> None:
    batcher = make(queue=64, batch=1, stop_seconds=0.5)
    hold(network, batcher)
    time.sleep(0.6)
    network.go.set()
    until(lambda: batcher.waiting == 0)
    network.running.clear()
    # Some 0.2 s for a photo, as it seems: two can be done in the half second in which the server has to stop.
    hold(network, batcher)
    batcher.submit(["second"], ENGLISH)
    with pytest.raises(QueueFull, match="2 photos are waiting"):
        batcher.submit(["third"], ENGLISH)


def test_captions_are_those_of_the_captioner(make: Make) -> None:
    captioner = Captioner.load(threads=1)
    photos = sorted(EXAMPLES.glob("*.jpg"))
    batcher = Batcher(captioner, Limits())
    try:
        ask = captioner.ask("ar", num=2, attention=True)
        found = batcher.submit([photo.read_bytes() for photo in photos], ask).result(60)
    finally:
        assert batcher.close(10)
    for photo, outcome in zip(photos, found, strict=True):
        assert isinstance(outcome, tuple) and len(outcome) == 2
        best: Caption = captioner.caption(photo, language="ar", attention=True)
        assert outcome[0].text == best.text and outcome[0].score == pytest.approx(best.score, abs=1e-5)
        assert outcome[0].attention is not None and outcome[0].attention.shape == (len(best.words), 7, 7)
