"""A grid of the kinds of TIFF, each right or `unsupported`, beside a second decoder: tifffile and imagecodecs.

tifffile writes the files as well, except for a few by hand. What it reads is scaled to 8 bits here.
"""

import io
import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests import bad_images, skips

from showtell.core.image import load_image
from showtell.errors import BadImage

tifffile = pytest.importorskip("tifffile", reason=skips.PACKAGES)
pytest.importorskip("imagecodecs", reason=skips.PACKAGES)

HEIGHT, WIDTH = 33, 45  # no multiple of a tile, a byte or a strip
LAYOUTS = [
    (compression, order, tile, separate, predictor)
    for compression, predictor in ((None, False), ("lzw", False), ("lzw", True), ("packbits", False))
    for order, tile, separate in itertools.product("<>", (None, (16, 16)), (False, True))
    if tile is None or compression != "packbits"
]
UNDECODED = ("webp", "jpeg2000", "jpegxl", "lerc", "png", "jpegxr")
KINDS = ("u1", "u2", "u4", "u8", "i1", "i2", "i4", "f2", "f4", "f8")
READ = {("u1", 1), ("u1", 2), ("u1", 3), ("u1", 4), ("u2", 1), ("u2", 3), ("u2", 4), ("u4", 1), ("i2", 1), ("f4", 1)}
"""Kind and number of samples of what must be read where Pillow knows the byte order; i4 is scaled by its values."""


def scene(samples: int, kind: str = "u1") -> np.ndarray:
    """[H, W, samples], from 0 to the largest value; the fourth, and the second of two, is an opaque alpha."""
    y, x = np.mgrid[0 : 1 : HEIGHT * 1j, 0 : 1 : WIDTH * 1j]
    colours = [x, y, 1 - x][: samples if samples != 2 else 1]
    values = np.stack(colours + [np.ones_like(x)] * (samples in (2, 4)), axis=-1)
    if kind[0] == "f":
        return values.astype(kind)
    return (
        np.round(values * float(np.iinfo(kind).max)).astype(kind) if kind[1] != "8" else (values * 2**62).astype(kind)
    )


def written(array: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, array, metadata=None, **options)
    return file.getvalue()


def expected(data: bytes, separate: bool) -> np.ndarray:
    """What tifffile reads, [H, W, 3], from 0 to 255; alpha is opaque."""
    values = tifffile.imread(io.BytesIO(data)).astype(float)
    dtype = tifffile.TiffFile(io.BytesIO(data)).pages[0].dtype
    values = np.moveaxis(values, 0, -1) if separate else values.reshape(HEIGHT, WIDTH, -1)
    values *= 255 / (1 if dtype.kind == "f" else np.iinfo(dtype).max)
    return values[:, :, :3] if values.shape[2] > 2 else np.repeat(values[:, :, :1], 3, axis=2)


def is_read(data: bytes, wanted: np.ndarray, tolerance: float = 1) -> bool:
    """False where it is refused by name; anything else that is not as wanted fails."""
    try:
        loaded = load_image(data)
    except BadImage as error:
        assert error.code == "unsupported", error
        return False
    difference = np.abs(np.asarray(loaded, float) - wanted).max()
    assert difference <= tolerance, f"wrong by {difference}"
    return True


@pytest.mark.parametrize(("kind", "samples"), list(itertools.product(KINDS, (1, 2, 3, 4))))
def test_every_kind_is_right_or_refused(kind: str, samples: int, capfd: pytest.CaptureFixture[str]) -> None:
    read, refused = set(), set()
    for compression, order, tile, separate, predictor in LAYOUTS:
        if (separate and samples == 1) or (predictor and kind == "u8"):
            continue
        array = scene(samples, kind)
        data = written(
            np.moveaxis(array, -1, 0) if separate else array.squeeze(),
            photometric="rgb" if samples > 2 else "minisblack",
            planarconfig=("separate" if separate else "contig") if samples > 1 else None,
            extrasamples=["unassalpha"] if samples in (2, 4) else None,
            compression=compression,
            byteorder=order,
            tile=tile,
            predictor=predictor or None,
            rowsperstrip=None if tile else 7,
        )
        found = read if is_read(data, expected(data, separate)) else refused
        found.add((order, separate))
    if (kind, samples) in READ:
        assert ("<", False) in read and not read & refused, "nothing depends on compression, tiles or a predictor"
        assert ("<", True) in read or samples in (1, 2)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("compression", ["zlib", "zstd", "lzma"])
def test_other_lossless_compressions(compression: str) -> None:
    for kind, order in itertools.product(("u1", "u2"), "<>"):
        data = written(scene(3, kind), photometric="rgb", compression=compression, byteorder=order)
        assert is_read(data, expected(data, separate=False))


