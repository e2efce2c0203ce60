"""`--runtime`: what is chosen is said, and rows of two runtimes do not meet in one file."""

from pathlib import Path

import onnxruntime
import pytest
from tests import tiny_bundle
from tests.cli.in_process import showtell
from tests.skips import PACKAGES

from showtell import Captioner
from showtell.errors import BadConfig, ShowtellError

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_bundle.write(tmp_path / "model", tmp_path / "parts")


def test_auto_says_what_it_has_chosen(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # Linux
    monkeypatch.setenv("HOME", str(tmp_path))
    done = showtell("caption", EXAMPLES, "--model", model, "--runtime", "auto")
    first = done.stderr.splitlines()[0]
    assert done.returncode == 0 and first.startswith("showtell: runtime ") and "(encoding a photo: " in first
    captioner = Captioner.load(model, 1, runtime="auto")
    assert f"runtime {captioner.runtime} " in captioner.runtime_choice
    assert Captioner.load(model, 1).runtime_choice == "", "nothing was chosen"


def test_another_runtime_is_refused_in_the_same_output(model: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason=PACKAGES)
    command = ("caption", EXAMPLES, "--model", model, "--output", tmp_path / "rows.jsonl")
    assert showtell(*command).returncode == 0
    done = showtell(*command, "--runtime", "openvino")
    assert done.returncode == 2 and "runtime" in done.stderr


def test_an_unknown_runtime_is_one_line() -> None:
    done = showtell("caption", EXAMPLES, "--runtime", "tensorrt")
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "found runtime 'tensorrt'" in done.stderr


@pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="this ONNX Runtime has CUDA"
)
def test_cuda_without_it_says_what_to_install() -> None:
    with pytest.raises(BadConfig, match=r"pip install 'onnxruntime-gpu\[cuda,cudnn\]'"):
        Captioner.load(runtime="cuda")


def test_a_network_that_gives_no_caption_is_one_line(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("showtell.core.captioner.decode", lambda *arguments: [[]])
    with pytest.raises(ShowtellError, match="the network gave no caption"):
        Captioner.load(model, 1).caption(next(EXAMPLES.glob("*.jpg")))
