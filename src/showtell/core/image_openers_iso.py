"""AVIF and HEIC: Pillow's parser and pillow-heif's, with an orientation that is in the container, not in EXIF."""

from __future__ import annotations

from typing import BinaryIO

from PIL import AvifImagePlugin, Image, ImageFile, _avif

from showtell.core.image_openers import EXIF_ORIENTATION
from showtell.errors import BadImage
from showtell.install import install_hint


class Avif(AvifImagePlugin.AvifImageFile):
    """Its first frame. The container's rotation and mirroring, which Pillow gives as an EXIF orientation, count; that
    of EXIF does not (MIAF)."""

    def _open(self) -> None:
        # As Pillow's, but without EXIF, every value of which it would copy.
        assert self.fp is not None
        self._decoder = _avif.AvifDecoder(self.fp.read(), "auto", 1)
        self._size, self.n_frames, self._mode, _, _, self._turn, _ = self._decoder.get_info()
        self.is_animated = self.n_frames > 1
        self.seek(0)

    def getexif(self) -> Image.Exif:
        exif = Image.Exif()
        exif[EXIF_ORIENTATION] = self._turn
        return exif


def open_heif(file: BinaryIO) -> ImageFile.ImageFile:
    """The primary image. Raises BadImage `unsupported` where the extra is not installed."""
    try:
        from pillow_heif import HeifImageFile
    except ModuleNotFoundError as error:
        raise BadImage(
            "unsupported", f"HEIC needs pillow-heif, which is not installed; {install_hint('heif')}"
        ) from error
    image: ImageFile.ImageFile = HeifImageFile(file)  # type: ignore[no-untyped-call]
    return image
