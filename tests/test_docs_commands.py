"""Every `showtell` command of README.md and docs/: the command line takes it, and cheap ones run on small data."""

import csv
import functools
import json
import re
import shlex
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests import skips
from tests.cli.in_process import showtell
from tests.shell_blocks import PAGES, ROOT, Command, commands, mentions
from typer.main import get_command

from showtell.cli.app import app
from showtell.config import apply_overrides, parse_recipe
from showtell.core.bundle import builtin
from showtell.data.spec import READERS
from showtell.recipes import find_recipe

COMMANDS = [command for page in PAGES for command in commands(page)]
MENTIONS = sorted({mention for page in PAGES for mention in mentions(page)})
NO_COMMANDS = {"showtell @ git+https://...": "a requirement of pip"}
PLACEHOLDERS = {"LANGUAGE": "en", "N": "1", "NAME": "convnext-lstm", "RECIPE": "convnext-lstm"}

PARSED_ONLY = {
    "train": "minutes; tests/cli/test_train.py trains",
    "sweep": "minutes; tests/cli/test_sweep.py sweeps",
    "export": "needs a finished run; tests/export",
    "import": "downloads a model; tests/hub and tests/cli/test_import_model.py import small ones",
    "serve": "does not end by itself; tests/serve",
    "bench": "a minute; tests/cli/test_bench.py",
    "fit-reranker": "needs the photos that a model was trained on; tests/cli/test_fit_reranker.py",
    "calibrate": "refuses fewer than 50 photos; tests/cli/test_calibrate.py",
    "data get": "downloads; tests/cli/test_get.py",
    "data features": "downloads the weights of an encoder; tests/cli/test_features.py",
}
"""Commands that are parsed, with their recipes, and not run."""
LINES_PARSED_ONLY = {
    r"://": "the network",
    r"--engine ray": "starts a cluster; tests/cli/test_caption_ray.py",
    r"--java": "a Java program; tests/metrics",
    r"shapes:2000": "hundreds of drawings; tests/test_chain.py",
    r"evaluate .*--lang (sw|de)": "a model of another language than the built-in one",
}


@functools.cache
def command_line() -> Any:
    return get_command(app)


def parsed(arguments: list[str], allow_missing: bool = False) -> tuple[str, dict[str, Any]]:
    """Name and parameters of a command; none where arguments or the value of an option may be missing, and are.

    Raises what the command line says of a mistake."""
    command, name, rest = command_line(), "", arguments
    while hasattr(command, "commands"):
        assert rest and rest[0] in command.commands, f"no command {' '.join(arguments)}"
        command, name, rest = command.commands[rest[0]], f"{name} {rest[0]}".strip(), rest[1:]
    try:
        return name, command.make_context(name, list(rest)).params
    except Exception as error:
        if allow_missing and type(error).__name__ in ("MissingParameter", "BadOptionUsage"):
            return name, {}
        raise


def check_settings(name: str, parameters: dict[str, Any]) -> None:
    """The recipe exists and has every key, and the kinds of data specs exist."""
    settings = list(parameters.get("settings") or [])
    if name == "export" and settings:
        parse_recipe(apply_overrides({}, settings), "export")
    elif name in ("train", "recipes") and parameters.get("recipe" if name == "train" else "name"):
        recipe = parameters["recipe" if name == "train" else "name"]
        parse_recipe(apply_overrides(find_recipe(recipe), settings), recipe)
    elif name == "sweep":
        pytest.importorskip("torch", reason=skips.PACKAGES)
        from showtell.train.sweep import combinations

        assert len(combinations(find_recipe(parameters["recipe"]), settings, parameters["recipe"])) > 1
    specs = [setting.removeprefix("data=") for setting in settings if setting.startswith("data=")]
    specs += [parameters[key] for key in ("spec", "data") if parameters.get(key) and parameters[key] != "SPEC"]
    assert all(spec.partition(":")[0] in READERS for spec in specs if spec != "SPEC"), specs


def test_there_are_commands_and_each_page_s_are_found() -> None:
    assert len(COMMANDS) > 100
    for page in PAGES:
        lines = [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("showtell ")]
        found = [command.line for command in COMMANDS if command.place.startswith(f"{page.relative_to(ROOT)}:")]
        assert {line.rstrip("\\").split(" \\")[0] for line in lines} <= {
            next((f[: len(line.rstrip("\\"))] for f in found if f.startswith(line.rstrip("\\"))), "") for line in lines
        }


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_the_command_line_takes_it(command: Command) -> None:
    assert command.showtell
    for arguments in command.showtell:
        check_settings(*parsed(arguments))


