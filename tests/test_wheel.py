"""What is published: an sdist, the wheel that is built from it, and a caption by that wheel in an environment of its
own. The environment borrows the packages of this one, which takes seconds and no network in place of minutes."""

import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path, PurePosixPath

import pytest
from tests.builtin_model import DOG_WORD
from tests.skips import PACKAGES

pytest.importorskip("hatchling", reason=PACKAGES)

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "showtell"
SOURCES = {
    file.relative_to(SOURCE.parent).as_posix()
    for file in SOURCE.rglob("*")
    if file.is_file() and "__pycache__" not in file.parts
}
NEEDED = {
    "showtell/py.typed",
    "showtell/models/default/bundle.json",
    "showtell/models/default/encoder.onnx",
    "showtell/models/default/decoder.onnx",
    "showtell/models/default/tokenizer.json",
    "showtell/view/fonts/NotoSansLatinArabic.ttf",
    "showtell/view/fonts/OFL.txt",
    "showtell/languages/data/ar.yaml",
    "showtell/recipes/default.yaml",
    "showtell/serve/static/index.html",
}
PUBLISHED = {
    "src",
    "tests",
    "examples",
    "docs",
    "mkdocs.yml",
    "Makefile",
    "README.md",
    "LICENSE",
    "CHANGELOG.md",
    "pyproject.toml",
}
ADDED = {"PKG-INFO", ".gitignore"}


def run(*command: object, cwd: Path) -> str:
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(list(map(str, command)), cwd=cwd, env=environment, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return done.stdout


def build(target: str, source: Path, folder: Path) -> Path:
    program = "import sys; from hatchling.cli import hatchling; sys.exit(hatchling())"
    paths = os.pathsep.join(sys.path)
    command = [sys.executable, "-c", program, "build", "--target", target, "--directory", str(folder)]
    done = subprocess.run(command, cwd=source, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("sdist", ROOT, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (source,) = folder.iterdir()
    return build("wheel", source, tmp_path_factory.mktemp("wheel"))


def test_the_sdist_has_the_sources_and_no_caches(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = [PurePosixPath(member.name) for member in archive if member.isfile()]
    assert {name.parts[0] for name in names} == {sdist.name.removesuffix(".tar.gz")}
    inside = [name.relative_to(name.parts[0]) for name in names]
    assert {name.parts[0] for name in inside} - ADDED == PUBLISHED
    assert {str(name.relative_to("src")) for name in inside if name.parts[0] == "src"} == SOURCES
    assert not [name for name in inside if name.suffix == ".pyc" or any("cache" in part for part in name.parts[:-1])]


def test_the_wheel_has_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
        (info,) = {name.split("/")[0] for name in names if ".dist-info/" in name}
        fields = Parser().parsestr(archive.read(f"{info}/METADATA").decode("utf-8"))
        scripts = archive.read(f"{info}/entry_points.txt").decode()
    assert {name for name in names if not name.startswith(f"{info}/")} == SOURCES >= NEEDED
    assert wheel.name == f"{info.removesuffix('.dist-info')}-py3-none-any.whl"
    assert fields["License-Expression"] == "Apache-2.0"
    assert fields.get_all("License-File") == ["LICENSE", "src/showtell/view/fonts/OFL.txt"]
    assert {f"{info}/licenses/{name}" for name in fields.get_all("License-File", [])} <= names
    assert "showtell = showtell.cli.main:main" in scripts


def test_the_wheel_captions_a_photo_away_from_the_sources(wheel: Path, tmp_path: Path) -> None:
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "env", cwd=tmp_path)
    bin = tmp_path / "env" / ("Scripts" if os.name == "nt" else "bin")
    packages = Path(
        run(bin / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip()
    )
    install = ("-m", "pip", "--python", bin / "python", "install", "--no-deps", "--no-index", "--no-compile", "--quiet")
    run(sys.executable, *install, wheel, cwd=tmp_path)
    # Its own .pth files, one of which leads to the sources, are not followed from here.
    (packages / "borrowed.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    found = run(bin / "python", "-c", "import showtell; print(showtell.__file__)", cwd=tmp_path).strip()
    assert Path(found).is_relative_to(packages)
    dog = ROOT / "examples" / "dog.jpg"
    path, caption = run(bin / "showtell", "caption", dog, cwd=tmp_path).rstrip("\n").split("\t")
    assert path == str(dog) and DOG_WORD in caption
