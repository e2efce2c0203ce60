"""Questions that strangers send: each gets captions or one plain sentence, and opens no file."""

import asyncio
import base64
import io
import json
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.serve.doubles import QuickCaptioner, mean_colour

from showtell.serve.batcher import Batcher
from showtell.serve.limits import Limits
from showtell.serve.page_answers import PageAnswers, examples, picture_url
from showtell.serve.service import Service

buffer = io.BytesIO()
Image.new("RGB", (32, 16), (200, 30, 10)).save(buffer, "PNG")
RED = buffer.getvalue()
PHOTO = base64.b64encode(RED).decode()
ASKED = {"id": 7, "photo": PHOTO, "language": "en", "beam": 3, "num": 2, "picture": False}


class Desk:
    """Answers to questions, one after another."""

    def __init__(self, **limits: Any) -> None:
        self.captioner, self.limits = QuickCaptioner(), Limits(**{"wait": 0, **limits})
        self.batcher = Batcher(self.captioner, self.limits)
        self.answers = PageAnswers(Service(self.captioner, self.batcher, self.limits))

    def ask(self, **changes: Any) -> dict[str, Any]:
        question = {key: value for key, value in {**ASKED, **changes}.items() if value is not ...}
        return asyncio.run(self.answers.answer(question, "page"))

    def close(self) -> None:
        self.captioner.go.set()
        assert self.batcher.close(30)


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk()
    yield desk
    desk.close()


def test_a_photo_becomes_captions(desk: Desk) -> None:
    answer = desk.ask()
    assert answer["id"] == 7 and answer["language"] == "en" and answer["picture"] is None
    assert [caption["text"] for caption in answer["captions"]] == [mean_colour(RED)] * 2
    [word] = answer["captions"][0]["words"]
    assert len(word["attention"]) == 7 and sum(map(sum, word["attention"])) == pytest.approx(1, abs=1e-3)
    json.dumps(answer)  # no numpy numbers in it


def test_the_picture_is_upright_and_of_the_size_of_a_screen() -> None:
    photo = Image.new("RGB", (3000, 1500), "white")
    photo.paste("black", (0, 0, 1500, 1500))  # its left half
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6  # turn it to the right to see it upright
    photo.save(file, "JPEG", exif=exif)
    url = picture_url(file.getvalue(), 1024)
    picture = Image.open(io.BytesIO(base64.b64decode(url.removeprefix("data:image/jpeg;base64,"))))
    assert picture.size == (512, 1024) and not picture.getexif()
    assert picture.getpixel((256, 100)) < (30, 30, 30) and picture.getpixel((256, 900)) > (220, 220, 220)


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"", "empty"), (b"hello", "not_an_image"), (b"%!PS-Adobe", "unsupported"), (RED[:40], "truncated")],
)
def test_a_bad_file_gets_its_code_and_a_plain_sentence(desk: Desk, data: bytes, code: str) -> None:
    error = desk.ask(photo=base64.b64encode(data).decode())["error"]
    assert error["code"] == code and error["detail"] and error["text"].endswith(".")


@pytest.mark.parametrize(
    "changes",
    [
        {"photo": "/etc/passwd"},
        {"photo": {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}},
        {"photo": {"url": "http://127.0.0.1:1/"}},
        {"photo": ["a"]},
        {"photo": None},
        {"photo": ...},
        {"photo": PHOTO + "é"},
        {"photo": ..., "example": "/etc/passwd"},
        {"photo": ..., "example": "../page.py"},
        {"photo": ..., "example": "credits.json"},
        {"photo": ..., "example": ["dog.jpg"]},
        {"language": "de"},
        {"language": 3},
        {"beam": 11},
        {"beam": 0},
        {"beam": True},
        {"beam": 3.0},
        {"beam": "3"},
        {"beam": None},
        {"num": 11},
        {"num": -1},
        {"num": "many"},
    ],
)
def test_questions_that_the_page_does_not_ask_are_refused(desk: Desk, changes: dict[str, Any]) -> None:
    answer = desk.ask(**changes)
    assert answer["error"]["code"] == "bad_request" and answer["id"] == 7
    assert desk.captioner.photos == 0


@pytest.mark.parametrize("question", [None, 3, "photo", [PHOTO], {}, {"id": {"a": 1}}])
def test_no_question_at_all(desk: Desk, question: object) -> None:
    answer = asyncio.run(desk.answers.answer(question, "page"))
    assert answer["error"]["code"] == "bad_request" and answer["id"] is None


