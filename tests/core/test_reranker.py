"""The expected CIDEr by its formula, and which hypothesis it puts first."""

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.core.test_decode import FREE, TOKENIZER, saying
from tests.fake_stepper import FakeStepper

from showtell.core.caption_ngrams import ngram_keys
from showtell.core.decode import decode
from showtell.core.reranker import Reranker, from_arrays, load_reranker
from showtell.core.stepper import POOLED
from showtell.errors import BadBundle
from showtell.settings import DecodeSettings

DOG, BEACH = (TOKENIZER.tokens_to_ids(["a", word])[1] for word in ("dog", "beach"))
NEAR_DOGS, NEAR_BEACHES = np.array([1.0, 0.0], np.float32), np.array([0.0, 1.0], np.float32)


def arrays(**changes: Any) -> dict[str, Any]:
    """Two landmarks, a photo of dogs and one of beaches; two n-grams, the words, in English."""
    keys = [int(ngram_keys([word])[0][0]) for word in sorted((DOG, BEACH))]
    first_is_dog = int(DOG < BEACH)
    direction = [[2 * first_is_dog - 1], [1 - 2 * first_is_dog]]
    made = {
        "centre": np.zeros(2, np.float32),
        "scale": np.ones(2, np.float32),
        "landmarks": np.array([[127, 0], [0, 127]], np.int8),
        "landmark_scale": np.full(2, 1 / 127, np.float32),
        "width": np.float32(0.5),
        "en.keys": np.array(keys, np.uint64),
        "en.idf": np.array([1.0, 2.0], np.float32),
        "en.unseen_idf": np.float32(3.0),
        "en.mean": np.array([0.25, 0.25], np.float32),
        "left": np.array([[1.0], [-1.0]], np.float16),
        "en.right": np.array(direction, np.int8) * 100,
        "en.right_scale": np.full(2, 1 / 400, np.float32),
        "en.lengths": np.array([0, 0, 0.5, 0, 0.5], np.float32),
    }
    return {name: np.asarray(array) for name, array in {**made, **changes}.items()}


def write(path: Path, content: Mapping[str, Any]) -> Path:
    np.savez(path, **content)
    return path


def test_expected_cider_by_hand() -> None:
    """A photo like the first landmark. kernel: exp(0) and exp(-2 / 0.5). seen: 1 - exp(-4). The n-gram `dog` is then
    expected with 0.25 + 0.25 seen; in "a dog" it weighs idf / sqrt(idf^2 + 3^2); people write 2 or 4 words."""
    made = arrays()
    reranker = from_arrays(made)
    seen = reranker.see(NEAR_DOGS)
    assert seen == pytest.approx([1 - np.exp(-4)])
    sentence = np.array(TOKENIZER.tokens_to_ids(["a", "dog"]))
    idf = float(made["en.idf"][0 if DOG < BEACH else 1])
    expected = 10 / 4 * idf / np.hypot(idf, 3) * (0.25 + 0.25 * (1 - np.exp(-4))) * (0.5 + 0.5 * np.exp(-4 / 72))
    assert reranker.languages["en"].expected_cider(seen, sentence) == pytest.approx(expected)


class WithPooled(FakeStepper):
    """Its memory has pooled features, too, as that of a network."""

    def init_state(self, memory: Any) -> Any:
        return super().init_state(memory["images"])


TWO = saying({"": {"a": 1}, "a": {"dog": 0.6, "beach": 0.4}, "a dog": {".": 1}, "a beach": {".": 1}})
SETTINGS = FREE.model_copy(update={"beam_size": 2})


def captions(
    settings: DecodeSettings, num: int = 1, language: str = "en", reranker: Reranker | None = None
) -> list[list[str]]:
    """Of a photo of dogs and of one of beaches; the network finds dogs more probable on both."""
    stepper = WithPooled([TWO, TWO])
    memory = {"images": stepper.encode([0, 1]), POOLED: np.stack([NEAR_DOGS, NEAR_BEACHES])}
    reranker = from_arrays(arrays()) if reranker is None else reranker
    found = decode(stepper, memory, 2, TOKENIZER, language, settings, num, reranker=reranker)
    return [[TOKENIZER.decode(hypothesis.tokens) for hypothesis in image] for image in found]


def test_the_photo_decides() -> None:
    assert captions(SETTINGS) == [["a dog"], ["a beach"]]
    assert captions(SETTINGS, num=2) == [["a dog", "a beach"], ["a beach", "a dog"]]


@pytest.mark.parametrize(
    ("changes", "language"),
    [({"rerank_weight": 0}, "en"), ({"beam_size": 1}, "en"), ({"num_beam_groups": 2}, "en"), ({}, "ar")],
)
def test_or_the_network_alone(changes: dict[str, Any], language: str) -> None:
    """Without a weight, with nothing to choose from, in groups, and in a language that the reranker does not know."""
    assert captions(SETTINGS.model_copy(update=changes), language=language) == [["a dog"], ["a dog"]]


def test_a_small_weight_is_outvoted() -> None:
    assert captions(SETTINGS.model_copy(update={"rerank_weight": 0.01})) == [["a dog"], ["a dog"]]


