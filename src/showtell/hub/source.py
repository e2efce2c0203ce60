"""Where a model comes from: an id of the hub, or a folder in the same form.

Downloads are huggingface_hub's: its cache, its login (HF_TOKEN, `hf auth login`), its mirror and offline settings
(HF_ENDPOINT, HF_HUB_OFFLINE). A name is resolved to a commit first, so that all files are of that commit and the bundle
can name it. A connection that breaks is resumed where it broke; a second import of the same model fetches only the
files that are not yet complete.

Only JSON, text and *.safetensors are fetched. Pickles can run code when they are loaded, and a repository that has
weights in no other form is refused. huggingface_hub checks sizes; hashes are checked here. Rejected: its
`snapshot_download`, whose threads go on until their files are complete when the user interrupts it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from showtell.core.no_bundle import MANIFEST, what_it_is
from showtell.errors import OUTPUT_ERRNOS, BadConfig, BadWeights, OutputError, ShowtellError
from showtell.files import sha256
from showtell.progress import ProgressReporter
from showtell.stages import Advance

_HUB_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_WANTED: Final = re.compile(r"model(-\d+-of-\d+)?\.safetensors|[^/]+\.(json|txt)|README\.md|LICEN[CS]E(\.\w+)?", re.I)
_PICKLES: Final = re.compile(r".*\.(bin|pt|pth|ckpt|h5|msgpack|pkl|pickle)", re.I)
_WEIGHTS: Final = ("model.safetensors", "model.safetensors.index.json")
_CONVERSION: Final = "Adding `safetensors` variant of this model"
"""The title that the hub's converter gives its pull requests."""
_MEGABYTE: Final = 1_000_000


@dataclass(frozen=True)
class Source:
    """A folder with a model in Hugging Face's form."""

    folder: Path
    id: str
    """The id on the hub, or the folder's name."""
    revision: str | None
    """The commit; None for a folder."""
    licence: str | None
    """As the model's own card states it."""


Accept = Callable[[dict[str, Any]], object]
"""Raises for the `config.json` of a model that is not wanted."""


def fetch(model: str, revision: str | None, reporter: ProgressReporter, accept: Accept) -> Source:
    """`model`: a folder, or an id of the hub; `revision`: a branch, a tag, a commit or `refs/pr/N`; None: the latest.
    `accept` is called before gigabytes are fetched.

    Raises BadConfig when it is neither, BadWeights when it cannot be fetched, is damaged or has only pickles, and
    OutputError when the disk takes no more.
    """
    folder = Path(model)
    if folder.exists():
        if revision is not None:
            raise BadConfig(
                f"found --revision {revision} and the folder {model}; a revision is that of an id on the hub"
            )
        _check_folder(folder)
        accept(_read_config(folder / "config.json"))
        return Source(folder, folder.resolve().name, None, _licence(folder))
    if _HUB_ID.fullmatch(model) is None:
        raise BadConfig(
            f"{model}: no such folder, and no id of the hub; expected one such as Salesforce/blip-image-captioning-base"
        )
    folder, commit = _download(model, revision, reporter, accept)
    return Source(folder, model, commit, _licence(folder))


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise BadConfig(f"{folder}: is a file; expected the folder that it belongs in, with config.json beside it")
    if (folder / MANIFEST).exists():
        raise BadConfig(f"{folder}: is a showtell bundle already; run: showtell caption PHOTO --model {folder}")
    if not (folder / "config.json").exists():
        if (folder / "config.yaml").exists():
            raise BadConfig(f"{folder}: {what_it_is(folder)}")
        raise BadConfig(f"{folder}: no config.json in it; expected a folder that save_pretrained of transformers wrote")
    _check_names(sorted(file.name for file in folder.iterdir()), str(folder))


def _check_names(names: Sequence[str], where: str, converted: Callable[[], str | None] = lambda: None) -> None:
    """Raises BadWeights unless there are weights that are no pickles. `converted`: the revision that has them."""
    if any(name in names for name in _WEIGHTS):
        return
    pickles = [name for name in names if _PICKLES.fullmatch(name)]
    if not pickles:
        raise BadWeights(f"{where}: no model.safetensors in it; expected the weights of a whole model")
    found = f"{where}: its weights are only in {pickles[0]}, a pickle, which can run code when it is loaded; expected "
    if revision := converted():
        raise BadWeights(
            f"{found}model.safetensors: a pull request on the hub has the same weights in that form; run the command "
            f"again with --revision {revision}"
        )
    raise BadWeights(
        f"{found}model.safetensors: give --revision refs/pr/N of a pull request on the hub that adds it, or, where you "
        "trust the model, load it with transformers, save it with model.save_pretrained(DIR), copy its other .json and "
        ".txt files to DIR, and import DIR"
    )


def _conversion(model: str) -> str | None:
    """The pull request of the hub's own converter, `refs/pr/N`. Rejected: taking it unasked, since anybody may open a
    pull request with this title; who sees the number can look at it."""
    from huggingface_hub import HfApi

    for discussion in HfApi().get_repo_discussions(model, discussion_type="pull_request", discussion_status="open"):
        if discussion.title == _CONVERSION:
            return f"refs/pr/{discussion.num}"
    return None


def _read_config(file: Path) -> dict[str, Any]:
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadConfig(f"{file}: cannot be read ({error}); expected a complete download") from error
    if not isinstance(config, dict):
        raise BadConfig(f"{file}: found no JSON object; expected the configuration of a model of transformers")
    return config