@pytest.mark.parametrize("mention", MENTIONS)
def test_what_the_text_mentions_exists(mention: str) -> None:
    if mention in NO_COMMANDS:
        pytest.skip(NO_COMMANDS[mention])
    words = shlex.split(re.sub(r" \| .*|(?<!=)\[.*?\](\.\.\.)?", "", mention))[1:]
    if words[0].startswith("--"):  # of showtell itself
        assert words[0] in {option for parameter in command_line().params for option in parameter.opts} | {"--help"}
        return
    name, parameters = parsed([PLACEHOLDERS.get(word, word) for word in words], allow_missing=True)
    if "a,b" not in mention:  # `showtell sweep RECIPE key=a,b other=c,d`
        check_settings(name, parameters)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("caption photo.jpg --beams 3", "--beams"),
        ("captoin photo.jpg", "no command"),
        ("caption", "Missing|PHOTO"),
        ("train shapes train.epoch=3", "train.epoch is no setting"),
        ("train convnext data=coco:coco", "convnext"),
        ("train shapes data=coc:coco", "coc"),
        ("export run dir decode.beams=3", "decode.beams is no setting"),
        ("evaluate --data flickr:DIR --beam many", "beam"),
    ],
)
def test_a_wrong_command_is_found(line: str, message: str) -> None:
    with pytest.raises(BaseException) as caught:
        check_settings(*parsed(line.split()))
    assert re.search(message, f"{caught.value} {vars(caught.value)}")


# --- run on small data


def reason_not_to_run(command: Command) -> str | None:
    for pattern, reason in LINES_PARSED_ONLY.items():
        if re.search(pattern, command.line.partition("#")[0]):
            return reason
    names = {parsed(arguments)[0] for arguments in command.showtell}
    return next((reason for name, reason in PARSED_ONLY.items() if name in names), None)


CHEAP = list({c.line.partition("  #")[0]: c for c in COMMANDS if reason_not_to_run(c) is None}.values())


def photo(path: Path, seed: int = 0) -> bytes:
    """A small JPEG, each of another colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.linear_gradient("L").resize((48, 48)).rotate(37 * seed).convert("RGB").save(path, quality=90 - seed)
    return path.read_bytes()


def coco_file(path: Path, names: list[str], images: bool = True) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "images": [{"id": i, "file_name": name} for i, name in enumerate(names)],
        "annotations": [{"id": i, "image_id": i, "caption": f"a dog runs {i}"} for i in range(len(names))],
    }
    path.write_text(json.dumps(content))


def karpathy_file(path: Path, folder: Path, file_path: str = "") -> None:
    entries = []
    for i, split in enumerate(("train", "val", "test")):
        photo(folder / file_path / f"{i}.jpg", 20 + i)
        entry = {"filename": f"{i}.jpg", "split": split, "sentences": [{"raw": "a dog runs"}], "imgid": i}
        entries.append(entry | ({"filepath": file_path} if file_path else {}))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"images": entries, "dataset": path.stem.removeprefix("dataset_")}))


def flickr_folder(root: Path) -> None:
    captions = []
    for i, split in enumerate(("train", "train", "dev", "dev", "test")):
        photo(root / "Flicker8k_Dataset" / f"{i}.jpg", i)
        captions += [f"{i}.jpg#{j}\ta dog runs on grass {j}" for j in range(2)]
        with (root / f"Flickr_8k.{split}Images.txt").open("a") as file:
            file.write(f"{i}.jpg\n")
    (root / "Flickr8k.token.txt").write_text("\n".join(captions) + "\n")


def table(path: Path, rows: list[list[str]], delimiter: str = ",") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that the commands name."""
    root = tmp_path_factory.mktemp("files")
    for i, name in enumerate(("photo.jpg", "new-photo.jpg", "holiday/a.jpg", "photos/a.jpg", "photos/b.jpg")):
        photo(root / name, i)
    for i in range(3):
        photo(root / "my-photos" / f"{i}.jpg", i)
        (root / "my-photos" / f"{i}.txt").write_text("a dog runs\n")
    flickr_folder(root / "flickr8k")
    for name in ("Flickr8k", "DIR"):
        (root / name).symlink_to("flickr8k")
    for year, offset in (("2014", 5), ("2017", 7)):
        for i, part in enumerate(("train", "val")):
            photo(root / f"coco/{part}{year}/{part}.jpg", offset + i)
            coco_file(root / f"coco/annotations/captions_{part}{year}.json", [f"{part}.jpg"])
    karpathy_file(root / "karpathy/dataset_coco.json", root / "coco", "val2014")
    karpathy_file(root / "karpathy/dataset_flickr8k.json", root / "flickr8k/Flicker8k_Dataset")
    karpathy_file(root / "karpathy/dataset_flickr30k.json", root / "flickr30k/flickr30k-images")
    rows = [["image_name", " comment_number", " comment"], ["k.jpg", " 0", " a dog runs"], ["l.jpg", " 0", " a cat"]]
    for i, row in enumerate(rows[1:]):
        photo(root / "flickr30k/flickr30k_images" / row[0], 40 + i)
    table(root / "flickr30k/results.csv", rows, "|")
    table(root / "captions.csv", [["image", "caption"], ["photos/a.jpg", "mbwa wawili"], ["photos/b.jpg", "watu"]])
    table(root / "references.csv", [["image", "caption"], ["photos/a.jpg", "a dog"], ["photos/b.jpg", "a cat"]])
    table(root / "products.csv", [["image"], ["photos/a.jpg"]])
    coco_file(root / "captions_val2014.json", ["1.jpg", "2.jpg"])
    (root / "results.json").write_text(json.dumps([{"image_id": i, "caption": "a dog runs"} for i in range(2)]))
    (root / "shards").mkdir()
    with tarfile.open(root / "shards/a.tar", "w") as tar:
        for name in ("a.jpg", "b.jpg"):
            tar.add(root / "photos" / name, name)
    models = ("my-model", "three", "sat", "lstm", "mine", "BUNDLE")
    for name in models:
        (root / name).symlink_to(builtin())
    packages(root)
    done = showtell("evaluate", "--data", "flickr:DIR", "--beam", "1", "--report", "a.json", cwd=root)
    assert done.returncode == 0, done.stderr
    for name in ("b", "greedy", "beam5", "three.en", "two.en"):
        shutil.copy(root / "a.json", root / f"{name}.json")
    done = showtell(
        "caption",
        "flickr8k/Flicker8k_Dataset/2.jpg",
        "flickr8k/Flicker8k_Dataset/3.jpg",
        "--output",
        "captions.jsonl",
        cwd=root,
    )
    assert done.returncode == 0, done.stderr
    return root


