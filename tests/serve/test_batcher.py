import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from tests.clocks import HANG_SECONDS, until
from tests.serve.doubles import FakeModel

from showtell.core.captioner import Captioner, GenerationOptions
from showtell.errors import BadImage
from showtell.records import Caption
from showtell.serve import batcher as batcher_module
from showtell.serve.batcher import Batcher
from showtell.serve.limits import Limits
from showtell.serve.queue_errors import QueueFull, ShuttingDown, TooManyImages
from showtell.serve.queued_request import Outcome
from showtell.settings import DecodeSettings

ENGLISH = GenerationOptions("en", 1, False, DecodeSettings())
ARABIC = GenerationOptions("ar", 1, False, DecodeSettings())
EXAMPLES = Path(__file__).parents[2] / "examples"

Make = Callable[..., Batcher]


@pytest.fixture
def model() -> FakeModel:
    return FakeModel()


@pytest.fixture
def make(model: FakeModel) -> Iterator[Make]:
    made: list[Batcher] = []

    def make(**limits: float) -> Batcher:
        made.append(Batcher(model, Limits(**{"batch_delay": 0, **limits}), clock=model.clock))  # type: ignore[arg-type]
        return made[-1]

    yield make
    model.go.set()
    for batcher in made:
        assert batcher.close(HANG_SECONDS), "threads are left over"
        assert batcher.waiting == 0


def hold(model: FakeModel, batcher: Batcher) -> Future[list[Outcome]]:
    """The model is busy with a photo `first` until `model.go`."""
    model.go.clear()
    first = batcher.submit(["first"], ENGLISH)
    assert model.running.wait(HANG_SECONDS)
    return first


def ready(batcher: Batcher) -> list[str]:
    """Images that are loaded and wait for the model."""
    with batcher._changed:
        return [prepared[0] for request in batcher._requests for _, prepared in request.ready]  # type: ignore[index]


def texts(outcomes: list[Outcome]) -> list[str]:
    return [outcome.code if isinstance(outcome, BadImage) else outcome[0].text for outcome in outcomes]


def test_outcomes_stand_in_the_order_of_the_images(make: Make) -> None:
    images = ["a", "broken", "b", "broken too", "c"]
    assert texts(make().submit(images, ENGLISH).result(HANG_SECONDS)) == ["a", "truncated", "b", "truncated", "c"]
    assert texts(make().submit(["broken"], ENGLISH).result(HANG_SECONDS)) == ["truncated"]
    assert make().submit([], ENGLISH).result(HANG_SECONDS) == []


def test_requests_that_ask_for_the_same_run_together(make: Make, model: FakeModel) -> None:
    batcher = make(batch_size=3)
    hold(model, batcher)
    futures = [batcher.submit([f"en{n}"], ENGLISH) for n in range(4)] + [batcher.submit(["ar"], ARABIC)]
    until(lambda: len(ready(batcher)) == 5)
    model.go.set()
    outcomes = [future.result(HANG_SECONDS)[0] for future in futures]
    assert [outcome[0].language for outcome in outcomes if isinstance(outcome, tuple)] == ["en"] * 4 + ["ar"]
    assert sorted(map(sorted, model.batches)) == [["ar"], ["en0", "en1", "en2"], ["en3"], ["first"]]


def test_an_image_waits_for_others_as_long_as_the_batch_is_not_full(make: Make, model: FakeModel) -> None:
    batcher = make(batch_delay=5, batch_size=2)
    full = [batcher.submit(["a"], ENGLISH), batcher.submit(["b"], ENGLISH)]
    for future in full:
        future.result(HANG_SECONDS)
    assert model.batches == [["a", "b"]], "a full batch does not wait: no time has passed"
    joined = batcher.submit(["c"], ENGLISH)
    until(lambda: ready(batcher) == ["c"])
    batcher.submit(["d"], ENGLISH)
    joined.result(HANG_SECONDS)
    assert model.batches[1:] == [["c", "d"]]
    alone = batcher.submit(["e"], ENGLISH)
    until(lambda: ready(batcher) == ["e"])
    model.clock.advance(5)
    with batcher._changed:
        batcher._changed.notify_all()
    alone.result(HANG_SECONDS)
    assert model.batches[2:] == [["e"]]


