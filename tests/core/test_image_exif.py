"""The orientation in an EXIF block."""

import struct

import pytest
from PIL import TiffImagePlugin

from showtell.core.image_exif import EXIF_ORIENTATION, exif_orientation


@pytest.mark.parametrize("prefix", TiffImagePlugin.PREFIXES)
def test_every_prefix_that_pillow_takes_for_tiff_begins_a_block(prefix: bytes) -> None:
    order = "<" if prefix.startswith(b"II") else ">"
    directory = struct.pack(order + "LHHHLHH", 8, 1, EXIF_ORIENTATION, 3, 1, 6, 0)
    assert exif_orientation(b"Exif\0\0" + prefix + directory) == 6


def test_other_blocks_have_no_orientation() -> None:
    directory = struct.pack("<LHHHLHH", 8, 1, EXIF_ORIENTATION, 3, 1, 6, 0)
    assert exif_orientation(b"Exif\0\0" + b"XX*\0" + directory) is None
