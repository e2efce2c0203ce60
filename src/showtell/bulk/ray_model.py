"""A model for workers on other machines, through Ray's object store: nobody has to copy its folder to each of them.

A worker takes the folder of the same name where it has it and it holds the same model, as on one machine and on shared
file systems. Else it writes the files to its folder for temporary files, where the other workers of the machine, and
later runs, find them. The built-in model is a part of the package, which every worker has.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from showtell.core.bundle import MANIFEST, READ, Bundle, builtin, load_bundle
from showtell.errors import BadBundle


@dataclass(frozen=True)
class ShippedModel:
    folder: Path | None
    """On the driver's machine; None: the built-in model."""
    manifest: bytes
    files: Mapping[str, Any]
    """Name -> reference to the bytes, in Ray's object store. None at all where workers are on the driver's machine."""

    def folder_here(self) -> Path:
        """The model's folder on this machine. Raises BadBundle."""
        if self.folder is None:
            if (builtin() / MANIFEST).read_bytes() != self.manifest:
                raise BadBundle("found another built-in model; install the same showtell on all machines")
            return builtin()
        if self._is_in(self.folder):
            return self.folder
        if not self.files:
            raise BadBundle(f"{self.folder}: has another model than when the run began; start it again")
        target = _home() / hashlib.sha256(self.manifest).hexdigest()
        if not self._is_in(target):
            self._write(target)
        return target

    def _is_in(self, folder: Path) -> bool:
        """Every file is checked against the manifest."""
        try:
            if (folder / MANIFEST).read_bytes() != self.manifest:
                return False
            load_bundle(folder)
        except (OSError, BadBundle):
            return False
        return True

    def _write(self, target: Path) -> None:
        """Raises BadBundle."""
        import ray

        try:
            new = Path(tempfile.mkdtemp(dir=target.parent))
            try:
                (new / MANIFEST).write_bytes(self.manifest)
                for name, reference in self.files.items():
                    (new / name).write_bytes(ray.get(reference))
                if target.exists() and not self._is_in(target):  # else another worker was faster
                    shutil.rmtree(target)
                with contextlib.suppress(OSError):
                    new.rename(target)
            finally:
                shutil.rmtree(new, ignore_errors=True)
        except OSError as error:
            raise BadBundle(f"{target}: cannot be written ({error.strerror or error}); make room there") from error
        load_bundle(target)


def _home() -> Path:
    """This user's own, since whoever may write to it could exchange a model after it was checked. Raises BadBundle."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    home = Path(tempfile.gettempdir()) / f"showtell-models-{user}"
    try:
        home.mkdir(mode=0o700, exist_ok=True)
        owner = home.stat().st_uid
    except OSError as error:
        raise BadBundle(f"{home}: cannot be made ({error.strerror or error}); make room there") from error
    if owner != user:
        raise BadBundle(f"{home}: belongs to another user; remove it, or set TMPDIR on that machine")
    return home


def shipped(bundle: Bundle, is_local: bool) -> ShippedModel:
    """`is_local`: all workers are on this machine; else its files are put into the object store. Raises BadBundle."""
    folder = None if bundle.path == builtin() else bundle.path.absolute()
    names = [name for name in READ if name in bundle.manifest.files]
    try:
        files = {}
        if folder is not None and not is_local:
            import ray

            files = {name: ray.put((folder / name).read_bytes()) for name in names}
        return ShippedModel(folder, (bundle.path / MANIFEST).read_bytes(), files)
    except OSError as error:
        raise BadBundle(f"{bundle.path}: cannot be read ({error.strerror or error}); export it again") from error
