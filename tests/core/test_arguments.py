"""Mistakes in arguments: one sentence each, before any image is read; and everything that is a photo alone."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests import bad_images

from showtell import Captioner
from showtell.core.arguments import is_one_photo, photos, whole_number
from showtell.core.sources import ImageInput
from showtell.errors import BadBundle, BadConfig, ShowtellError

DOG = Path(__file__).parents[2] / "examples" / "dog.jpg"


@pytest.fixture(scope="module")
def captioner() -> Captioner:
    return Captioner.load(threads=1)


def never() -> Iterator[Path]:
    raise AssertionError("looked at an image")
    yield


def one_sentence(call: Callable[[], Any], kind: type[ShowtellError] = BadConfig) -> str:
    with pytest.raises(kind) as raised:
        call()
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 250
    return str(raised.value)


# --- numbers and options

NO_NUMBERS = [2.0, 2.5, True, np.True_, "8", None, [3], np.float32(2), float("nan"), 3 + 0j, b"8"]


@pytest.mark.parametrize("value", NO_NUMBERS)
def test_what_is_no_whole_number(captioner: Captioner, value: Any) -> None:
    for name in ("batch_size", "num"):
        message = one_sentence(lambda name=name: captioner.caption_many(never(), **{name: value}))
        assert message.startswith(f"{name}: found ") and message.endswith("expected a whole number, 1 or more")
    message = one_sentence(lambda: Captioner.load(threads=value))
    assert message.startswith("threads: found ") and message.endswith("expected a whole number, 0 to 256")
    message = one_sentence(lambda: captioner.score_captions(never(), [], batch_size=value))
    assert message.startswith("batch_size: found ")
    if value is not None:
        message = one_sentence(lambda: captioner.settings(beam_size=value))
        assert message.startswith("beam_size: found ") and message.endswith("expected a whole number")


@pytest.mark.parametrize("value", [0, -1, np.int64(-3), -(10**30)])
def test_a_number_below_its_range(captioner: Captioner, value: Any) -> None:
    for name in ("batch_size", "num"):
        message = one_sentence(lambda name=name: captioner.caption_many(never(), **{name: value}))
        assert message == f"{name}: found {value}; expected 1 or more"


@pytest.mark.parametrize("value", [-1, 257, 10**6])
def test_a_number_of_threads_out_of_range(value: int) -> None:
    assert one_sentence(lambda: Captioner.load(threads=value)) == f"threads: found {value}; expected 0 to 256"


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3), np.array(3)])
def test_every_type_of_whole_number_is_one(captioner: Captioner, value: Any) -> None:
    assert whole_number("n", value, 1, 3) == 3 and type(whole_number("n", value, 1)) is int
    assert captioner.settings(beam_size=value).beam_size == 3
    (row,) = captioner.caption_many([DOG], batch_size=value, num=value, decode=captioner.settings(beam_size=value))
    assert len(row.captions) == 3


@pytest.mark.parametrize("value", ["yes", "no", 1, 0, None])
def test_attention_is_true_or_false(captioner: Captioner, value: Any) -> None:
    message = one_sentence(lambda: captioner.caption_many(never(), attention=value))
    assert message == f"attention: found {value!r}; expected True or False"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"beams": 3}, "beams is no decode setting; did you mean 'beam_size'?"),
        ({"beam": 3}, "beam is now beam_size"),
        ({"beam_size": 0}, "beam_size: found 0; expected it to be greater than or equal to 1"),
        ({"beam_size": 65}, "beam_size: found 65; expected it to be less than or equal to 64"),
        ({"min_length": 50}, "min_length 50 is above max_length 22"),
        ({"length_penalty": "1"}, "length_penalty: found '1'; expected a number"),
        ({"length_penalty": True}, "length_penalty: found True; expected a number"),
        ({"length_penalty": float("nan")}, "length_penalty: found nan; expected it to be greater than or equal to 0"),
        ({"bad_endings": "a"}, "bad_endings: found 'a'; expected it to be a valid tuple"),
        ({"beam_size": 3, "num_beam_groups": 2}, "beam_size 3 is no multiple of num_beam_groups 2"),
    ],
)
def test_a_wrong_decode_setting(captioner: Captioner, changes: dict[str, Any], expected: str) -> None:
    assert one_sentence(lambda: captioner.settings(**changes)) == expected


@pytest.mark.parametrize("decode", [{"beam_size": 3}, "greedy", 3, False])
def test_decode_settings_of_another_type(captioner: Captioner, decode: Any) -> None:
    message = one_sentence(lambda: captioner.caption(DOG, decode=decode))
    assert message == f"decode: found {type(decode).__name__}; expected captioner.settings(beam_size=3) or None"


@pytest.mark.parametrize("language", ["fr", "english", 3, ["en"], ""])
def test_a_language_that_the_model_does_not_write(captioner: Captioner, language: Any) -> None:
    message = one_sentence(lambda: captioner.caption_many(never(), language=language))
    assert message == f"found language {language!r}; this model writes en, ar, de"


# --- the model


@pytest.mark.parametrize("model", [3, 2.5, [None], {"folder": "x"}, b"model", [["model"]], "", [""], object()])
def test_a_model_that_is_no_path(model: Any) -> None:
    message = one_sentence(lambda: Captioner.load(model))
    assert message.startswith("model: found ") and "expected" in message


def test_a_model_by_url() -> None:
    message = one_sentence(lambda: Captioner.load("https://huggingface.co/a/b"), BadBundle)
    assert message.startswith("https://huggingface.co/a/b: is a URL, and models are not downloaded")


def test_models_by_any_iterable() -> None:
    folder = Captioner.load().bundle.path
    assert len(Captioner.load(path for path in (folder, str(folder))).bundles) == 2


# --- photos


class PathOfAnotherLibrary:
    def __init__(self, path: str | bytes) -> None:
        self._path = path

    def __fspath__(self) -> str | bytes:
        return self._path


def one_photo() -> dict[str, Any]:
    with Image.open(DOG) as opened:
        image = opened.convert("RGB")
    data, pixels = DOG.read_bytes(), np.asarray(image)
    return {
        "str": str(DOG),
        "numpy str": np.str_(DOG),
        "Path": DOG,
        "a path of another library": PathOfAnotherLibrary(str(DOG)),
        "a path of bytes": PathOfAnotherLibrary(bytes(DOG)),
        "ImageInput": ImageInput(str(DOG)),
        "bytes": data,
        "bytearray": bytearray(data),
        "memoryview": memoryview(data),
        "file": io.BytesIO(data),
        "array": pixels,
        "PIL image": image,
        "function": lambda: DOG,
    }


@pytest.mark.parametrize("kind", one_photo())
def test_a_photo_alone_is_one_photo(captioner: Captioner, kind: str) -> None:
    photo, settings = one_photo()[kind], captioner.settings(beam_size=1)
    rows = list(captioner.caption_many(photo, decode=settings))
    assert [row.source is photo for row in rows] == [True]
    assert "shepherd" in rows[0].captions[0].text
    assert captioner.caption(photo, decode=settings) == rows[0].captions[0]


def test_the_captions_of_a_photo_alone(captioner: Captioner) -> None:
    (two,) = captioner.score_captions([DOG], [["a dog", "a cat"]])
    (one,) = captioner.score_captions([DOG], [["a dog"]])
    assert two is not None and one is not None and (two.tokens, one.tokens) == (6, 3)
    assert list(captioner.score_captions(str(DOG), ["a dog", "a cat"])) == [two]
    assert list(captioner.score_captions(DOG, "a dog")) == [one]
    assert list(captioner.score_captions([DOG], ["a dog"])) == [one], "no letters"


@pytest.mark.parametrize(
    ("captions", "expected"),
    [
        ([["a dog"]], "found more images than captions"),
        ([["a dog"]] * 3, "found more captions than images"),
        ([[], ["a dog"]], "found []; expected one or more texts"),
        ([[1], ["a dog"]], "found [1]; expected one or more texts"),
        ([None, ["a dog"]], "found None; expected a list of texts"),
    ],
)
def test_captions_that_do_not_belong_to_the_images(captioner: Captioner, captions: Any, expected: str) -> None:
    message = one_sentence(lambda: list(captioner.score_captions([DOG, DOG], captions)))
    assert message.startswith(f"captions: {expected}")


def test_several_photos_in_every_container(captioner: Captioner) -> None:
    with Image.open(DOG) as image:
        pixels = np.asarray(image.convert("RGB").resize((64, 48)))
    data = bad_images.rotated_jpeg()
    several: list[Any] = [
        [DOG, data],
        (DOG, data),
        {DOG, data},
        {DOG: "a", data: "b"},
        {"a": DOG, "b": data}.values(),
        iter([DOG, data]),
        (photo for photo in (DOG, data)),
        np.array([str(DOG), str(DOG)]),
        np.array([DOG, data], object),
        np.stack([pixels, pixels]),
    ]
    settings = captioner.settings(beam_size=1, max_length=2)
    for images in several:
        assert [row.error for row in captioner.caption_many(images, decode=settings)] == [None, None]


def test_the_bytes_of_a_file_as_an_array_are_one_photo(captioner: Captioner) -> None:
    """As cv2.imencode and np.fromfile give them."""
    (row,) = captioner.caption_many(np.frombuffer(DOG.read_bytes(), np.uint8))
    assert row.error == "unsupported" and str(row.detail).endswith("the bytes of a file are image.tobytes()")


@pytest.mark.parametrize("images", [None, 3, 2.5, True, object()])
def test_what_is_neither_a_photo_nor_several(captioner: Captioner, images: Any) -> None:
    message = one_sentence(lambda: captioner.caption_many(images))
    assert message.startswith("images: found ") and "expected" in message


def test_a_table_is_not_the_names_of_its_columns() -> None:
    class Table:
        columns = ("path", "caption")
        ndim = 2

        def __iter__(self) -> Iterator[str]:
            return iter(self.columns)

    assert one_sentence(lambda: photos(Table())) == ("images: found a Table; expected photos, give one of its columns")


def test_tensors_are_arrays(captioner: Captioner) -> None:
    torch = pytest.importorskip("torch")
    with Image.open(DOG) as image:
        tensor = torch.from_numpy(np.array(image.convert("RGB")))
    settings = captioner.settings(beam_size=1)
    assert is_one_photo(tensor) and not is_one_photo(tensor[None])
    assert is_one_photo(torch.zeros(9, dtype=torch.uint8)), "the bytes of a file, not 9 photos"
    text = captioner.caption(DOG, decode=settings).text
    assert captioner.caption(tensor, decode=settings).text == text
    (row,) = captioner.caption_many(tensor[None], decode=settings)
    assert row.captions[0].text == text
    channels_first, with_gradient = tensor.permute(2, 0, 1), tensor.float().requires_grad_()
    first, second = captioner.caption_many([channels_first, with_gradient])
    assert first.error == "unsupported" and "channels come last: image.transpose(1, 2, 0)" in str(first.detail)
    assert second.error == "unsupported" and "Tensor that is no array here" in str(second.detail)
