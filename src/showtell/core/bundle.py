"""A model as a folder of files: what `export` writes and the captioner reads.

    bundle.json      format version, settings, languages, grid, sha256 and size of every other file, and a checksum
    tokenizer.json   encoder.onnx   decoder.onnx   README.md (the model card)
    model.safetensors   weights to which both graphs refer; without it they hold their own
    reranker.npz        where `showtell fit-reranker` has been run; see `core/reranker`

Loading checks every file that captioning reads against its hash, and the parts against each other, and refuses at the
first mismatch. The card is for people: it may be edited or removed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from showtell.core.confidence import Calibration
from showtell.core.imported_tokenizer import ImportedTokenizer
from showtell.core.no_bundle import MANIFEST as MANIFEST
from showtell.core.no_bundle import what_it_is
from showtell.core.tokenizer import AnyTokenizer, load_tokenizer
from showtell.errors import OUTPUT_ERRNOS, BadBundle, OutputError
from showtell.files import sha256, write_text
from showtell.settings import DecodeSettings, ImportedText, Language, PixelSettings

FORMAT = 3
"""Format 1 had other names of settings; in format 2 a decoder gave the search all log-probabilities."""
CARD = "README.md"
CHECKED = ("tokenizer.json", "encoder.onnx", "decoder.onnx")
WEIGHTS = "model.safetensors"
EXTERNAL = (WEIGHTS, "encoder.onnx.data", "decoder.onnx.data")
"""Files to which a graph may refer: the first of both graphs, the others of an int8 graph above ONNX's 2 GB."""
RERANKER = "reranker.npz"
READ = (*CHECKED, *EXTERNAL, RERANKER)
"""All that captioning reads beside the manifest, of a bundle that has it."""
PARTS = (*READ, CARD)
LFS_POINTER = b"version https://git-lfs"
CHECKSUM = "checksum"
"""Key of the manifest: sha256 of everything else in it. Without it, as earlier versions wrote it, it is not checked."""
MAX_MANIFEST_BYTES = 16 << 20


