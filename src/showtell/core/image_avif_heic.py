"""AVIF and HEIC: Pillow's parser and pillow-heif's, with an orientation that is in the container, not in EXIF."""

from __future__ import annotations

from typing import BinaryIO, Final, cast

from PIL import AvifImagePlugin, Image, ImageFile, _avif

from showtell.core.image_bmff import check_decoded_pixels, read_meta
from showtell.core.image_exif import EXIF_ORIENTATION
from showtell.errors import BadImage
from showtell.install import install_hint

_STILL_BRAND: Final = b"avif"


class Avif(AvifImagePlugin.AvifImageFile):
    """The primary picture. The rotation and mirroring of the container count, which Pillow gives as an EXIF
    orientation; that of EXIF does not (MIAF, ISO 23000-22)."""

    def _open(self) -> None:
        # As Pillow's, but without EXIF, every value of which it would copy, and without the frames of a film: libavif
        # takes them where the first brand says so (avis).
        file = cast(BinaryIO, self.fp)
        meta = read_meta(file)
        file.seek(0)
        data = file.read()
        self._decoder = _avif.AvifDecoder(data[:8] + _STILL_BRAND + data[12:], "auto", 1)
        self._size, self.n_frames, self._mode, _, _, self._turn, _ = self._decoder.get_info()
        self.is_animated = self.n_frames > 1
        check_decoded_pixels(file, meta, self._size)
        self.seek(0)

    def getexif(self) -> Image.Exif:
        exif = Image.Exif()
        exif[EXIF_ORIENTATION] = self._turn
        return exif


def open_heif(file: BinaryIO) -> ImageFile.ImageFile:
    """The primary picture, upright. Raises BadImage `unsupported` where the extra is not installed."""
    try:
        from pillow_heif import HeifImageFile
    except ModuleNotFoundError as error:
        raise BadImage(
            "unsupported", f"HEIC needs pillow-heif, which is not installed; {install_hint('heif')}"
        ) from error
    meta = read_meta(file)
    file.seek(0)
    image: ImageFile.ImageFile = HeifImageFile(file)  # type: ignore[no-untyped-call]
    check_decoded_pixels(file, meta, image.size)
    return image