def _licence(folder: Path) -> str | None:
    """From the metadata at the beginning of the model card."""
    try:
        card = (folder / "README.md").read_text(encoding="utf-8")
        metadata = yaml.safe_load(card.split("---")[1]) if card.startswith("---") else {}
    except (OSError, ValueError, yaml.YAMLError, IndexError):
        return None
    found = metadata.get("license") if isinstance(metadata, dict) else None
    if isinstance(found, str) and found == "other":
        found = metadata.get("license_name") or found
    return ", ".join(map(str, found)) if isinstance(found, list) else found and str(found)


def _download(model: str, revision: str | None, reporter: ProgressReporter, accept: Accept) -> tuple[Path, str]:
    """The folder in the hub's cache, and the commit."""
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import OfflineModeIsEnabled

    with _translated(model, revision):
        try:
            info = HfApi().model_info(model, revision=revision, files_metadata=True)
        except OfflineModeIsEnabled:
            return _cached(model, revision, accept)
        files = info.siblings or []
        _check_names([file.rfilename for file in files], model, lambda: _conversion(model))
        wanted = [file for file in files if _WANTED.fullmatch(file.rfilename)]
        if "config.json" not in (file.rfilename for file in wanted):
            raise BadConfig(f"{model}: no config.json in it; expected a model of transformers")
        total = sum(file.size or 0 for file in wanted)
        with reporter.stage(f"fetching {model} (MB)", total // _MEGABYTE) as advance:
            bar = _bar_class(advance)
            for file in sorted(wanted, key=lambda file: (file.rfilename != "config.json", file.size or 0)):
                path = Path(hf_hub_download(model, file.rfilename, revision=info.sha, tqdm_class=bar))
                _check_hash(path, file)
                if path.name == "config.json":
                    accept(_read_config(path))
    return path.parent, str(info.sha)


def _cached(model: str, revision: str | None, accept: Accept) -> tuple[Path, str]:
    """What an earlier import has left in the cache, without a look at the network."""
    from huggingface_hub import snapshot_download

    folder = Path(snapshot_download(model, revision=revision, local_files_only=True))
    names = [file.name for file in folder.iterdir()]
    if "config.json" not in names or not any(name in names for name in _WEIGHTS):
        raise BadWeights(f"{model}: is not complete in the cache {folder}; run the command again with a network")
    accept(_read_config(folder / "config.json"))
    return folder, folder.name


def _check_hash(path: Path, file: Any) -> None:
    """Raises BadWeights, and removes the file from the cache, unless its hash is the hub's: SHA-256 of large files, and
    git's own of the others."""
    if file.lfs is not None:
        found, expected = sha256(path), file.lfs.sha256
    else:
        content = path.read_bytes()
        found, expected = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest(), file.blob_id
    if expected is None or found == expected:
        return
    Path(os.path.realpath(path)).unlink(missing_ok=True)
    path.unlink(missing_ok=True)
    raise BadWeights(
        f"{file.rfilename}: what was fetched has not the hash that the hub states: damaged; it was removed, run the "
        "command again"
    )


def _bar_class(advance: Advance) -> type:
    """A class that huggingface_hub takes for tqdm's, and that reports to `advance` in whole megabytes."""
    from huggingface_hub.utils.tqdm import tqdm

    fetched = 0

    class Bar(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "disable": True})  # type: ignore[no-untyped-call]

        def update(self, n: float | None = 1) -> None:
            nonlocal fetched
            before, fetched = fetched, fetched + int(n or 0)
            advance(fetched // _MEGABYTE - before // _MEGABYTE)

        def update_transfer(self, n: float | None = 1) -> None:
            """Bytes on the network, which may be compressed; `update` counts those of the file."""

        def set_transfer_postfix_str(self, *args: Any, **kwargs: Any) -> None: ...

    return Bar


@contextmanager
def _translated(model: str, revision: str | None) -> Iterator[None]:
    """Every error of the hub's client, and of the network and the disk beneath it, as one of ours."""
    try:
        yield
    except ShowtellError:
        raise
    except Exception as error:
        raise _translation(model, revision, error) from error


def _translation(model: str, revision: str | None, error: Exception) -> ShowtellError:
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RemoteEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    page = f"{constants.ENDPOINT}/{model}"
    login = "log in with `hf auth login`, or set HF_TOKEN"
    if isinstance(error, GatedRepoError):
        return BadWeights(f"{model}: is gated; accept its terms at {page}, {login}, and run the command again")
    if isinstance(error, RepositoryNotFoundError):
        return BadWeights(f"{model}: not found at {page}, or private; check the id; for a private model {login}")
    if isinstance(error, RevisionNotFoundError):
        return BadConfig(f"{model}: has no revision {revision}; see {page}/commits for those that it has")
    if isinstance(error, RemoteEntryNotFoundError):
        return BadWeights(f"{model}: a file that it lists is not there ({error.response.url}); try another --revision")
    if isinstance(error, HfHubHTTPError):
        code = error.response.status_code
        if code in (401, 403):
            return BadWeights(f"{model}: the hub refuses access ({code}); {login} with an account that may read it")
        return BadWeights(f"{model}: {page} answers with {code}; wait, and run the command again")
    if isinstance(error, LocalEntryNotFoundError):
        why = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else f"{constants.ENDPOINT} cannot be reached"
        return BadWeights(f"{model}: is not in the cache, and {why}; run the command again with a network")
    if isinstance(error, OSError) and error.errno in OUTPUT_ERRNOS:
        return OutputError.of(constants.HF_HUB_CACHE, error)
    reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return BadWeights(
        f"{model}: cannot be fetched from {constants.ENDPOINT} ({reason}); run the command again, complete files are "
        "kept; HF_HUB_OFFLINE=1 takes a model that is in the cache without asking"
    )
