"""One captioner in several threads, in asyncio, pickled and copied."""

import asyncio
import copy
import pickle
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.clocks import HANG_SECONDS
from tests.core.test_bundle import rehash

from showtell import Captioner
from showtell.core.bundle import builtin
from showtell.core.ensemble import Ensemble
from showtell.core.onnx_stepper import OnnxStepper
from showtell.errors import BadBundle, BadConfig

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.jpg"))[2:]


@pytest.fixture(scope="module")
def captioner() -> Captioner:
    return Captioner.load(threads=2)


class Own(Captioner):
    pass


def greedy_texts(captioner: Captioner, photos: list[Path] = EXAMPLES) -> list[str]:
    settings = captioner.settings(beam_size=1)
    return [row.captions[0].text for row in captioner.caption_many(photos, decode=settings)]


def test_threads_share_a_captioner(captioner: Captioner) -> None:
    expected = greedy_texts(captioner)
    with ThreadPoolExecutor(4) as pool:
        orders = [EXAMPLES[n:] + EXAMPLES[:n] for n in range(3)]
        found = list(pool.map(lambda order: greedy_texts(captioner, order), orders))
    assert found == [expected[n:] + expected[:n] for n in range(3)]


def test_asyncio_captions_in_a_thread(captioner: Captioner) -> None:
    """Of a cancelled task the thread goes on, and the captioner stays usable."""
    expected, settings = greedy_texts(captioner), captioner.settings(beam_size=1)

    async def main() -> list[str]:
        begun, go = threading.Event(), threading.Event()

        def photo() -> Path:
            begun.set()
            assert go.wait(HANG_SECONDS)
            return EXAMPLES[0]

        cancelled = asyncio.create_task(asyncio.to_thread(captioner.caption, photo, decode=settings))
        await asyncio.to_thread(begun.wait)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        go.set()
        several = [asyncio.to_thread(captioner.caption, path, decode=settings) for path in EXAMPLES]
        together = [caption.text for caption in await asyncio.gather(*several)]
        rows = captioner.caption_many(EXAMPLES, decode=settings)
        while (row := await asyncio.to_thread(next, rows, None)) is not None:
            assert row.captions[0].text == together[EXAMPLES.index(row.source)]
        return together

    assert asyncio.run(main()) == expected


def test_rows_keep_their_captioner(captioner: Captioner) -> None:
    own = Captioner.load(threads=1)
    rows = own.caption_many(EXAMPLES, batch_size=1, decode=own.settings(beam_size=1))
    found = [next(rows)]
    del own
    assert [row.captions[0].text for row in [*found, *rows]] == greedy_texts(captioner)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickled_captioner_loads_again(captioner: Captioner, protocol: int) -> None:
    pickled = pickle.dumps(captioner, protocol)
    assert len(pickled) < 1000, "its path and not its weights"
    again = pickle.loads(pickled)  # noqa: S301 (of this test)
    assert isinstance(again.stepper, OnnxStepper) and again.stepper.threads == 2
    assert again.bundle.manifest == captioner.bundle.manifest
    settings = captioner.settings(beam_size=1)
    assert again.caption(EXAMPLES[0], decode=settings) == captioner.caption(EXAMPLES[0], decode=settings)


def test_a_pickled_ensemble_and_a_subclass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(builtin(), tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    ensemble = Own.load([builtin(), "model"], threads=1)
    monkeypatch.chdir("/")
    again = pickle.loads(pickle.dumps(ensemble))  # noqa: S301 (of this test)
    assert type(again) is Own and isinstance(again.stepper, Ensemble)
    assert [bundle.path for bundle in again.bundles] == [builtin(), tmp_path / "model"]
    assert [member.threads for member in again.stepper.members] == [1, 1]
    assert greedy_texts(again, EXAMPLES[:1]) == greedy_texts(ensemble, EXAMPLES[:1])


def test_a_captioner_made_of_parts_is_pickled_with_them(captioner: Captioner) -> None:
    again = pickle.loads(pickle.dumps(Captioner(captioner.bundle, captioner.stepper)))  # noqa: S301 (of this test)
    assert greedy_texts(again, EXAMPLES[:1]) == greedy_texts(captioner, EXAMPLES[:1])


def test_a_pickled_captioner_of_a_model_that_is_gone_or_another(tmp_path: Path) -> None:
    model = Path(shutil.copytree(builtin(), tmp_path / "model"))
    pickled = pickle.dumps(Captioner.load(model, threads=1))
    (model / "README.md").write_text("My card.", encoding="utf-8")
    assert pickle.loads(pickled).languages == ("en", "ar", "de")  # noqa: S301 (of this test)
    tokenizer = (model / "tokenizer.json").read_text(encoding="utf-8") + "\n"
    (model / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
    rehash(model, "tokenizer.json")
    with pytest.raises(BadBundle, match="another model than when the captioner was pickled; pickle it again"):
        pickle.loads(pickled)  # noqa: S301 (of this test)
    shutil.rmtree(model)
    with pytest.raises(BadBundle, match="no such model folder"):
        pickle.loads(pickled)  # noqa: S301 (of this test)


def test_copies_share_the_networks(captioner: Captioner) -> None:
    for other in (copy.copy(captioner), copy.deepcopy(captioner)):
        assert other is not captioner and other.stepper is captioner.stepper
        assert greedy_texts(other) == greedy_texts(captioner)
    with pytest.raises(BadConfig):
        copy.copy(captioner).caption_many(EXAMPLES, batch_size=0)
