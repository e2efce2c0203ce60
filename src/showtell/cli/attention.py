"""`showtell caption --attention`: a sheet and an animation of the attention maps of each photo."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from PIL import Image

from showtell.core.captioner import Captioner
from showtell.core.image import load_image
from showtell.core.sources import ImageInput
from showtell.errors import BadConfig
from showtell.files import replacing
from showtell.folder_scan import ATTENTION_MAP, ATTENTION_SUFFIXES, PassedOver
from showtell.locks import Locked, locked
from showtell.records import CaptionRow
from showtell.terminal import echo
from showtell.urls import is_url
from showtell.view.attention import LOAD_SIZE, sheet, write_animation
from showtell.view.notes import drawing_problems

SHEET_SUFFIX, ANIMATION_SUFFIX = ATTENTION_SUFFIXES
"""Pictures may be written to the folder of the photos, since a folder scan passes over these."""
MAX_SIDE: Final = 4 * LOAD_SIZE
MAX_NAME_BYTES: Final = 160
"""Less than file systems allow, since suffixes are added while a file is written."""


class Pictures:
    """A folder of sheets and animations. Within a `with` block no other run draws into it."""

    def __init__(self, folder: Path, captioner: Captioner, grid: bool) -> None:
        """Creates the folder. Raises BadConfig when it cannot be written, or when the model has no attention maps."""
        blank = Image.new("RGB", (64, 64))
        attention = captioner.caption(
            blank, attention=True, decode=captioner.settings(beam_size=1, num_beam_groups=1)
        ).attention
        if attention is None or attention.shape[1:] == (1, 1):
            found = "a model without" if len(captioner.bundles) == 1 else "models without common"
            raise BadConfig(
                f"--attention {folder}: found {found} attention maps; expected attention over regions; give another "
                "model or leave --attention out"
            )
        self.folder, self.grid, self.crop = folder, grid, captioner.bundle.manifest.pixels
        self._max_pixels = captioner.max_pixels
        self._used_names: set[str] = set()
        self._told_problems: set[str] = set()
        self._lock = contextlib.ExitStack()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                self._resolved_folder = folder.resolve()
        except OSError as error:
            raise self._unwritable(error) from error

    def __enter__(self) -> Pictures:
        """Raises BadConfig when another run draws into the folder."""
        try:
            self._lock.enter_context(locked(self._resolved_folder / ".attention.lock"))
        except Locked as error:
            raise BadConfig(
                f"--attention {self.folder}: another run is drawing into it; wait until it ends, or give another folder"
            ) from error
        except OSError as error:
            raise self._unwritable(error) from error
        return self

    def __exit__(self, *error: object) -> None:
        self._lock.close()

    def filter_inputs(self, images: Iterable[ImageInput], passed_over: PassedOver) -> Iterator[ImageInput]:
        """The images to caption: without the pictures written here, which `*.png` may have named and which are counted
        in `passed_over`, and with downloads cached until the row is written."""
        for image in images:
            if self._is_own_picture(image.file or image.path):
                passed_over.add(ATTENTION_MAP)
            else:
                yield image if image.read is None else replace(image, read=_CachedRead(image.read))

    def name_for(self, row: CaptionRow) -> str:
        """The photo's name without its suffix, for its pictures; numbered if an earlier photo has the same name."""
        assert isinstance(row.source, ImageInput)
        path = row.source.path
        if is_url(path):
            path = unquote(urlsplit(path).path, errors="surrogateescape")
        elif path == "-":
            path = "stdin"  # a name that begins with a dash is an option to most programs
        # Characters that some file system forbids are replaced; bytes that are not UTF-8 stay as they are.
        stem = re.sub(r'[\0-\x1f\x7f/\\:*?"<>|]', "_", Path(path).stem).strip(". ")
        while len(os.fsencode(stem)) > MAX_NAME_BYTES:
            stem = stem[:-1]
        stem = name = stem or "photo"
        number = 1
        while _key(name) in self._used_names:
            number += 1
            name = f"{stem}-{number}"
        self._used_names.add(_key(name))
        return name

    def reserve(self, name: str) -> None:
        """Leave a name to the pictures of an earlier run, of which this one goes on."""
        self._used_names.add(_key(name))

    def write(self, row: CaptionRow, name: str) -> None:
        """Writes the pictures of the best caption.

        Raises BadImage when the photo can no longer be read, and BadConfig when the folder cannot be written.
        """
        assert isinstance(row.source, ImageInput)
        source = row.source.read or row.source.file or row.source.path
        photo = load_image(source, hint_size=LOAD_SIZE, max_pixels=self._max_pixels)
        photo.thumbnail((MAX_SIDE, MAX_SIDE))  # a PNG comes in its own size, which may be above the limit of `sheet`
        caption = row.captions[0]
        try:
            with replacing(self.folder / (name + SHEET_SUFFIX)) as temporary:
                sheet(photo, caption, self.grid, self.crop).save(temporary, "PNG")
            write_animation(self.folder / (name + ANIMATION_SUFFIX), photo, caption, self.grid, self.crop)
        except OSError as error:
            raise self._unwritable(error) from error
        for problem in drawing_problems(caption):
            if problem not in self._told_problems:  # once, not for each photo
                self._told_problems.add(problem)
                echo(f"showtell: --attention: {problem}", err=True)

    def _is_own_picture(self, path: str) -> bool:
        return (
            path.endswith((SHEET_SUFFIX, ANIMATION_SUFFIX))
            and not is_url(path)
            and Path(path).parent.resolve() == self._resolved_folder
        )

    def _unwritable(self, error: OSError) -> BadConfig:
        return BadConfig(
            f"--attention {self.folder}: cannot be written ({error.strerror or error}); give another folder"
        )


def _key(name: str) -> str:
    """Equal for names that are one to some file system: some ignore case and Unicode normalisation."""
    return unicodedata.normalize("NFC", name).casefold()


class _CachedRead:
    """Calls `read` once: a URL is not downloaded again for its pictures."""

    def __init__(self, read: Callable[[], bytes]) -> None:
        self._read, self._data = read, b""

    def __call__(self) -> bytes:
        self._data = self._data or self._read()
        return self._data
