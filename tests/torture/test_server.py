"""Seconds of overload, slow senders and SIGTERM, with a quick model; and what the torture looks for would be found."""

import asyncio
import itertools
import random
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests import skips

pytest.importorskip("fastapi", reason=skips.PACKAGES)

from tests.clocks import until
from tests.serve.conftest import run  # noqa: F401 (a fixture)
from tests.serve.running import OTHER_ADDRESSES
from torture.harness import Tally

from benchmarks import serve as load
from showtell.serve.server import ServerConfig
from torture import server
from torture import server_clients as clients

QUICK = """
import time
from tests.serve.doubles import QuickCaptioner
from showtell.serve import server
from showtell.serve.limits import Limits

class Captioner(QuickCaptioner):
    def caption_preprocessed(self, photos, ask):
        time.sleep(0.15 * len(photos))
        return super().caption_preprocessed(photos, ask)

server.serve(Captioner(), Limits(), server.ServerConfig(port=0, page=False))
"""
"""As slow as a network: a server that has nothing to finish closes its port at once, and who comes at that moment finds
a connection that ends."""


@pytest.fixture
def target(run: Callable[..., Any]) -> Any:  # noqa: F811
    running = run()
    running.memory = lambda: 100.0
    return running


@OTHER_ADDRESSES
def test_overload(target: Any) -> None:
    tally = Tally()
    asyncio.run(clients.overload(target, 2, 2, tally))
    assert tally.failures == []
    assert sum(tally.counts[f"overload: {name}"] for name in ("200", "503", "disconnected")) == 40


@OTHER_ADDRESSES
def test_slow_senders(run: Callable[..., Any]) -> None:  # noqa: F811
    tally = Tally()
    url = run(ServerConfig(), header_timeout=5, body_timeout=5).url
    kinds = {name: slow._replace(least=4, most=60) for name, slow in clients.SLOW.items()}
    asyncio.run(clients.slow_senders(url, 10, tally, kinds))
    assert tally.failures == []
    assert all(tally.counts[f"slow: {name}"] == 2 for name in kinds) and tally.counts["slow: good requests"] >= 1


def test_sigterm() -> None:
    tally = Tally()
    with server.process(tally, (sys.executable, "-c", QUICK)) as target:
        asyncio.run(clients.stop(target, random.Random(0), tally))
    assert tally.failures == [] and tally.counts["sigterm: answered"] == clients.ADMITTED
    late = {name: count for name, count in tally.counts.items() if name.startswith("sigterm: late")}
    assert sum(late.values()) == 2 * clients.LATE


def test_other_answers_and_memory_that_grows_would_be_found(target: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def overload(*_: Any) -> load.Tally:
        outcomes = Counter({"200": 5, "500 internal": 2, "ReadError": 1})
        return load.Tally(outcomes, seconds=0.2, memory=[100.0, 900.0], healthy=[0.1, 7.0])

    tally = Tally()
    monkeypatch.setattr(load, "overload", overload)
    asyncio.run(clients.overload(target, 4, 2, tally))
    assert [line.partition(" ")[0] for line in tally.failures] == ["overload:"] * 4
    assert {"500 internal", "ReadError"} == {
        line.split(" requests ended in ")[1].split(";")[0] for line in tally.failures[:2]
    }
    assert "grew by 800 MiB" in tally.failures[2] and "after 7.0 s" in tally.failures[3]


@OTHER_ADDRESSES
def test_captions_of_other_photos_and_a_server_that_refuses_all_would_be_found(target: Any) -> None:
    real, count = target.captioner.caption_preprocessed, itertools.count()

    def first_is_right(photos: Any, ask: Any) -> Any:
        return real(photos[::-1] if next(count) >= len(clients.photos()) else photos, ask)

    tally = Tally()
    target.captioner.caption_preprocessed = first_is_right
    asyncio.run(clients.overload(target, 10, 1, tally))
    assert any("with the caption of another photo" in line for line in tally.failures)

    tally = Tally()
    clients._judge(load.Tally(Counter({"503": 1000}), seconds=10, memory=[1.0], healthy=[0.1]), 10, tally)
    assert tally.failures == ["overload: 0 captions in 10 s; it can write 10.0 a second"]
    tally = Tally()
    clients._judge(load.Tally(Counter({"200": 100}), seconds=10, memory=[1.0], healthy=[0.1]), 10, tally)
    assert tally.failures == ["overload: 1.0 times what it can answer was asked; expected 10 times"]


@OTHER_ADDRESSES
def test_slow_senders_that_are_cut_off_too_late_or_without_a_word_would_be_found(run: Callable[..., Any]) -> None:  # noqa: F811
    tally = Tally()
    url = run(header_timeout=2, body_timeout=2).url
    kinds = {
        "head": clients.SLOW["head"],  # from 4 seconds on
        "other": clients.SLOW["head"]._replace(begin=b"no HTTP\r\n\r\n", least=0),
    }
    asyncio.run(clients.slow_senders(url, 2, tally, kinds))
    assert len(tally.failures) == 2
    assert "expected 4 to 10" in "".join(tally.failures) and "expected 408" in "".join(tally.failures)


def test_a_server_that_ends_at_once_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    tally = Tally()
    monkeypatch.setattr(clients.signal, "SIGTERM", signal.SIGKILL)
    with server.process(tally, (sys.executable, "-c", QUICK)) as target:
        asyncio.run(clients.stop(target, random.Random(0), tally))
    found = "".join(tally.failures)
    assert "exit code -9" in found and "a late request got nothing" in found


def test_what_the_server_logs_would_be_found() -> None:
    tally = Tally()
    program = "import sys; print('at http://127.0.0.1:1', file=sys.stderr); print('Traceback', file=sys.stderr)"
    with server.process(tally, (sys.executable, "-c", f"{program}; import time; time.sleep(600)")) as target:
        until(lambda: b"Traceback" in Path(f"/proc/{target.process.pid}/fd/2").read_bytes())
    assert tally.failures == ["log of the server: Traceback"]
