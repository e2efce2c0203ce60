"""Bodies that are too large, too slow, too many, or cut short."""

import asyncio

from starlette.types import Message, Receive, Scope, Send
from tests.serve.asking import Answer, ask, ask_async, echo, gate

from showtell.serve.limits import Limits


def test_more_bytes_than_the_header_said() -> None:
    small = Limits(body_bytes=10)
    exact = ask(gate(limits=small), pieces=[b"12345", b"67890"], transfer_encoding="chunked")
    assert (exact.status, exact.body) == (200, b"10")
    found = ask(gate(limits=small), pieces=[b"12345", b"67890", b"1"], transfer_encoding="chunked")
    assert (found.status, found.code) == (413, "body_too_large")
    assert found.headers["connection"] == "close"


def test_a_slow_sender_is_cut_off() -> None:
    limits = Limits(upload_seconds=0.2, deadline=5)
    found = ask(gate(limits=limits), pieces=[b"a", 0.05] * 100, transfer_encoding="chunked")
    assert (found.status, found.code) == (408, "slow_upload")
    # It is answered at once; then the gate looks away from the rest for two seconds, so that the answer arrives.
    assert found.seconds < 3
    assert ask(gate(limits=limits), pieces=[b"a", 0.05, b"b"], transfer_encoding="chunked").body == b"2"


def test_an_app_that_is_slow_to_read_does_not_make_the_sender_slow() -> None:
    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.3)
        await echo(scope, receive, send)

    limits = Limits(upload_seconds=0.2, deadline=5)
    assert ask(gate(slow, limits), pieces=[b"a"] * 5, transfer_encoding="chunked").body == b"5"


def test_who_is_still_sending_keeps_nobody_out() -> None:
    async def both() -> list[Answer]:
        app = gate(limits=Limits(requests=1))
        sending = [
            asyncio.ensure_future(ask_async(app, "/open", "POST", [b"a", 0.5], {"content-length": "9"}))
            for _ in range(5)
        ]
        await asyncio.sleep(0.1)
        good = await ask_async(app, "/open", "POST", [b"b"], {"content-length": "1"})
        return [good, *await asyncio.gather(*sending)]

    good, *others = asyncio.run(both())
    assert good.status == 200 and {each.status for each in others} <= {200, 503}


def test_bytes_of_all_requests_together_are_bounded() -> None:
    async def both() -> list[Answer]:
        app = gate(limits=Limits(body_bytes=100, bytes_in_work=150))
        pieces = [b"x" * 100, 0.3]
        tasks = [
            asyncio.ensure_future(ask_async(app, "/open", "POST", pieces, {"content-length": "100"})) for _ in range(2)
        ]
        answers = list(await asyncio.gather(*tasks))
        return [*answers, await ask_async(app, "/open", "POST", [b"x" * 100], {"content-length": "100"})]

    first, second, later = asyncio.run(both())
    assert sorted([first.status, second.status]) == [200, 503]
    assert {first.body, second.body} > {b"100"} and later.status == 200, "room is given back"


def test_a_server_that_stops_does_not_wait_for_bodies() -> None:
    async def both() -> Answer:
        app = gate()
        asking = asyncio.ensure_future(ask_async(app, "/open", "POST", [b"a", 9.0], {"content-length": "9"}))
        await asyncio.sleep(0.1)
        app.end_uploads()
        return await asking

    found = asyncio.run(both())
    assert (found.status, found.code) == (503, "stopping") and found.seconds < 4


def test_a_piece_that_comes_at_the_moment_of_stopping_does_not_hide_why() -> None:
    app, sent, received = gate(), [], []

    async def receive() -> Message:
        if received:
            await asyncio.sleep(30)
        received.append(1)
        app.end_uploads()
        return {"type": "http.request", "body": b"a", "more_body": True}

    async def send(message: Message) -> None:
        sent.append(message.get("status"))

    headers = [(b"host", b"localhost"), (b"content-length", b"9")]
    asyncio.run(app({"type": "http", "method": "POST", "path": "/open", "headers": headers}, receive, send))
    assert sent[0] == 503


def test_an_early_answer_closes_the_connection_when_more_would_come() -> None:
    async def early(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 422, "headers": []})
        await send({"type": "http.response.body", "body": b"no"})

    found = ask(gate(early), pieces=[0.1, b"a"], content_length="1000")
    assert (found.status, found.headers["connection"]) == (422, "close")
    assert "connection" not in ask(gate(early), method="GET").headers
