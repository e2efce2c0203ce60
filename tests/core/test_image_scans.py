"""JPEGs made to keep a decoder busy."""

import io
from pathlib import Path

import pytest
from PIL import Image

from showtell.core.image import load_image
from showtell.core.image_jpeg import MAX_SCANS
from showtell.errors import BadImage


def code_of(source: object) -> str:
    with pytest.raises(BadImage, match="scans in a JPEG") as caught:
        load_image(source)
    return caught.value.code


def with_scans(count: int) -> bytes:
    """A progressive JPEG whose last scan is repeated."""
    buffer = io.BytesIO()
    Image.new("L", (64, 64), 90).save(buffer, "JPEG", progressive=True)
    data = buffer.getvalue()
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * (count - data.count(b"\xff\xda") + 1) + data[-2:]


def test_a_jpeg_of_very_many_scans_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    assert load_image(with_scans(MAX_SCANS)).size == (64, 64)
    path = tmp_path / "scans.jpg"
    path.write_bytes(with_scans(MAX_SCANS + 1))
    assert code_of(path) == code_of(path.read_bytes()) == "too_large"
    # And where a marker lies at the border of two pieces that are read, or across it.
    shifted = path.read_bytes()
    first = shifted.index(b"\xff\xda")
    note = b"\xff\xfe\xff\xff" + b"x" * (0xFFFF - 2)
    notes = note * ((1 << 20) // len(note) - 1)
    for place in ((1 << 20) - 1, 1 << 20):
        rest = (place - first - len(notes)) // 2
        others = (rest, place - first - len(notes) - rest)
        notes_too = b"".join(b"\xff\xfe" + (n - 2).to_bytes(2, "big") + b"x" * (n - 4) for n in others)
        data = shifted[:2] + notes + notes_too + shifted[2:]
        assert data.index(b"\xff\xda") == place
        assert code_of(data) == "too_large"
        assert load_image(shifted[:2] + notes + notes_too + with_scans(MAX_SCANS)[2:]).size == (64, 64)