def test_an_image_does_not_wait_for_others_that_never_come(model: FakeModel) -> None:
    """By the system's clock, which wakes the batcher by itself."""
    batcher = Batcher(model, Limits(batch_delay=0.01, batch_size=2))
    assert texts(batcher.submit(["a"], ENGLISH).result(HANG_SECONDS)) == ["a"]
    assert batcher.close(HANG_SECONDS)


def test_a_small_request_does_not_wait_for_all_of_a_large_one(make: Make, model: FakeModel) -> None:
    batcher = make(batch_size=4)
    hold(model, batcher)
    large = batcher.submit([f"large{n}" for n in range(32)], ENGLISH)
    until(lambda: len(ready(batcher)) == 32)
    small = batcher.submit(["small"], ENGLISH)
    until(lambda: len(ready(batcher)) == 33)
    model.go.set()
    small.result(HANG_SECONDS)
    large.result(HANG_SECONDS)
    place = next(n for n, batch in enumerate(model.batches) if "small" in batch)
    assert place == 1 and len(model.batches) == 10
    assert all(len(batch) == 4 for batch in model.batches[1:9])


def test_clients_take_turns_however_many_requests_they_have(make: Make, model: FakeModel) -> None:
    batcher = make(batch_size=2)
    hold(model, batcher)
    greedy = [batcher.submit([f"greedy{n}"], ENGLISH, "greedy") for n in range(20)]
    modest = [batcher.submit([f"modest{n}"], ENGLISH, "modest") for n in range(3)]
    until(lambda: len(ready(batcher)) == 23)
    model.go.set()
    for future in [*greedy, *modest]:
        future.result(HANG_SECONDS)
    assert [sorted(batch) for batch in model.batches[1:5]] == [
        ["greedy0", "modest0"],
        ["greedy1", "modest1"],
        ["greedy2", "modest2"],
        ["greedy3", "greedy4"],
    ]


def test_clients_take_turns_in_loading(make: Make, model: FakeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batcher_module, "LOADER_THREADS", 1)
    batcher = make()
    with batcher._changed:  # nothing is loaded before all are there
        greedy = [batcher.submit([f"greedy{n}"], ENGLISH, "greedy") for n in range(20)]
        modest = [batcher.submit([f"modest{n}"], ENGLISH, "modest") for n in range(3)]
    for future in [*greedy, *modest]:
        future.result(HANG_SECONDS)
    assert model.loaded[:7] == ["greedy0", "modest0", "greedy1", "modest1", "greedy2", "modest2", "greedy3"]


def test_newcomers_do_not_starve_who_is_waiting(make: Make, model: FakeModel) -> None:
    batcher, newcomers = make(batch_size=1), iter(range(60))
    run = model.caption_preprocessed

    def run_while_two_more_come(photos: Sequence[Any], ask: GenerationOptions) -> list[tuple[Caption, ...]]:
        for n in itertools.islice(newcomers, 2):
            batcher.submit([f"new{n}"], ENGLISH, f"client {n}")
            until(lambda n=n: f"new{n}" in ready(batcher))  # type: ignore[misc]
        return run(photos, ask)

    model.caption_preprocessed = run_while_two_more_come  # type: ignore[method-assign]
    hold(model, batcher)
    waiting = [batcher.submit([f"a{n}"], ENGLISH, "a") for n in range(3)]
    until(lambda: len(ready(batcher)) == 5)
    model.go.set()
    for future in waiting:
        future.result(HANG_SECONDS)
    # After each turn those pass who were there by then: four, and ten.
    assert [model.batches.index([f"a{n}"]) for n in range(3)] == [3, 8, 19]


def test_the_last_quarter_of_the_queue_is_for_clients_with_nothing_in_it(make: Make, model: FakeModel) -> None:
    batcher = make(queue_size=8)
    first = hold(model, batcher)  # of a client without a name
    greedy = [batcher.submit([f"{n}"], ENGLISH, "greedy") for n in range(5)]
    for check in (batcher.check_capacity, lambda client: batcher.submit(["x"], ENGLISH, client)):
        with pytest.raises(QueueFull, match="6 photos are waiting"):
            check("greedy")
    others = [batcher.submit(["a"], ENGLISH, "a"), batcher.submit(["b"], ENGLISH, "b")]
    with pytest.raises(QueueFull, match="8 photos are waiting"):
        batcher.submit(["c"], ENGLISH, "c")
    model.go.set()
    for future in [first, *greedy, *others]:
        future.result(HANG_SECONDS)
    assert not batcher._clients, "nobody is remembered"


