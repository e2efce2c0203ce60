"""`showtell caption --attention`: a sheet and an animation of where the network looked, for every photo."""

from __future__ import annotations

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
from showtell.core.sources import Found, is_url
from showtell.errors import BadConfig
from showtell.files import replacing
from showtell.records import CaptionRow
from showtell.view.attention import LOADED, sheet, write_animation

SHEET, ANIMATION = ".attention.png", ".attention.webp"
"""Endings that no photo has: a folder may get the pictures of its own photos."""
LONGEST: Final = 160
"""Bytes of a name, less than systems allow: what stands before and behind it while it is written has to fit, too."""


class Pictures:
    """A folder of sheets and animations."""

    def __init__(self, folder: Path, captioner: Captioner, grid: bool) -> None:
        """Makes the folder. Raises BadConfig when it cannot be written, or when the model attends to nothing."""
        blank = Image.new("RGB", (64, 64))
        tried = captioner.caption(blank, attention=True, decode=captioner.settings(beam=1, groups=1)).attention
        if tried is None or tried.shape[1:] == (1, 1):
            which = "this model looks" if len(captioner.bundles) == 1 else "these models look"
            raise BadConfig(
                f"--attention {folder}: {which} at no part of a photo in particular, or not at the same; "
                "leave --attention out, or give a model with attention"
            )
        self.folder, self.grid, self.crop = folder, grid, captioner.bundle.manifest.pixels.crop
        self._taken: set[str] = set()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                self._inside = folder.resolve()
        except OSError as error:
            raise self._unwritable(error) from error

    def wanted(self, images: Iterable[Found]) -> Iterator[Found]:
        """The images to caption: without the pictures made here, which a walk through the photos' folder may come upon,
        and with what a URL gave kept until its row is written."""
        for image in images:
            if not self._made_here(image.path):
                yield image if image.read is None else replace(image, read=_Kept(image.read))

    def name_for(self, row: CaptionRow) -> str:
        """The photo's name without its ending, for its pictures; with a number behind it if one before had the same."""
        assert isinstance(row.source, Found)
        path = row.source.path
        if is_url(path):
            path = unquote(urlsplit(path).path, errors="surrogateescape")
        # What no system forbids; the bytes of a name that is not UTF-8 stay what they are.
        stem = re.sub(r'[\0-\x1f\x7f/\\:*?"<>|]', "_", Path(path).stem).strip(". ")
        while len(os.fsencode(stem)) > LONGEST:
            stem = stem[:-1]
        stem = name = stem or "photo"
        number = 1
        # Some systems do not tell capitals from small letters, nor a letter from one composed of two.
        while (key := unicodedata.normalize("NFC", name).casefold()) in self._taken:
            number += 1
            name = f"{stem}-{number}"
        self._taken.add(key)
        return name

    def write(self, row: CaptionRow, name: str) -> None:
        """The pictures of the best caption.

        Raises BadImage when the photo can no longer be read, and BadConfig when the folder cannot be written.
        """
        assert isinstance(row.source, Found)
        photo = load_image(row.source.read or row.source.path, hint_size=LOADED)
        caption = row.captions[0]
        try:
            with replacing(self.folder / (name + SHEET)) as temporary:
                sheet(photo, caption, self.grid, self.crop).save(temporary, "PNG")
            write_animation(self.folder / (name + ANIMATION), photo, caption, self.grid, self.crop)
        except OSError as error:
            raise self._unwritable(error) from error

    def _made_here(self, path: str) -> bool:
        return path.endswith((SHEET, ANIMATION)) and not is_url(path) and Path(path).parent.resolve() == self._inside

    def _unwritable(self, error: OSError) -> BadConfig:
        return BadConfig(
            f"--attention {self.folder}: cannot be written ({error.strerror or error}); give another folder"
        )


class _Kept:
    """The bytes that `read` gives, asked for once: a URL is not fetched again for its picture."""

    def __init__(self, read: Callable[[], bytes]) -> None:
        self._read, self._data = read, b""

    def __call__(self) -> bytes:
        self._data = self._data or self._read()
        return self._data