def test_an_example_is_found_by_its_name(desk: Desk) -> None:
    for path in examples():
        assert "captions" in desk.ask(photo=..., example=path.name)


def test_the_examples_are_small_and_have_credits() -> None:
    folder = examples()[0].parent
    credits = json.loads((folder / "credits.json").read_text())
    assert sorted(credits) == [path.name for path in examples()]
    assert len(credits) == 5 and sum(path.stat().st_size for path in examples()) < 250_000
    readme = (folder / "README.md").read_text()
    assert all(f"`{name}`" in readme for name in credits)


def test_a_photo_that_is_larger_than_a_request_may_be() -> None:
    desk = Desk(body_bytes=8192)
    assert desk.ask(photo="A" * 8192)["error"]["code"] == "too_large"
    desk.close()


def test_photos_in_work_take_no_more_memory_than_they_may() -> None:
    desk = Desk(page_bytes=100)
    assert desk.ask(photo="A" * 104)["error"]["code"] == "queue_full"
    assert desk.ask(photo="A" * 96)["error"]["code"] == "not_an_image"
    assert desk.ask(photo="A" * 96)["error"]["code"] == "not_an_image"  # what is done counts no longer
    desk.close()


def test_a_full_queue_says_when_to_come_back() -> None:
    desk = Desk(queue=1)
    desk.captioner.go.clear()
    held: Future[Any] = desk.batcher.submit([RED], desk.answers._ask(ASKED))
    assert desk.captioner.running.wait(30)
    error = desk.ask()["error"]
    assert error["code"] == "queue_full" and error["text"] == "Many photos are waiting. Try again in 1 s."
    desk.captioner.go.set()
    held.result(30)
    desk.close()


def test_a_client_with_many_pages_leaves_room_for_another() -> None:
    desk = Desk(queue=4)

    async def ask_together() -> list[dict[str, Any]]:
        desk.captioner.go.clear()
        asking = [asyncio.create_task(desk.answers.answer(dict(ASKED), f"page{n}", "greedy")) for n in range(4)]
        await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)  # one of them is turned away
        asking.append(asyncio.create_task(desk.answers.answer(dict(ASKED), "other", "modest")))
        while desk.batcher.waiting < 4:
            await asyncio.sleep(0.01)
        asking.append(asyncio.create_task(desk.answers.answer({**ASKED, "photo": "no photo"}, "third", "odd")))
        desk.captioner.go.set()
        return list(await asyncio.gather(*asking))

    *greedy, modest, odd = asyncio.run(ask_together())
    assert sorted("captions" in each for each in greedy) == [False, True, True, True]
    assert "captions" in modest and odd["error"]["code"] == "bad_request"
    store = desk.answers._store
    assert store._left == desk.limits.page_bytes and not store._held, "nothing is held any more"
    desk.close()


def test_a_server_that_stops_says_so(desk: Desk) -> None:
    desk.batcher.stop_admitting()
    assert desk.ask()["error"]["code"] == "stopping"


def test_a_question_that_takes_too_long_is_given_up_and_leaves_the_queue() -> None:
    desk = Desk(deadline=0.2, upload_seconds=0.1)
    desk.captioner.go.clear()
    assert desk.ask()["error"]["code"] == "deadline"
    assert desk.batcher.waiting == 0
    desk.close()


def test_a_newer_question_of_the_same_page_takes_the_place_of_an_older(desk: Desk) -> None:
    async def both() -> list[dict[str, Any]]:
        desk.captioner.go.clear()
        older = asyncio.create_task(desk.answers.answer({**ASKED, "id": 1}, "page"))
        while not desk.captioner.running.is_set():
            await asyncio.sleep(0.01)
        newer = asyncio.create_task(desk.answers.answer({**ASKED, "id": 2}, "page"))
        replaced = await older  # although the network has not moved
        desk.captioner.go.set()
        return [replaced, await newer]

    older, newer = asyncio.run(both())
    assert older == {"id": 1, "error": {"code": "replaced", "text": ""}}
    assert newer["id"] == 2 and "captions" in newer


def test_a_bug_is_logged_and_not_told(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*args: object) -> None:
        raise RuntimeError(f"secret of {Path(__file__)}")

    monkeypatch.setattr(desk.captioner, "caption_prepared", broken)
    answer = desk.ask()
    assert answer["error"]["code"] == "internal" and "secret" not in json.dumps(answer)
    assert "secret" in caplog.text
