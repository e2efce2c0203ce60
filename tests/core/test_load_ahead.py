"""The threads that load photos: order, laziness, errors at their place, and an end without leftovers."""

import gc
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tests.clocks import HANG_SECONDS, until

from showtell.core import load_ahead as module
from showtell.core.load_ahead import LoadingHangs, load_ahead
from showtell.errors import BadImage


def loader_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "showtell-load"]


@pytest.fixture(autouse=True)
def _no_threads_left() -> Iterator[None]:
    before = set(loader_threads())
    yield
    if not set(loader_threads()) <= before:
        gc.collect()  # takes a second where other tests have filled the heap
    assert set(loader_threads()) <= before


def double(number: int) -> int:
    if number < 0:
        raise BadImage("missing", f"no {number}")
    return 2 * number


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("count", [0, 1, 5, 14])
def test_batches_in_order(batch_size: int, count: int) -> None:
    batches = list(load_ahead(iter(range(count)), double, batch_size))
    assert [pair for batch in batches for pair in batch] == [(number, 2 * number) for number in range(count)]
    assert all(len(batch) == batch_size for batch in batches[:-1])


def test_an_error_is_an_outcome() -> None:
    ((_, two), (_, error), (_, six)) = next(load_ahead(iter([1, -1, 3]), double, 3))
    assert (two, six) == (2, 6) and isinstance(error, BadImage)


@pytest.mark.parametrize("error", [ValueError("mine"), SystemExit(3), KeyboardInterrupt(), MemoryError()])
def test_whatever_a_function_raises_arrives(error: BaseException) -> None:
    """Not in the thread, for which nobody waits."""

    def load(number: int) -> int:
        if number == 2:
            raise error
        return number

    (batch,) = load_ahead(iter(range(4)), load, 4)
    assert batch == [(0, 0), (1, 1), (2, error), (3, 3)]


@pytest.mark.parametrize("error", [ValueError("mine"), OSError(5, "disk"), StopAsyncIteration()])
def test_an_error_of_the_iterable_comes_after_what_was_before_it(error: Exception) -> None:
    def numbers() -> Iterator[int]:
        yield from range(5)
        raise error

    found = []
    with pytest.raises(type(error)) as raised:
        for batch in load_ahead(numbers(), double, 2):
            found += [number for number, _ in batch]
    assert raised.value is error and found == [0, 1, 2, 3, 4]


def test_an_exhausted_iterable_is_not_asked_again() -> None:
    class Once:
        done = False

        def __iter__(self) -> Iterator[int]:
            return self

        def __next__(self) -> int:
            assert not self.done, "asked again"
            self.done = True
            raise StopIteration

    assert list(load_ahead(iter(Once()), double, 2)) == []


def test_closing_waits_for_what_runs_and_drops_the_rest() -> None:
    begun, go, loaded = threading.Semaphore(0), threading.Event(), []

    def load(number: int) -> int:
        if number >= 2:
            begun.release()
            assert go.wait(HANG_SECONDS)
        loaded.append(number)
        return number

    batches = load_ahead(iter(range(100)), load, 2)
    assert [number for number, _ in next(batches)] == [0, 1]
    for _ in range(module.LOADER_THREADS):
        assert begun.acquire(timeout=HANG_SECONDS)
    closing = threading.Thread(target=batches.close)
    closing.start()
    go.set()
    closing.join(HANG_SECONDS)
    assert not closing.is_alive() and sorted(loaded) == [0, 1, 2, 3] and not loader_threads()


def test_an_error_of_the_consumer_ends_the_threads() -> None:
    def consume() -> None:
        for _ in load_ahead(iter(range(100)), double, 2):
            raise LookupError("mine")

    with pytest.raises(LookupError):
        consume()
    gc.collect()
    until(lambda: not loader_threads())


def test_a_cycle_may_be_collected_in_any_thread() -> None:
    """A generator in a cycle is closed by the garbage collector, wherever it runs: also in a loader thread."""

    def load(number: int) -> int:
        return number

    class Holder:
        batches: Any

    def make_garbage() -> None:
        holder = Holder()
        holder.batches = load_ahead(iter(lambda: id(holder), None), load, 2)
        next(holder.batches)

    make_garbage()
    collecting = load_ahead(iter([0]), lambda number: gc.collect() and number, 1)
    assert next(collecting)[0][1] == 0
    collecting.close()


def test_a_file_that_waits_twice_is_loaded_once() -> None:
    class File:
        def seek(self, position: int) -> None: ...

    file, other, calls = File(), File(), []

    def load(image: Any) -> int:
        calls.append(image)
        return len(calls)

    (batch,) = load_ahead(iter([file, file, other, "path", "path"]), load, 5)
    assert batch[0][1] == batch[1][1] and len(calls) == 4 and calls.count(file) == 1


def test_a_program_that_waits_for_each_answer_gets_it() -> None:
    taken = []

    def questions() -> Iterator[int]:
        for number in range(3):
            taken.append(number)
            yield number

    for batch in load_ahead(questions(), double, 1):
        assert batch == [(taken[-1], 2 * taken[-1])]
    assert taken == [0, 1, 2]


# --- an image that never arrives


@pytest.fixture
def hanging() -> Iterator[threading.Event]:
    """What image 3 waits for; set in the end, so that its thread ends."""
    go = threading.Event()
    yield go
    go.set()
    until(lambda: not loader_threads())


def hangs_at_3(go: threading.Event) -> Any:
    def load(number: int) -> int:
        if number == 3:
            go.wait()
        return double(number)

    return load


@pytest.mark.parametrize("batch_size", [1, 2])
def test_an_image_that_never_arrives_is_an_error_and_nothing_waits_for_it(
    hanging: threading.Event, batch_size: int
) -> None:
    found = []
    with pytest.raises(LoadingHangs) as raised:
        for batch in load_ahead(iter(range(20)), hangs_at_3(hanging), batch_size, patience=1.0):
            found += [number for number, _ in batch]
    assert raised.value.image == 3 and found == list(range(3 - 3 % batch_size))


def test_closing_does_not_wait_for_ever_for_an_image_that_never_arrives(hanging: threading.Event) -> None:
    batches = load_ahead(iter(range(20)), hangs_at_3(hanging), 2, patience=1.0)
    next(batches)
    closing = threading.Thread(target=batches.close)
    closing.start()
    closing.join(HANG_SECONDS)
    assert not closing.is_alive() and loader_threads()