@pytest.mark.parametrize("compression", UNDECODED)
@pytest.mark.parametrize("grey", [False, True])
def test_other_compressions_are_refused_by_name(
    compression: str, grey: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    if grey and compression == "webp":
        return  # which has no grey
    array = scene(1).squeeze() if grey else scene(3)
    data = written(array, photometric="minisblack" if grey else "rgb", compression=compression)
    with pytest.raises(BadImage, match=r"unsupported: found a TIFF compressed with [A-Z]"):
        load_image(data)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("separate", [False, True])
def test_jpeg_in_tiff(samples: int, separate: bool) -> None:
    array = scene(samples)
    data = written(
        np.moveaxis(array, -1, 0) if separate and samples > 1 else array.squeeze(),
        photometric="rgb" if samples == 3 else "minisblack",
        planarconfig=("separate" if separate else "contig") if samples == 3 else None,
        compression="jpeg",
        compressionargs={"level": 95},
    )
    assert is_read(data, expected(data, separate and samples == 3), tolerance=8)


@pytest.mark.parametrize("bits", [1, 2, 4, 6, 8, 10, 12, 14, 16])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_grey_of_few_bits_and_min_is_white(bits: int, photometric: str) -> None:
    white = 2**bits - 1
    values = np.round(scene(1).squeeze() / 255 * white).astype("u1" if bits <= 8 else "u2")
    wanted = np.repeat((values / white * 255)[:, :, None], 3, axis=2)
    wanted = 255 - wanted if photometric == "miniswhite" else wanted
    read = []
    for order, compression in itertools.product("<>", (None, "lzw")):
        array = values.astype(bool) if bits == 1 else values
        try:
            data = written(array, photometric=photometric, bitspersample=bits, byteorder=order, compression=compression)
        except (ValueError, NotImplementedError):
            continue
        if is_read(data, wanted):
            read.append(order)
    assert read or bits not in (1, 8, 16)


def test_float_and_32_bit_integers_of_min_is_white() -> None:
    values = scene(1, "f4").squeeze()
    wanted = 255 - np.repeat(values[:, :, None] * 255, 3, axis=2)
    assert is_read(written(values, photometric="miniswhite"), wanted)


def test_integers_of_32_bits_that_hold_8() -> None:
    for kind, order, compression in itertools.product(("u4", "i4"), "<>", (None, "lzw")):
        data = written(
            scene(1).squeeze().astype(kind), photometric="minisblack", byteorder=order, compression=compression
        )
        assert is_read(data, np.repeat(scene(1), 3, axis=2).astype(float)) or (kind, order) == ("u4", ">")


def test_alpha_that_is_associated_or_unspecified_and_transparent() -> None:
    for kind, separate in itertools.product(("u1", "u2"), (False, True)):
        array = scene(4, kind)
        array[:, :20, 3] = 0
        for name in ("assocalpha", "unassalpha", "unspecified"):
            pixels = array.copy()
            if name == "assocalpha":
                pixels[:, :20, :3] = 0
            data = written(
                np.moveaxis(pixels, -1, 0) if separate else pixels,
                photometric="rgb",
                planarconfig="separate" if separate else "contig",
                extrasamples=[name],
            )
            wanted = array[:, :, :3] * (255 / np.iinfo(kind).max)
            if name != "unspecified":
                wanted[:, :20] = 255
            assert is_read(data, wanted) or (separate and name != "unassalpha"), (kind, separate, name)


@pytest.mark.parametrize("kind", ["u1", "u2"])
@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize("compression", [None, "lzw"])
def test_cmyk(kind: str, separate: bool, compression: str | None) -> None:
    ink = scene(4, kind)
    ink[:, :, 3] = np.iinfo(kind).max // 4
    data = written(
        np.moveaxis(ink, -1, 0) if separate else ink,
        photometric="separated",
        planarconfig="separate" if separate else "contig",
        compression=compression,
    )
    share = ink / np.iinfo(kind).max
    assert is_read(data, 255 * (1 - share[:, :, :3]) * (1 - share[:, :, 3:]), tolerance=2)


def test_palettes() -> None:
    colours = np.random.default_rng(0).integers(0, 255, (3, 256)).astype("u2")
    indices = scene(1).squeeze()
    for order, compression in itertools.product("<>", (None, "lzw")):
        data = written(indices, photometric="palette", colormap=colours * 256, byteorder=order, compression=compression)
        assert is_read(data, np.moveaxis(colours[:, indices], 0, -1).astype(float))


def test_a_palette_of_8_bits() -> None:
    """Some programs write its colours from 0 to 255, not to 65535."""
    colours = np.arange(768).reshape(3, 256).astype(np.uint16) % 256
    indices = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint8)
    data = written(indices, photometric="palette", colormap=colours)
    assert np.array_equal(np.asarray(load_image(data)), colours.T[indices])


