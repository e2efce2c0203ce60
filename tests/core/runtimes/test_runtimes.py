"""Every runtime of this machine encodes photos as ONNX Runtime does; and what a user sees of `runtime`."""

import os
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest
from tests.skips import PACKAGES

from showtell import Captioner
from showtell.core.bundle import builtin, load_bundle
from showtell.core.image import load_image
from showtell.core.onnx_stepper import OnnxStepper
from showtell.core.pixels import to_pixels
from showtell.core.runtimes.registry import RUNTIMES
from showtell.core.stepper import POOLED
from showtell.errors import BadBundle, BadConfig

EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("*.jpg"))
OTHERS = [name for name, runtime in RUNTIMES.items() if name != "onnxruntime"]
ENCODER, DECODER = (builtin() / f"{name}.onnx" for name in ("encoder", "decoder"))


def skip_unless_here(name: str) -> None:
    if "openvino" in name:
        pytest.importorskip("openvino", reason=PACKAGES)
    if not RUNTIMES[name].is_here():
        pytest.skip(f"this machine has no device for {name}")


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """Photos, more than the encoder takes at once. Not noise, of which no class is more probable than another: the
    order of tags would be that of rounding errors."""
    settings = Captioner.load().bundle.manifest.pixels
    return np.stack([to_pixels(load_image(photo), settings) for photo in EXAMPLES])


@pytest.fixture(scope="module")
def expected(pixels: np.ndarray) -> dict[str, np.ndarray]:
    return OnnxStepper(ENCODER, DECODER, 1).encode(pixels)


@pytest.mark.parametrize("name", OTHERS)
def test_encodes_as_onnx_runtime_does(name: str, pixels: np.ndarray, expected: dict[str, np.ndarray]) -> None:
    skip_unless_here(name)
    found = OnnxStepper(ENCODER, DECODER, 1, name).encode(pixels)
    assert found.keys() == expected.keys()
    for key, array in expected.items():
        # bfloat16 has 8 bits, float32 24; relative to the largest value, and with a margin for a deep network. Inputs
        # of linear layers are rounded to 127 steps, a few of them the other way.
        # In bfloat16 tags that are about as probable as each other may change places.
        tags = 0 if RUNTIMES[name].is_float32 else load_bundle(builtin()).manifest.prefix_regions
        difference, largest = np.abs(found[key] - array), np.abs(array).max()
        difference = difference if key == POOLED else difference[:, :, tags:]
        most, half = (2**-6, 2**-17) if RUNTIMES[name].is_float32 else (2**-3, 2**-5)
        assert found[key].shape == array.shape
        assert difference.max() < most * largest and np.median(difference) < half * largest
        assert RUNTIMES[name].is_float32 or not np.array_equal(found[key], array), "another precision"


def test_an_encoded_photo_does_not_change_when_others_are_encoded(pixels: np.ndarray) -> None:
    """OpenVINO writes every run into the same memory."""
    skip_unless_here("openvino")
    stepper = OnnxStepper(ENCODER, DECODER, 1, "openvino")
    first = stepper.encode(pixels[:1])
    before = {name: array.copy() for name, array in first.items()}
    stepper.encode(pixels[1:2])
    for name, array in first.items():
        np.testing.assert_array_equal(array, before[name])


def test_threads_share_a_runtime(pixels: np.ndarray) -> None:
    skip_unless_here("openvino")
    stepper = OnnxStepper(ENCODER, DECODER, 1, "openvino")
    alone = [stepper.encode(image[None])["memory.keys.0"] for image in pixels]
    found: list[np.ndarray | None] = [None] * len(pixels)

    def encode(i: int) -> None:
        found[i] = stepper.encode(pixels[i][None])["memory.keys.0"]

    threads = [threading.Thread(target=encode, args=(i,)) for i in range(len(pixels))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other in zip(alone, found, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_loads_openvino_again() -> None:
    skip_unless_here("openvino")
    captioner = Captioner.load(threads=1, runtime="openvino")
    settings = captioner.settings(beam_size=1)
    here = captioner.caption(EXAMPLES[0], decode=settings).text
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, captioner.caption(EXAMPLES[0], decode=settings).text.encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:  # noqa: PTH123 (a descriptor)
        assert pipe.read().decode() == here
    os.waitpid(child, 0)


def test_a_captioner_is_pickled_with_its_runtime() -> None:
    skip_unless_here("openvino")
    captioner = Captioner.load(threads=1, runtime="openvino")
    assert captioner.runtime == "openvino"
    assert pickle.loads(pickle.dumps(captioner)).runtime == "openvino"  # noqa: S301 (of this test)


def test_an_unknown_runtime() -> None:
    with pytest.raises(
        BadConfig, match="found runtime 'tensorrt'; expected onnxruntime, openvino, openvino-bf16, cuda"
    ):
        Captioner.load(runtime="tensorrt")


def test_a_file_that_openvino_cannot_read(tmp_path: Path) -> None:
    skip_unless_here("openvino")
    broken = tmp_path / "encoder.onnx"
    broken.write_bytes(b"no graph")
    with pytest.raises(BadBundle, match="OpenVINO cannot load it"):
        RUNTIMES["openvino"].load_encoder(broken, 1)
