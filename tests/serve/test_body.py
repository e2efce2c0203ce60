"""Request bodies that are too large, too slow, too many, or cut short; in fake time."""

import asyncio

import pytest
from starlette.types import Message, Receive, Scope, Send
from tests.clocks import run_with_autojump
from tests.serve.asking import Answer, admission, ask, ask_async, echo

from showtell.serve.body import LINGERING_TIMEOUT
from showtell.serve.limits import Limits

TIMEOUTS = Limits(body_timeout=20, request_timeout=30)


def test_more_bytes_than_the_header_said() -> None:
    small = Limits(body_bytes=10)
    exact = ask(admission(limits=small), pieces=[b"12345", b"67890"], transfer_encoding="chunked")
    assert (exact.status, exact.body) == (200, b"10")
    answer = ask(admission(limits=small), pieces=[b"12345", b"67890", b"1"], transfer_encoding="chunked")
    assert (answer.status, answer.code) == (413, "body_too_large")
    assert answer.headers["connection"] == "close"


def test_a_slow_sender_is_cut_off() -> None:
    answer = ask(admission(limits=TIMEOUTS), pieces=[b"a", 6.0] * 100, transfer_encoding="chunked")
    assert (answer.status, answer.code) == (408, "slow_upload")
    assert answer.response_seconds == pytest.approx(20)
    assert answer.seconds == pytest.approx(20 + LINGERING_TIMEOUT), "a lingering close, so that the response arrives"
    assert ask(admission(limits=TIMEOUTS), pieces=[b"a", 19.0, b"b"], transfer_encoding="chunked").body == b"2"


def test_an_app_that_is_slow_to_read_does_not_make_the_sender_slow() -> None:
    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(25)
        await echo(scope, receive, send)

    answer = ask(admission(slow, TIMEOUTS), pieces=[b"a"] * 5, transfer_encoding="chunked")
    assert answer.body == b"5" and answer.seconds == pytest.approx(25)


def test_requests_that_are_still_sending_take_no_place() -> None:
    async def requests() -> list[Answer]:
        app = admission(limits=Limits(concurrent_requests=1))
        sending = [
            asyncio.ensure_future(ask_async(app, "/open", "POST", [b"a", 10.0], {"content-length": "9"}))
            for _ in range(5)
        ]
        await asyncio.sleep(1)
        good = await ask_async(app, "/open", "POST", [b"b"], {"content-length": "1"})
        assert not any(task.done() for task in sending)
        return [good, *await asyncio.gather(*sending)]

    good, *others = run_with_autojump(requests())
    assert good.status == 200 and {answer.status for answer in others} <= {200, 503}


def test_bytes_of_all_requests_together_are_bounded() -> None:
    async def requests() -> list[Answer]:
        app = admission(limits=Limits(body_bytes=100, inflight_bytes=150))
        pieces = [b"x" * 100, 1.0]
        tasks = [
            asyncio.ensure_future(ask_async(app, "/open", "POST", pieces, {"content-length": "100"})) for _ in range(2)
        ]
        answers = list(await asyncio.gather(*tasks))
        return [*answers, await ask_async(app, "/open", "POST", [b"x" * 100], {"content-length": "100"})]

    first, second, later = run_with_autojump(requests())
    assert sorted([first.status, second.status]) == [200, 503]
    assert {first.body, second.body} > {b"100"} and later.status == 200, "the bytes are released"


def test_a_shutdown_does_not_wait_for_bodies() -> None:
    async def request() -> Answer:
        app = admission()
        asking = asyncio.ensure_future(ask_async(app, "/open", "POST", [b"a", 9.0], {"content-length": "9"}))
        await asyncio.sleep(1)
        app.drain()
        return await asking

    answer = run_with_autojump(request())
    assert (answer.status, answer.code) == (503, "stopping")
    assert answer.response_seconds == pytest.approx(1) and answer.seconds == pytest.approx(1 + LINGERING_TIMEOUT)


def test_a_message_that_comes_at_the_moment_of_the_shutdown_does_not_hide_why() -> None:
    app, sent, received = admission(), [], []

    async def receive() -> Message:
        if received:
            await asyncio.sleep(30)
        received.append(1)
        app.drain()
        return {"type": "http.request", "body": b"a", "more_body": True}

    async def send(message: Message) -> None:
        sent.append(message.get("status"))

    headers = [(b"host", b"localhost"), (b"content-length", b"9")]
    run_with_autojump(app({"type": "http", "method": "POST", "path": "/open", "headers": headers}, receive, send))
    assert sent[0] == 503


