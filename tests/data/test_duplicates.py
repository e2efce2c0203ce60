from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from showtell.data.duplicates import (
    BANDS,
    MAX_GREY_DIFFERENCE,
    MAX_HAMMING_DISTANCE,
    Fingerprint,
    exact_duplicates,
    fingerprint,
    near_duplicates,
)
from showtell.data.spec import read_samples

PHOTO = Fingerprint("a", "train", "digest a", 0x0123_4567_89AB_CDEF, bytes(range(256)))


def copy(bits: int = 0, grey: int = 0) -> Fingerprint:
    """A look in dev whose hash differs in that many bits, dealt out over the bands, and one cell by that much grey."""
    flipped = sum(1 << BANDS[n % 4] + n // 4 for n in range(bits))
    cells = bytes([PHOTO.cells[0] + grey, *PHOTO.cells[1:]])
    return Fingerprint("b", "dev", "digest b", PHOTO.dhash ^ flipped, cells)


@pytest.mark.parametrize("bits", range(8))
def test_copies_with_up_to_seven_other_bits_are_always_found(bits: int) -> None:
    assert list(near_duplicates([PHOTO, copy(bits)])) == [(PHOTO, copy(bits))]


def test_far_hashes_and_other_cells_are_no_copies() -> None:
    three_bands_off = sum(0xFFF << band for band in BANDS[1:])
    assert list(near_duplicates([PHOTO, replace(copy(), dhash=PHOTO.dhash ^ three_bands_off)])) == []
    assert three_bands_off.bit_count() > MAX_HAMMING_DISTANCE
    assert list(near_duplicates([PHOTO, copy(grey=MAX_GREY_DIFFERENCE)])) != []
    assert list(near_duplicates([PHOTO, copy(grey=MAX_GREY_DIFFERENCE + 1)])) == []


def test_only_other_splits_and_other_files_are_compared_in_any_order() -> None:
    assert list(near_duplicates([replace(copy(), split="train"), PHOTO])) == []
    assert list(near_duplicates([replace(copy(), digest=PHOTO.digest), PHOTO])) == []
    third = replace(copy(), name="c", split="test", digest="digest c")
    assert [(a.name, b.name) for a, b in near_duplicates([copy(), third, PHOTO])] == [
        ("b", "c"),
        ("b", "a"),
        ("c", "a"),
    ]


def test_names_of_equal_files() -> None:
    assert exact_duplicates([PHOTO, copy(), replace(PHOTO, name="c")]) == [("a", "c")]


def test_a_hash_says_where_it_becomes_lighter() -> None:
    ramp = Image.fromarray(np.tile(np.arange(0, 255, 5, dtype=np.uint8), (40, 1))).convert("RGB")
    assert fingerprint("a", "train", ramp, None).dhash == 2**64 - 1
    assert fingerprint("a", "train", ramp.transpose(Image.Transpose.FLIP_LEFT_RIGHT), None).dhash == 0


def test_photos_without_a_file_are_equal_by_their_pixels() -> None:
    red, blue = Image.new("RGB", (9, 9), "red"), Image.new("RGB", (9, 9), "blue")
    fingerprints = [
        fingerprint(name, "train", image, None) for name, image in (("a", red), ("b", blue), ("c", red.copy()))
    ]
    assert exact_duplicates(fingerprints) == [("a", "c")]


def test_drawings_of_other_scenes_are_no_copies() -> None:
    samples = read_samples("shapes:200")
    assert list(near_duplicates(fingerprint(s.name, s.split, s.image(), None) for s in samples)) == []