class FileRecord(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    sha256: str
    size: int


class Manifest(BaseModel):
    """`bundle.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    format: int = FORMAT
    showtell: str
    """The version of showtell that wrote the bundle."""
    languages: Annotated[tuple[Language, ...], Field(min_length=1)]
    vocab_size: int
    max_length: int | None
    """Tokens that the network has position embeddings for after one start token; None: no limit."""
    grid: tuple[int, int]
    """Rows and columns of image regions."""
    pixels: PixelSettings
    decode: DecodeSettings
    model: dict[str, Any]
    """The recipe's `model` section."""
    prefix_regions: int = 0
    """Regions before those of the grid, such as a class token."""
    imported_text: ImportedText | None = None
    """Of an imported model, whose tokenizer is its own; None: the tokenizer is ours."""
    source: dict[str, Any] = {}
    """Where an imported model comes from: id, revision, licence, family, and how it was checked."""
    files: dict[str, FileRecord]
    capitalized: dict[str, tuple[str, ...]] = {}
    """By language: the words that are written with a capital inside a sentence, in that spelling."""
    calibration: dict[str, Calibration] = {}
    """By language, where `showtell calibrate` has been run; see `core/confidence`."""

    @field_validator("calibration")
    @classmethod
    def _for_known_languages(cls, calibration: dict[str, Calibration], info: ValidationInfo) -> dict[str, Calibration]:
        if unknown := calibration.keys() - set(info.data.get("languages", calibration)):
            raise ValueError(f"found {', '.join(sorted(unknown))}; expected languages of this model")
        return calibration


@dataclass(frozen=True)
class Bundle:
    """A bundle that has passed all checks."""

    path: Path
    manifest: Manifest
    tokenizer: AnyTokenizer

    @property
    def fingerprint(self) -> tuple[str, ...]:
        """Equal for bundles that write the same, with the same settings."""
        files = self.manifest.files
        return tuple(files[name].sha256 for name in READ if name in files)

    @cached_property
    def capitalized(self) -> dict[str, dict[str, str]]:
        """See `Manifest`; by the word in lower case."""
        spellings = self.manifest.capitalized.items()
        return {language: {word.lower(): word for word in words} for language, words in spellings}

    @property
    def encoder(self) -> Path:
        return self.path / "encoder.onnx"

    @property
    def decoder(self) -> Path:
        return self.path / "decoder.onnx"

    @property
    def reranker(self) -> Path | None:
        return self.path / RERANKER if RERANKER in self.manifest.files else None


def builtin() -> Path:
    """The folder of the model that is inside the package."""
    return Path(str(files("showtell"))) / "models" / "default"


def load_bundle(path: Path) -> Bundle:
    """Raises BadBundle, naming the first thing that is wrong."""
    manifest = read_manifest(path)
    for name in READ:
        record = manifest.files.get(name)
        if record is not None:
            _check(path / name, record)
        elif name in CHECKED:
            raise BadBundle(f"{path / MANIFEST}: has no entry for {name}; export the model again")
        elif name in EXTERNAL and (path / name).exists():  # a graph could read it
            raise BadBundle(f"{path / name}: has no entry in {MANIFEST}; remove the file, or export the model again")
    tokenizer = load_tokenizer(path / "tokenizer.json", manifest.languages, manifest.imported_text)
    _check_vocabulary(path, tokenizer, manifest.vocab_size)
    return Bundle(path, manifest, tokenizer)


def _check_vocabulary(path: Path, tokenizer: AnyTokenizer, vocab_size: int) -> None:
    """Raises BadBundle unless the network can read and write what the tokenizer has. That of an imported model may have
    fewer tokens than the network: some networks have entries to spare."""
    imported = isinstance(tokenizer, ImportedTokenizer)
    if tokenizer.vocab_size > vocab_size or (tokenizer.vocab_size < vocab_size and not imported):
        raise BadBundle(
            f"{path}: the tokenizer has {tokenizer.vocab_size} tokens, the network {vocab_size}; export the model again"
        )
    prompts = [i for language in tokenizer.languages for i in tokenizer.prompt_ids(language)]
    highest = max([*prompts, tokenizer.eos_id, *tokenizer.banned_ids])
    if highest >= vocab_size:
        raise BadBundle(
            f"{path / MANIFEST}: imported_text: found the token id {highest}; the network has {vocab_size} tokens; "
            "import the model again"
        )


def write_bundle(path: Path, manifest: Mapping[str, Any], parts: Path) -> None:
    """Make a bundle of the files in the folder `parts`; `path` must be new, empty, or a bundle to replace.

    The bundle is written under a temporary name beside `path` and renamed. Raises BadBundle when `path` is something
    else or cannot be written, OutputError when the disk takes no more.
    """
    check_destination(path)
    try:
        _write(path.resolve(), manifest, parts)
    except OSError as error:
        if error.errno in OUTPUT_ERRNOS:
            raise OutputError.of(path, error) from error
        raise BadBundle(f"{path}: cannot be written ({error.strerror or error}); give another folder") from error


def check_destination(path: Path) -> None:
    """Raises BadBundle unless a bundle may be written to `path`: before hours of work, not after.

    A bundle with an edited card is refused, since a person's work would be lost.
    """
    if path.exists() and not path.is_dir():
        raise BadBundle(f"{path}: is a file; expected a folder to write the bundle to")
    above = next(folder for folder in path.absolute().parents if folder.exists())
    if not above.is_dir():
        raise BadBundle(f"{path}: cannot be written ({above} is a file); give another folder")
    if path.exists() and any(path.iterdir()) and not (path / MANIFEST).exists():
        raise BadBundle(f"{path}: holds other files; expected a new or empty folder, or a bundle to replace")
    if is_card_edited(path):
        raise BadBundle(
            f"{path / CARD}: has been edited and would be replaced; rename it (it can be given again by --card), or "
            "delete it"
        )


def is_card_edited(path: Path) -> bool:
    """Whether the folder has a model card that is not the one that was written with its manifest."""
    try:
        record = json.loads((path / MANIFEST).read_text(encoding="utf-8"))["files"][CARD]["sha256"]
        return bool(sha256(path / CARD) != record)
    except (OSError, ValueError, LookupError, TypeError):  # no card, or no manifest that names one
        return False


def _write(path: Path, manifest: Mapping[str, Any], parts: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
    new.chmod(0o755)
    try:
        records = {}
        for name in PARTS:
            if name not in (*CHECKED, CARD) and not (parts / name).exists():
                continue
            shutil.copyfile(parts / name, new / name)
            records[name] = FileRecord(sha256=sha256(new / name), size=(new / name).stat().st_size)
        whole = Manifest(**manifest, files=records)
        write_manifest(new, _readable_by_older_versions(whole.model_dump(mode="json")))
        _replace(path, new)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise


def _readable_by_older_versions(raw: dict[str, Any]) -> dict[str, Any]:
    """The manifest without keys that are newer than its format and say nothing: older versions would refuse them."""
    newer = {"calibration": {}, "prefix_regions": 0, "imported_text": None, "source": {}}
    result = {key: value for key, value in raw.items() if key not in newer or value != newer[key]}
    for section, name, default in (
        ("decode", "truncate", False),
        ("decode", "early_stopping", "never"),
        ("decode", "rerank_weight", 3.0),
        ("pixels", "resize_size", None),
    ):
        result[section] = {key: value for key, value in result[section].items() if key != name or value != default}
    return result


def write_manifest(folder: Path, raw: Mapping[str, Any]) -> None:
    """`raw` without a checksum."""
    checked = {**raw, CHECKSUM: manifest_checksum(raw)}
    write_text(folder / MANIFEST, json.dumps(checked, indent=2, ensure_ascii=False) + "\n")


def manifest_checksum(raw: Mapping[str, Any]) -> str:
    """Of what the manifest says, whatever its white space; of everything but the checksum itself."""
    content = {key: value for key, value in raw.items() if key != CHECKSUM}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _replace(path: Path, new: Path) -> None:
    """Move the folder `new` to `path`, with what else a person has put there (a licence, say).

    A rename cannot replace a folder that is not empty, so the old one is moved first.
    """
    old = new.with_suffix(".old")
    if path.exists():
        path.rename(old)
    try:
        new.rename(path)
    except OSError:
        if old.exists():
            old.rename(path)
        raise
    if old.exists():
        for file in old.iterdir():
            if file.name not in (*PARTS, MANIFEST):
                file.rename(path / file.name)
    shutil.rmtree(old, ignore_errors=True)


def read_manifest(path: Path) -> Manifest:
    """Checked, but for the other files. Raises BadBundle."""
    file = path / MANIFEST
    try:
        if not path.is_dir():
            raise BadBundle(f"{path}: {what_it_is(path)}")
        size = _size(file)
        if size > MAX_MANIFEST_BYTES:
            raise BadBundle(
                f"{file}: found {size} bytes, expected {MAX_MANIFEST_BYTES} at most; export the model again"
            )
        raw = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadBundle(f"{path}: {what_it_is(path)}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise BadBundle(f"{file}: cannot be read ({error}); export the model again") from error
    version = raw.get("format") if isinstance(raw, dict) else None
    if version != FORMAT:
        why = ", from before settings were renamed" if version == 1 else ""
        raise BadBundle(
            f"{file}: found bundle format {version!r}{why}; expected {FORMAT}; train and export again with this version"
        )
    if CHECKSUM in raw and raw.pop(CHECKSUM) != manifest_checksum(raw):
        raise BadBundle(
            f"{file}: is not as it was written: damaged, or changed by hand; copy or export the bundle again, or "
            f"remove {CHECKSUM} from it if the change is meant"
        )
    try:
        return Manifest.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadBundle(f"{file}: {where}: {first['msg']}; export the model again") from error


def _size(file: Path) -> int:
    """Bytes of a file. Raises BadBundle for a pipe or a device: reading one may never end."""
    status = file.stat()
    if not stat.S_ISREG(status.st_mode):
        found = "a folder" if stat.S_ISDIR(status.st_mode) else "a device or pipe"
        raise BadBundle(f"{file}: found {found}, expected a file; copy or export the bundle again")
    return status.st_size


def _check(file: Path, record: FileRecord) -> None:
    try:
        size = _size(file)
        if size != record.size:
            with file.open("rb") as opened:
                if opened.read(len(LFS_POINTER)) == LFS_POINTER:
                    raise BadBundle(f"{file}: found a Git LFS pointer, expected the file itself; run `git lfs pull`")
            raise BadBundle(f"{file}: found {size} bytes, expected {record.size}: damaged; copy or export it again")
        if sha256(file) != record.sha256:
            raise BadBundle(f"{file}: its sha256 is not the one in {MANIFEST}: damaged; copy or export it again")
    except OSError as error:
        raise BadBundle(f"{file}: cannot be read ({error.strerror}); copy or export the bundle again") from error