def test_an_early_response_closes_the_connection_when_more_would_come() -> None:
    async def early(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 422, "headers": []})
        await send({"type": "http.response.body", "body": b"no"})

    answer = ask(admission(early), pieces=[0.1, b"a"], content_length="1000")
    assert (answer.status, answer.headers["connection"]) == (422, "close")
    assert "connection" not in ask(admission(early), method="GET").headers


@pytest.mark.parametrize(
    ("pieces", "seconds"),
    [
        ([b"a", 1.0] * 9, 9),  # sends on, and reads when it has sent everything
        ([b"a", 1.0, b"a", 30.0], 1 + LINGERING_TIMEOUT),  # sends nothing more
        ([b"a", 1.0] * 90, 20),  # does not end
    ],
)
def test_a_refused_client_may_end_what_it_sends(pieces: list[bytes | float], seconds: float) -> None:
    """Closed before, the connection would be reset, and the client lose the response."""

    async def early(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 422, "headers": []})
        await send({"type": "http.response.body", "body": b"no"})

    reading_first = ask(admission(early, TIMEOUTS), pieces=pieces, content_length="1000")
    refused = ask(admission(limits=TIMEOUTS), "/nowhere", pieces=pieces, content_length="1000")
    for answer in (reading_first, refused):
        assert (answer.response_seconds, answer.seconds) == pytest.approx((0, seconds), abs=LINGERING_TIMEOUT)


def test_a_shutdown_leaves_a_response_that_is_on_its_way() -> None:
    async def request() -> Answer:
        app = admission(limits=Limits(body_bytes=1))
        asking = asyncio.ensure_future(ask_async(app, "/open", "POST", [b"ab", 1.0, b"c"], {"content-length": "1"}))
        await asyncio.sleep(0.5)
        app.drain()
        return await asking

    answer = run_with_autojump(request())
    assert (answer.status, answer.complete) == (413, True)


def test_connections_end_with_the_response_while_the_server_stops() -> None:
    app = admission()
    assert "connection" not in ask(app, method="GET").headers
    app.drain()
    assert ask(app, method="GET").headers["connection"] == "close"


@pytest.mark.parametrize("is_early", [True, False])
def test_a_shutdown_waits_for_no_refused_client_that_sends_on(is_early: bool) -> None:
    async def early(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 422, "headers": []})
        await send({"type": "http.response.body", "body": b"no"})

    async def request() -> Answer:
        app = admission(early, TIMEOUTS)
        pieces = [b"a", 1.0] * 90
        asking = asyncio.ensure_future(
            ask_async(app, "/open" if is_early else "/nowhere", "POST", pieces, {"content-length": "1000"})
        )
        await asyncio.sleep(5.5)
        app.drain()
        return await asking

    answer = run_with_autojump(request())
    assert answer.complete and answer.seconds == pytest.approx(5.5 + LINGERING_TIMEOUT)


def test_a_response_is_complete_where_the_time_of_its_request_ends_meanwhile() -> None:
    async def early(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 422, "headers": []})
        await send({"type": "http.response.body", "body": b"no"})

    short = Limits(body_timeout=10, request_timeout=10)
    answer = ask(admission(early, short), pieces=[0.1, *[b"a", 1.0] * 90], content_length="1000")
    assert (answer.status, answer.complete) == (422, True)


def test_bytes_of_a_refused_request_are_not_in_work() -> None:
    async def requests() -> Answer:
        app = admission(limits=Limits(body_bytes=100, inflight_bytes=150))
        refused = [b"x" * 90, b"x" * 90, 1.0, b"x" * 90, 1.0, b"x" * 90, 1.0]
        asking = asyncio.ensure_future(ask_async(app, "/open", "POST", refused, {"transfer-encoding": "chunked"}))
        await asyncio.sleep(1.5)
        answer = await ask_async(app, "/open", "POST", [b"x" * 100], {"content-length": "100"})
        assert (await asking).status == 413
        return answer

    assert run_with_autojump(requests()).status == 200
