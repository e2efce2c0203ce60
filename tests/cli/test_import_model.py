"""`showtell import` as a user runs it: one line for each mistake, and for a missing extra."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.in_process import showtell

from showtell.install import install_hint

pytest.importorskip("transformers")


@pytest.fixture
def places(tmp_path: Path) -> Path:
    """What people may give in place of a model."""
    files = {
        "bundle/bundle.json": "{}",
        "run/config.yaml": "",
        "run/log.jsonl": "",
        "photos/dog.jpg": "",
        "pickle/config.json": json.dumps({"model_type": "blip"}),
        "pickle/pytorch_model.bin": "",
        "llava/config.json": json.dumps({"model_type": "llava"}),
        "llava/model.safetensors": "",
        "broken/config.json": "{",
        "broken/model.safetensors": "",
        "weights.bin": "",
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["bundle", "new"], "is a showtell bundle already; run: showtell caption PHOTO --model bundle"),
        (["run", "new"], "`showtell export run DIR` makes a model folder of it"),
        (["photos", "new"], "no config.json in it"),
        (["weights.bin", "new"], "is a file; expected the folder that it belongs in"),
        (["pickle", "new"], "only in pytorch_model.bin, a pickle"),
        (["llava", "new"], "model_type is 'llava', which cannot be imported; expected one of blip"),
        (["broken", "new"], "config.json: cannot be read"),
        (["llava", "photos"], "photos: holds other files"),
        (["llava", "weights.bin"], "weights.bin: is a file"),
        (["llava", "new", "--revision", "main"], "a revision is that of an id on the hub"),
        (["llava", "new", "--lang", "12"], "--lang: found '12'"),
        (["no/such/folder", "new"], "no such folder, and no id of the hub"),
        (["~/blip", "new"], "no such folder, and no id of the hub"),
    ],
)
def test_a_mistake_is_one_line_and_code_2(arguments: list[str], problem: str, places: Path) -> None:
    before = sorted(places.rglob("*"))
    done = showtell("import", *arguments, cwd=places)
    assert (done.returncode, done.stdout) == (2, "")
    assert problem in done.stderr and done.stderr.count("\n") == 1
    assert sorted(places.rglob("*")) == before


def test_an_unknown_precision(tmp_path: Path) -> None:
    done = showtell("import", "a/b", "new", "--precision", "int4", cwd=tmp_path)
    assert done.returncode == 2 and "int4" in done.stderr


def test_without_the_extra() -> None:
    program = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in {'transformers', 'huggingface_hub'}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "sys.argv = ['showtell', 'import', 'a/b', 'new']\n"
        "from showtell.cli.main import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"showtell: this needs transformers, which is not installed; {install_hint('hub')}\n"
