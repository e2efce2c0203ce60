"""The table of DESIGN: which room may import which, and what must not be loaded when."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from tests.builtin_model import DOG_WORD

import showtell
from showtell.install import install_hint

SOURCE = Path(showtell.__file__).parent
SHARED = {
    *("errors", "config", "settings", "renamed_settings", "records", "files", "languages", "image_formats", "columns"),
    *("loading", "progress", "install", "terminal", "locks", "folder_scan", "backoff"),
    *("cache_folder", "disk_space", "stages", "urls"),
}
THIRD_PARTY_EVERYWHERE = {"pydantic", "yaml"}

# Room -> the rooms it may import, and the third-party packages.
ROOMS: dict[str, tuple[set[str], set[str]]] = {
    "data": ({"remote"}, {"PIL", "h5py", "pyarrow", "safetensors"}),
    "core": (set(), {"numpy", "PIL", "tokenizers", "onnxruntime", "openvino", "pillow_heif"}),
    "nets": ({"core"}, {"numpy", "torch", "timm", "safetensors"}),
    "train": (
        {"data", "core", "nets", "remote"},
        {
            *("numpy", "torch", "lightning_fabric", "safetensors", "sklearn", "tokenizers", "spacy", "PIL", "filelock"),
            "tensorboard",
        },
    ),
    "export": ({"core", "nets", "train"}, {"numpy", "torch", "onnx", "onnxscript", "safetensors", "PIL"}),
    "hub": (
        {"core", "nets", "export"},
        {"numpy", "torch", "PIL", "safetensors", "tokenizers", "transformers", "huggingface_hub"},
    ),
    "rerank": ({"core"}, {"numpy"}),
    "metrics": (set(), {"numpy", "pycocoevalcap"}),
    "view": ({"core"}, {"numpy", "PIL", "matplotlib", "bidi", "arabic_reshaper"}),
    "fetch": (set(), set()),
    "remote": (set(), {"fsspec"}),
    "serve": (
        {"core", "view", "fetch"},
        {
            "anyio",
            "fastapi",
            "h11",
            "numpy",
            "PIL",
            "prometheus_client",
            "python_multipart",
            "starlette",
            "uvicorn",
        },
    ),
    "bulk": ({"core", "view", "remote"}, {"numpy", "pyarrow", "PIL", "ray"}),
    "diagnosis": ({"core", "view"}, {"PIL"}),
    "recipes": (set(), set()),
    "cli": (
        {
            "data",
            "core",
            "nets",
            "hub",
            "train",
            "export",
            "metrics",
            "rerank",
            "view",
            "fetch",
            "serve",
            "bulk",
            "remote",
            "diagnosis",
            "recipes",
            "cli",
        },
        {"typer", "rich", "PIL"},
    ),
}


def imports(file: Path) -> set[str]:
    """Every module that a file imports anywhere, inside functions and for type checkers as well."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            found |= {f"{node.module}.{a.name}" if node.module == "showtell" else str(node.module) for a in node.names}
    return found


def room_files() -> list[tuple[str, Path]]:
    return [(room, file) for room in ROOMS for file in sorted((SOURCE / room).rglob("*.py"))]


@pytest.mark.parametrize(("room", "file"), room_files(), ids=lambda value: getattr(value, "name", value))
def test_a_room_imports_only_what_the_table_allows(room: str, file: Path) -> None:
    rooms, packages = ROOMS[room]
    for module in imports(file):
        top, _, rest = module.partition(".")
        if top == "showtell":
            place = rest.split(".")[0]
            assert place in SHARED | rooms | {room, "__version__"}, f"{file}: {room} must not import {module}"
        elif top not in sys.stdlib_module_names:
            assert top in packages | THIRD_PARTY_EVERYWHERE, f"{file}: {room} must not import {top}"


def test_every_folder_of_the_package_is_a_room_of_the_table() -> None:
    folders = {p.parent.relative_to(SOURCE).parts[0] for p in SOURCE.rglob("*.py") if p.parent != SOURCE}
    assert folders - {"languages", "settings"} == set(ROOMS)  # shared modules that are folders