def test_hypotheses_say_what_is_expected_of_them() -> None:
    stepper, reranker = WithPooled([TWO]), from_arrays(arrays())
    memory = {"images": stepper.encode([0]), POOLED: NEAR_DOGS[None]}
    for settings in (SETTINGS, SETTINGS.model_copy(update={"rerank_weight": 0})):
        ((best, other),) = decode(stepper, memory, 1, TOKENIZER, "en", settings, 2, reranker=reranker)
        assert best.expected_cider is not None and other.expected_cider is not None
        assert best.expected_cider > other.expected_cider
    ((alone,),) = decode(stepper, memory, 1, TOKENIZER, "ar", SETTINGS, reranker=reranker)
    assert alone.expected_cider is None


# --- the file


def test_a_file_is_what_was_written(tmp_path: Path) -> None:
    reranker = load_reranker(write(tmp_path / "reranker.npz", arrays()), 2)
    assert captions(SETTINGS, reranker=reranker) == [["a dog"], ["a beach"]]


@pytest.mark.parametrize(
    "changes",
    [
        {"left": np.zeros((3, 1), np.float16)},
        {"left": np.zeros(2, np.float16)},
        {"en.mean": np.zeros(3, np.float32)},
        {"en.mean": np.array([np.nan, 0], np.float32)},
        {"en.right": np.zeros((2, 1), np.float32)},
        {"en.right": np.zeros(2, np.int8)},
        {"en.keys": np.array([5, 5], np.uint64)},
        {"en.keys": np.array([1, 2], np.int64)},
        {"centre": np.zeros(3, np.float32)},
        {"scale": np.zeros(2, np.float32)},
        {"landmarks": np.zeros(2, np.int8)},
        {"landmark_scale": np.zeros(5, np.float32)},
        {"width": np.float32(-1)},
        {"width": np.float32(np.inf)},
        {"en.unseen_idf": np.float32(np.nan)},
        {"en.lengths": np.float32(1)},
        {"width": np.zeros(2, np.float32)},
        {"de.keys": np.array([5], np.uint64)},
        {"en.lengths": np.array([["a"]])},
    ],
    ids=lambda changes: ",".join(changes),
)
def test_arrays_that_do_not_fit_are_refused(changes: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(BadBundle, match=r"reranker\.npz: no reranker \(.+\); run `showtell fit-reranker` again"):
        load_reranker(write(tmp_path / "reranker.npz", arrays(**changes)), 2)


class Harmful:
    def __reduce__(self) -> Any:
        return (Path("harmed").write_text, ("",))


def test_a_pickle_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    harmful = np.array([Harmful()], object)
    with pytest.raises(BadBundle, match="no reranker"):
        load_reranker(write(tmp_path / "reranker.npz", arrays(centre=harmful)), 2)
    (tmp_path / "other.npz").write_bytes(pickle.dumps(Harmful()))
    with pytest.raises(BadBundle, match="no reranker"):
        load_reranker(tmp_path / "other.npz", 2)
    assert not Path("harmed").exists()


def test_a_small_file_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "reranker.npz"
    np.savez_compressed(path, **arrays(centre=np.zeros(10_000_000)))
    assert path.stat().st_size < 100_000
    with pytest.raises(BadBundle, match="compressed"):
        load_reranker(path, 2)


def header(text: str) -> bytes:
    padded = text.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded.encode()


@pytest.mark.parametrize(
    "member",
    [
        b"no array",
        b"",
        b"\x93NUMPY\x09\x00",
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000000,), }"),
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (9999999999999999999999999999999,), }"),
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }"),
        header("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }") + bytes(8),
        header("{'descr': '<c16', 'fortran_order': False, 'shape': (1,), }") + bytes(16),
        header("__import__('os').abort()"),
    ],
)
def test_a_member_that_is_no_array_is_refused(member: bytes, tmp_path: Path) -> None:
    path = write(tmp_path / "reranker.npz", {name: a for name, a in arrays().items() if name != "centre"})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("centre.npy", member)
    with pytest.raises(BadBundle, match="no reranker"):
        load_reranker(path, 2)


@pytest.mark.parametrize("place", [6, 8])
def test_what_python_cannot_unpack_is_refused(place: int, tmp_path: Path) -> None:
    """Encrypted, and of a version that does not exist."""
    data = bytearray(write(tmp_path / "reranker.npz", arrays()).read_bytes())
    directory = data.index(b"PK\x01\x02")
    data[directory + place] = 1 if place == 8 else 99
    (tmp_path / "reranker.npz").write_bytes(data)
    with pytest.raises(BadBundle, match="no reranker"):
        load_reranker(tmp_path / "reranker.npz", 2)


@pytest.mark.parametrize("channels", [None, 3])
def test_that_of_another_encoder_is_refused(channels: int | None, tmp_path: Path) -> None:
    with pytest.raises(BadBundle, match=r"reads 2 channels, the encoder has (None|3)"):
        load_reranker(write(tmp_path / "reranker.npz", arrays()), channels)