def test_a_small_request_is_loaded_before_the_rest_of_a_large_one(
    make: Make, model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batcher_module, "LOADER_THREADS", 1)
    batcher = make()
    with batcher._changed:  # nothing is loaded before both are there
        futures = [batcher.submit(images, ENGLISH) for images in ([f"large{n}" for n in range(10)], ["small"])]
    for future in futures:
        future.result(HANG_SECONDS)
    assert model.loaded[:3] == ["large0", "small", "large1"]


def test_a_large_request_is_loaded_while_small_ones_come_and_go(make: Make, model: FakeModel) -> None:
    batcher = make(batch_size=1)
    large = batcher.submit([f"large{n}" for n in range(32)], ENGLISH)
    small = 0
    while not large.done():
        batcher.submit([f"small{small}"], ENGLISH).result(HANG_SECONDS)
        small += 1
        assert small < 500, "the large one starves"
    assert texts(large.result(0))[-1] == "large31"


def test_a_popular_ask_does_not_starve_another(make: Make, model: FakeModel) -> None:
    batcher = make(batch_size=2, queue_size=64)
    hold(model, batcher)
    popular = [batcher.submit([f"en{n}"], ENGLISH) for n in range(10)]
    rare = batcher.submit(["ar0", "ar1", "ar2"], ARABIC)
    popular += [batcher.submit([f"en{n}"], ENGLISH) for n in range(10, 20)]
    until(lambda: len(ready(batcher)) == 23)
    model.go.set()
    for future in [*popular, rare]:
        future.result(HANG_SECONDS)
    # Ten photos came before it, two in a batch; its third photo lets those pass who have had no turn.
    assert model.batches[6] == ["ar0", "ar1"]
    assert model.batches[12] == ["ar2"] and len(model.batches) == 13


def test_a_full_queue_says_so_at_once_and_takes_more_when_there_is_room(make: Make, model: FakeModel) -> None:
    batcher = make(queue_size=3)
    first = hold(model, batcher)
    # The third place is free, and whoever takes it may be large.
    others = [batcher.submit(["a"], ENGLISH), batcher.submit(["b", "c", "d"], ENGLISH)]
    assert batcher.waiting == 5
    with pytest.raises(QueueFull, match="5 photos are waiting, which is the limit; try again in") as raised:
        batcher.submit(["e"], ENGLISH)
    assert raised.value.retry_after >= 1
    with pytest.raises(QueueFull):
        batcher.check_capacity()
    model.go.set()
    for future in [first, *others]:
        future.result(HANG_SECONDS)
    assert texts(batcher.submit(["e"], ENGLISH).result(HANG_SECONDS)) == ["e"]


def test_work_of_a_client_that_left_is_dropped(make: Make, model: FakeModel) -> None:
    batcher = make(queue_size=4)
    hold(model, batcher)
    left = batcher.submit([f"left{n}" for n in range(8)], ENGLISH)
    assert batcher.waiting == 9 and left.cancel()
    assert batcher.waiting == 1, "there is room again"
    stays = batcher.submit(["stays"], ENGLISH)
    model.go.set()
    assert texts(stays.result(HANG_SECONDS)) == ["stays"]
    assert model.batches == [["first"], ["stays"]]


def test_a_client_that_leaves_while_its_photo_is_in_the_model(make: Make, model: FakeModel) -> None:
    batcher = make()
    first = hold(model, batcher)
    assert first.cancel()
    model.go.set()
    assert texts(batcher.submit(["next"], ENGLISH).result(HANG_SECONDS)) == ["next"]
    assert batcher.waiting == 0


def test_a_mistake_fails_its_own_requests_alone(make: Make, model: FakeModel) -> None:
    batcher = make(batch_size=1)
    model.fails_on = "bad"
    bad, bug = batcher.submit(["bad", "good"], ENGLISH), batcher.submit(["x", "bug"], ENGLISH)
    good = batcher.submit(["good"], ENGLISH)
    with pytest.raises(RuntimeError, match="in the model"):
        bad.result(HANG_SECONDS)
    with pytest.raises(RuntimeError, match="in loading"):
        bug.result(HANG_SECONDS)
    assert texts(good.result(HANG_SECONDS)) == ["good"]
    until(lambda: batcher.waiting == 0)