def test_languages_import_only_each_other() -> None:
    for file in sorted((SOURCE / "languages").glob("*.py")):
        for module in imports(file):
            top = module.partition(".")[0]
            assert module.startswith("showtell.languages") or top in {*sys.stdlib_module_names, "yaml"}, file


def test_settings_import_only_each_other_and_languages() -> None:
    for file in sorted((SOURCE / "settings").glob("*.py")):
        for module in imports(file):
            ours = module.startswith(("showtell.settings", "showtell.languages"))
            assert ours or module.partition(".")[0] in {*sys.stdlib_module_names, "pydantic"}, file


@pytest.mark.parametrize(("library", "file"), [("onnxruntime", "onnx_runtime.py"), ("openvino", "openvino.py")])
def test_only_one_file_knows_a_runtime(library: str, file: str) -> None:
    assert [f.name for _, f in room_files() if library in imports(f)] == [file]


def test_search_knows_only_stepper_and_rules() -> None:
    allowed = {f"showtell.core.{name}" for name in ("stepper", "rules", "search", "candidates")}
    for name in ("stepper", "rules", "search", "candidates", "beam"):
        ours = {m for m in imports(SOURCE / "core" / f"{name}.py") if m.startswith("showtell")}
        assert ours <= allowed, name


def loaded_after(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after running `code`."""
    program = f"import sys\n{code}\nprint('\\n'.join({{m.split('.')[0] for m in sys.modules}}))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(result.stdout.split())


def test_help_loads_neither_torch_nor_onnxruntime() -> None:
    loaded = loaded_after("import showtell.cli.main, typer\ntyper.main.get_command(showtell.cli.main.app)")
    assert "typer" in loaded
    assert not loaded & {"torch", "onnxruntime", "numpy", "PIL", "tokenizers"}


def test_reading_plain_data_loads_no_optional_package() -> None:
    loaded = loaded_after("from showtell.data.spec import read_samples\nread_samples('shapes:3')")
    assert not loaded & {"h5py", "pyarrow", "safetensors", "torch", "numpy"}


def test_captioning_loads_no_torch() -> None:
    loaded = loaded_after(
        "from showtell import Captioner\n"
        "from PIL import Image\n"
        "print(Captioner.load().caption(Image.new('RGB', (64, 64), 'green')).text)"
    )
    assert "onnxruntime" in loaded
    assert not loaded & {"torch", "timm", "lightning_fabric", "matplotlib"}


def test_the_first_caption_waits_for_no_module_that_it_does_not_need() -> None:
    photo = str(Path(__file__).parents[1] / "examples" / "dog.jpg")
    program = (
        "import sys\n"
        "from showtell import Captioner\n"
        f"Captioner.load().caption({photo!r})\n"
        "print('\\n'.join(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(result.stdout.split())
    assert {"showtell.settings.decode", "PIL.JpegImagePlugin"} <= loaded
    assert not loaded & {"yaml", "showtell.settings.recipe", "showtell.settings.train", "showtell.settings.decoder"}
    assert not loaded & {"PIL.TiffImagePlugin", "PIL.ImageCms", "PIL.PngImagePlugin"}


def test_settings_have_every_name_that_they_list() -> None:
    import showtell.settings as settings
    from showtell.settings.train import TrainSettings

    assert all(getattr(settings, name) is not None for name in settings.__all__)
    assert settings.TrainSettings is TrainSettings
    with pytest.raises(AttributeError, match="no attribute 'Trains'"):
        settings.Trains  # noqa: B018


def test_captioning_works_where_there_is_no_torch() -> None:
    """Every package of the training extra is made impossible to import."""
    program = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in {'torch', 'timm', 'lightning_fabric', 'safetensors', 'onnx', 'matplotlib'}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "sys.argv = ['showtell', *sys.argv[1:]]\n"
        "from showtell.cli.main import main\n"
        "main()\n"
    )
    photo = str(Path(__file__).parents[1] / "examples" / "dog.jpg")
    done = subprocess.run([sys.executable, "-c", program, "caption", photo], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{photo}\t") and DOG_WORD in done.stdout
    done = subprocess.run(
        [sys.executable, "-c", program, "train", "default", "data=shapes:9"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.endswith(f"which is not installed; {install_hint('train')}\n")
    assert done.stderr.count("\n") == 1