def packages(root: Path) -> None:
    """What needs packages of an extra to be written."""
    pq = pytest.importorskip("pyarrow.parquet", reason=skips.PACKAGES)
    import pyarrow

    pytest.importorskip("onnx", reason=skips.PACKAGES)
    h5py = pytest.importorskip("h5py", reason=skips.PACKAGES)
    import numpy as np
    from tests import tiny_bundle

    pq.write_table(pyarrow.table({"image": [(root / "photo.jpg").read_bytes()]}), root / "part-0.parquet")
    tiny_bundle.write(root / "blip", root / "parts", max_length=40)
    folder = root / "coco_captioning"
    folder.mkdir()
    with h5py.File(folder / "coco2014_captions.h5", "w") as file:
        for split in ("train", "val"):
            file[f"{split}_captions"] = np.array([[1, 4, 5, 2]], np.int32)
            file[f"{split}_image_idxs"] = np.array([0], np.int32)
            with h5py.File(folder / f"{split}2014_vgg16_fc7_pca.h5", "w") as features:
                features["features"] = np.ones((1, 512), np.float32)
    words = ["<NULL>", "<START>", "<END>", "<UNK>", "a", "dog"]
    (folder / "coco2014_vocab.json").write_text(json.dumps({"idx_to_word": words}))


@pytest.fixture
def folder(files: Path, tmp_path: Path) -> Iterator[Path]:
    """A folder with links to the files, and photos of its own: some outputs lie beside them."""
    for entry in files.iterdir():
        if entry.name not in ("photos", "captions.jsonl"):
            (tmp_path / entry.name).symlink_to(entry)
    shutil.copytree(files / "photos", tmp_path / "photos")
    yield tmp_path


def expanded(words: tuple[str, ...], folder: Path) -> list[str]:
    """Patterns as a shell has them, and the placeholder."""
    result: list[str] = []
    for word in words:
        word = {"SPEC": "folder:my-photos"}.get(word, word)
        matches = (
            sorted(str(path.relative_to(folder)) for path in folder.glob(word)) if re.match(r"[\w/-]*\*", word) else []
        )
        result += matches or [word]
    return result


@pytest.mark.parametrize("command", CHEAP, ids=str)
def test_it_runs(command: Command, files: Path, folder: Path) -> None:
    if "--output captions.csv" in command.line:
        (folder / "captions.csv").unlink()
    if "score captions.jsonl" in command.line:
        shutil.copy(files / "captions.jsonl", folder)
    stdin: str | bytes = ""
    for part in command.parts:
        if part[0] == "showtell":
            done = showtell(*expanded(part[1:], folder), stdin=stdin, cwd=folder)
            assert done.returncode == 0, done.stderr
            stdin = done.stdout
        elif part[0] != "head":
            assert part[0] == "find", f"found {part[0]}; list it in LINES_PARSED_ONLY, or run it here"
            find = [{"/photos": "photos"}.get(word, word) for word in part]
            stdin = subprocess.run(find, cwd=folder, stdout=subprocess.PIPE, check=True).stdout
