"""Seconds of overload, slow senders and SIGTERM, with a quick model; and what the torture looks for would be found."""

import asyncio
import random
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from tests import skips

pytest.importorskip("fastapi", reason=skips.PACKAGES)

from tests.serve.conftest import run  # noqa: F401 (a fixture)
from tests.serve.running import OTHER_ADDRESSES
from torture.harness import Tally

from benchmarks import serve as load
from torture import server

QUICK = """
from tests.serve.doubles import QuickCaptioner
from showtell.serve import server
from showtell.serve.limits import Limits
server.serve(QuickCaptioner(), Limits(), server.ServerConfig(port=0, page=False))
"""


@pytest.fixture
def target(run: Callable[..., Any]) -> Any:  # noqa: F811
    running = run()
    running.memory = lambda: 100.0
    return running


@OTHER_ADDRESSES
def test_overload(target: Any) -> None:
    tally = Tally()
    asyncio.run(server.overload(target, 20, 2, tally))
    assert tally.failures == []
    assert sum(tally.counts[f"overload: {name}"] for name in ("200", "503", "disconnected")) == 40


@OTHER_ADDRESSES
def test_slow_senders(run: Callable[..., Any]) -> None:  # noqa: F811
    tally = Tally()
    asyncio.run(server.slow_senders(run(header_timeout=5, body_timeout=5).url, 10, tally))
    assert tally.failures == []
    assert tally.counts["slow: cut off"] == 10 and tally.counts["slow: good requests"] >= 1


def test_sigterm() -> None:
    tally = Tally()
    with server.process((sys.executable, "-c", QUICK)) as target:
        asyncio.run(server.stop(target, random.Random(0), tally))
    assert tally.failures == [] and tally.counts["sigterm: answered"] == server.ADMITTED


def test_other_answers_and_memory_that_grows_would_be_found(target: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def overload(*_: Any) -> load.Tally:
        outcomes = Counter({"200": 5, "500": 2, "ReadError": 1})
        return load.Tally(outcomes, memory=[100.0, 900.0], healthy=[0.1])

    tally = Tally()
    monkeypatch.setattr(load, "overload", overload)
    asyncio.run(server.overload(target, 4, 2, tally))
    assert [line.partition(" ")[0] for line in tally.failures] == ["overload:"] * 3
    assert "500" in tally.failures[0] and "grew by 800 MiB" in tally.failures[2]