def test_a_model_that_breaks_its_promise_does_not_end_the_thread(make: Make, model: FakeModel) -> None:
    batcher = make()
    promised = model.caption_preprocessed
    model.caption_preprocessed = lambda photos, ask: []  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="zip"):
        batcher.submit(["a"], ENGLISH).result(HANG_SECONDS)
    model.caption_preprocessed = promised  # type: ignore[method-assign]
    assert texts(batcher.submit(["b"], ENGLISH).result(HANG_SECONDS)) == ["b"] and batcher.is_alive


def test_closing_finishes_what_was_admitted_and_takes_no_more(make: Make, model: FakeModel) -> None:
    batcher = make(batch_size=2)
    first = hold(model, batcher)
    others = batcher.submit([f"{n}" for n in range(9)], ENGLISH)
    assert not batcher.close(0.05), "it cannot be done yet"
    with pytest.raises(ShuttingDown, match="stopping; try again later"):
        batcher.submit(["late"], ENGLISH)
    model.go.set()
    assert batcher.close(HANG_SECONDS)
    assert texts(first.result(0)) == ["first"] and texts(others.result(0)) == [f"{n}" for n in range(9)]


def timed(make: Make, model: FakeModel, seconds: float, **limits: float) -> Batcher:
    """A batcher that has seen how long a photo takes, and whose model is busy with one now."""
    batcher = make(batch_size=1, **limits)
    model.seconds = seconds
    batcher.submit(["seen"], ENGLISH).result(HANG_SECONDS)
    model.running.clear()
    hold(model, batcher)
    return batcher


def test_retry_after_follows_from_how_long_batches_took(make: Make, model: FakeModel) -> None:
    batcher = timed(make, model, 0.6, queue_size=2)
    batcher.submit([f"{n}" for n in range(4)], ENGLISH)
    with pytest.raises(QueueFull) as raised:
        batcher.submit(["late"], ENGLISH)
    # Of five that wait, four have to be done before there is room: 2.4 s, rounded up.
    assert raised.value.retry_after == 3


def test_no_more_is_admitted_than_can_be_done_during_a_shutdown(make: Make, model: FakeModel) -> None:
    batcher = timed(make, model, 0.5, shutdown_timeout=2.0)
    futures = [batcher.submit([name], ENGLISH, name) for name in "abc"]
    with pytest.raises(QueueFull, match="no time for more photos now"):
        batcher.submit(["d"], ENGLISH, "d")
    model.go.set()
    for future in futures:
        future.result(HANG_SECONDS)
    # One that finds nothing waiting may take longer than that, but not longer than a request may.
    assert len(batcher.submit([f"{n}" for n in range(9)], ENGLISH).result(HANG_SECONDS)) == 9


def test_more_photos_than_can_be_done_in_time_are_refused_with_how_many_can(make: Make, model: FakeModel) -> None:
    batcher = make(batch_size=16, request_timeout=6.0, body_timeout=1.0)
    model.seconds = 0.5
    batcher.submit(["seen"], ENGLISH).result(HANG_SECONDS)
    # Three quarters of the time that is left; the rest is for those who come meanwhile.
    for seconds, possible in ((60.0, "9 photos"), (2.0, "3 photos"), (0.1, "1 photo"), (-1.0, "1 photo")):
        with pytest.raises(TooManyImages, match=f"found 10 photos, .* send {possible} at a time"):
            batcher.submit(["x"] * 10, ENGLISH, "a", seconds)
    batcher.submit(["x"], ENGLISH, "a", 0.1).result(HANG_SECONDS)
    # What made the last batch slow may be over, and nothing else would tell.
    model.clock.advance(60.0)
    assert len(batcher.submit(["x"] * 10, ENGLISH, "a").result(HANG_SECONDS)) == 10


def test_a_request_behind_others_is_refused_if_it_would_end_without_an_answer(make: Make, model: FakeModel) -> None:
    batcher = timed(make, model, 0.5)
    batcher.submit(["x"] * 3, ENGLISH, "a", 4.0)  # with the one in the model two seconds, of four
    for late, images, seconds in (("b", 1, 4.9), ("b", 6, 4.9), ("a", 1, 6.6)):
        with pytest.raises(QueueFull):
            batcher.submit(["y"] * images, ENGLISH, late, seconds)
    batcher.submit(["y"] * 6, ENGLISH, "b", 5.0)


