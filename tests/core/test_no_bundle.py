"""What is no model folder: each sentence says what it is and what to do."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from showtell import Captioner
from showtell.core.bundle import MANIFEST, builtin
from showtell.errors import BadBundle


def refusal(model: Path | str) -> str:
    with pytest.raises(BadBundle) as raised:
        Captioner.load(model)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def file(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(b"PK")
        return folder / name

    return make


def run_folder(folder: Path) -> Path:
    (folder / "run" / "last").mkdir(parents=True)
    (folder / "run" / "config.yaml").write_text("model: {}")
    return folder / "run"


def model_of_another_library(folder: Path) -> Path:
    (folder / "config.json").write_text("{}")
    return folder


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (run_folder, "is a run of `showtell train`; `showtell export {path} DIR` makes a model folder of it"),
        (
            model_of_another_library,
            "config.json, as transformers has it; `showtell import {path} DIR` makes a model folder",
        ),
        (file("model.zip"), "an archive; unpack it and give the folder with bundle.json"),
        (file("model.tar.gz"), "an archive; unpack it"),
        (file("model.TGZ"), "an archive; unpack it"),
        (file("model.onnx"), "a single network; expected a folder"),
        (file("model.safetensors"), "a file of weights; expected a folder"),
        (file("last.ckpt"), "a file of weights; expected a folder"),
        (file("pytorch_model.bin"), "a file of weights; expected a folder"),
        (file("photo.jpg"), "no such model folder, but a file; expected a folder"),
        (lambda folder: folder, "no bundle.json in it; expected a folder that `showtell export` wrote"),
        (lambda folder: folder / "none", "no such model folder; expected a folder"),
        (lambda folder: folder / ("n" * 300), "File name too long"),
    ],
)
def test_each_says_what_it_is(tmp_path: Path, make: Callable[[Path], Path], expected: str) -> None:
    path = make(tmp_path)
    message = refusal(path)
    assert str(path) in message and expected.format(path=path) in message


@pytest.mark.parametrize("name", [MANIFEST, "encoder.onnx", "README.md"])
def test_a_file_of_a_model_names_its_folder(name: str) -> None:
    assert refusal(builtin() / name).endswith(f"but one of its files; give {builtin()}")


def test_a_folder_around_models_names_them(tmp_path: Path) -> None:
    shutil.copytree(builtin(), tmp_path / "a")
    assert refusal(tmp_path).endswith(f"no {MANIFEST} in it, but in {tmp_path / 'a'}; give that")
    shutil.copytree(builtin(), tmp_path / "b")
    assert refusal(tmp_path).endswith(f"but in {tmp_path / 'a'}, {tmp_path / 'b'}; give one")


@pytest.mark.parametrize("name", ["Salesforce/blip-image-captioning-base", "microsoft/git-base", "a/b.c"])
def test_a_name_on_a_hub(name: str) -> None:
    message = refusal(name)
    assert message.startswith(f"{name}: no such model folder, and captioning downloads nothing;")
    assert message.endswith(f"`showtell import {name} DIR`")


def test_a_path_that_only_a_shell_expands() -> None:
    assert "~ is not expanded here; give os.path.expanduser(path)" in refusal("~/none")