def lab_to_srgb(lab: np.ndarray) -> np.ndarray:
    """The textbook's way: Lab of D50 to XYZ, adapted to D65 (Bradford), to sRGB."""
    fy = (lab[..., 0] + 16) / 116
    f = np.stack([fy + lab[..., 1] / 500, fy, fy - lab[..., 2] / 200], axis=-1)
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * (0.9642, 1, 0.8251)
    to_linear = np.array([[3.1339, -1.6169, -0.4906], [-0.9788, 1.9161, 0.0335], [0.0719, -0.2290, 1.4052]])
    linear = np.clip(xyz @ to_linear.T, 0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("compression", [None, "lzw"])
def test_lab(compression: str | None) -> None:
    lab = np.zeros((HEIGHT, WIDTH, 3), np.int8)
    lab[..., 0] = np.linspace(20, 200, WIDTH).astype(np.uint8).view(np.int8)  # 0..255 are 0..100
    lab[..., 1], lab[..., 2] = 20, -15
    data = written(lab.view(np.uint8), photometric="cielab", compression=compression)
    meant = lab.astype(float)
    meant[..., 0] = lab[..., 0].view(np.uint8) * (100 / 255)
    assert is_read(data, lab_to_srgb(meant), tolerance=3)


def test_ycbcr_that_is_not_jpeg_is_right_or_refused() -> None:
    data = written(scene(3), photometric="ycbcr", subsampling=(1, 1))
    y, cb, cr = np.moveaxis(scene(3).astype(float), -1, 0)
    rgb = np.stack([y + 1.402 * (cr - 128), y - 0.344 * (cb - 128) - 0.714 * (cr - 128), y + 1.772 * (cb - 128)], -1)
    is_read(data, np.clip(rgb, 0, 255), tolerance=3)


def test_a_big_tiff_is_read() -> None:
    for order in "<>":
        data = written(scene(3), photometric="rgb", bigtiff=True, byteorder=order)
        assert is_read(data, scene(3).astype(float)) or order == ">"


def test_a_camera_raw_is_refused_by_content_or_by_name(tmp_path: Path) -> None:
    dng = written(scene(3), photometric="rgb", extratags=[(50706, 1, 4, (1, 4, 0, 0), False)])
    with pytest.raises(BadImage, match="unsupported: found a camera raw"):
        load_image(dng)
    path = tmp_path / "IMG_1.NEF"
    path.write_bytes(written(scene(3), photometric="rgb"))
    with pytest.raises(BadImage, match="unsupported: found camera raw"):
        load_image(path)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_deflate", "packbits", "jpeg"])
def test_a_cut_off_tiff_is_truncated(compression: str, capfd: pytest.CaptureFixture[str]) -> None:
    whole = bad_images.encode(bad_images.photo(), "TIFF", compression=compression)
    for share in (0.2, 0.5, 0.8, 0.98):
        with pytest.raises(BadImage, match="truncated"):
            load_image(whole[: int(len(whole) * share)])
    assert capfd.readouterr().err == ""


def test_libtiff_says_nothing_on_stderr(tmp_path: Path) -> None:
    """In a process of its own, whose file descriptor is watched; libtiff's handlers are global."""
    whole = bytearray(bad_images.encode(bad_images.photo(200, 150), "TIFF", compression="jpeg"))
    whole[300:3000] = os.urandom(2700)
    path = tmp_path / "damaged.tif"
    path.write_bytes(whole)
    program = (
        "import sys\nfrom showtell.core.image import load_image\nfrom showtell.errors import BadImage\n"
        "try: load_image(sys.argv[1])\nexcept BadImage: pass"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    # Pillow alone does: without that, the test would prove nothing.
    program = "import sys\nfrom PIL import Image\ntry: Image.open(sys.argv[1]).load()\nexcept Exception: pass"
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    assert done.stderr != ""


def test_a_tiff_on_disk_is_as_one_in_memory(tmp_path: Path) -> None:
    """libtiff reads the former through its file descriptor."""
    path = tmp_path / "photo.tif"
    for compression in ("raw", "tiff_lzw"):
        bad_images.photo().save(path, compression=compression)
        assert load_image(path) == load_image(path.read_bytes()) == bad_images.photo()
        assert Image.open(path).size == (64, 48)