def test_a_large_request_is_not_kept_out_by_small_ones(make: Make, model: FakeModel) -> None:
    batcher = timed(make, model, 1.0)
    batcher.submit(["large"] * 20, ENGLISH, "a")  # longer than a shutdown, but not than its time
    with pytest.raises(QueueFull):
        batcher.submit(["small"], ENGLISH, "b")


def test_nobody_is_told_to_wait_longer_than_for_all_that_waits(make: Make, model: FakeModel) -> None:
    batcher = timed(make, model, 3.0)
    batcher.submit(["a"], ENGLISH, "a")
    for images in (1, 20):
        with pytest.raises(QueueFull) as raised:
            batcher.submit(["b"] * images, ENGLISH, "b", 8.0)
        assert raised.value.retry_after == 6
    model.clock.advance(1e6)  # a model that hangs
    with pytest.raises(QueueFull) as raised:
        batcher.submit(["b"], ENGLISH, "b")
    assert raised.value.retry_after == 30


def test_a_model_that_becomes_slow_is_noticed_while_it_is(make: Make, model: FakeModel) -> None:
    batcher = timed(make, model, 0.1)
    batcher.submit(["a"] * 20, ENGLISH, "a")
    model.clock.advance(2.0)
    with pytest.raises(QueueFull):
        batcher.submit(["b"], ENGLISH, "b")


def test_what_the_model_does_for_a_client_that_left_takes_its_time(make: Make, model: FakeModel) -> None:
    batcher = make(batch_size=8, shutdown_timeout=15)
    model.seconds = 8.0
    batcher.submit(["seen"] * 8, ENGLISH).result(HANG_SECONDS)
    model.go.clear()
    model.running.clear()
    left = batcher.submit(["left"] * 8, ENGLISH)
    assert model.running.wait(HANG_SECONDS) and left.cancel() and batcher.waiting == 0
    batcher.submit(["a"] * 7, ENGLISH, "a")
    with pytest.raises(QueueFull):
        batcher.submit(["b"], ENGLISH, "b")


def test_a_large_request_beyond_the_limit_leaves_the_reserved_places(make: Make, model: FakeModel) -> None:
    batcher = make(queue_size=8)
    first = hold(model, batcher)
    greedy = [batcher.submit([f"{n}"], ENGLISH, "greedy") for n in range(4)]
    greedy.append(batcher.submit([f"large{n}" for n in range(20)], ENGLISH, "greedy"))
    assert batcher.waiting == 25
    others = [batcher.submit(["a"], ENGLISH, "a")]
    for late in ("greedy", "b"):  # two places are reserved: for `a`, and for who holds the model
        with pytest.raises(QueueFull):
            batcher.submit(["x"], ENGLISH, late)
    model.go.set()
    for future in [first, *greedy, *others]:
        future.result(HANG_SECONDS)


def test_a_batcher_with_a_dead_thread_says_so_at_once(make: Make, model: FakeModel) -> None:
    batcher = make()
    dead = threading.Thread(target=lambda: None)
    batcher._threads.append(dead)
    with pytest.raises(RuntimeError, match="has died"):
        batcher.submit(["a"], ENGLISH)
    batcher._threads.remove(dead)


def test_captions_are_those_of_the_captioner(make: Make) -> None:
    captioner = Captioner.load(threads=1)
    photos = sorted(EXAMPLES.glob("*.jpg"))
    batcher = Batcher(captioner, Limits())
    try:
        ask = captioner.generation_options("ar", num=2, attention=True)
        outcomes = batcher.submit([photo.read_bytes() for photo in photos], ask).result(HANG_SECONDS)
    finally:
        assert batcher.close(HANG_SECONDS)
    for photo, outcome in zip(photos, outcomes, strict=True):
        assert isinstance(outcome, tuple) and len(outcome) == 2
        best: Caption = captioner.caption(photo, language="ar", attention=True)
        assert outcome[0].text == best.text and outcome[0].score == pytest.approx(best.score, abs=1e-5)
        assert outcome[0].attention is not None and outcome[0].attention.shape == (len(best.words), 7, 7)
