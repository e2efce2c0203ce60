"""The registry of image formats: those that are decoded, and others that are recognised to be refused by name.

Folder scans, data readers, fetch, server, page and `core/image.py` all read this table; none has a list of its own.
Openers and structure checks are named, not imported: this module is shared, and imports neither Pillow nor a codec.

Rejected: a folder scan that reads the beginning of every file. A scan of a million files would open each of them, so
suffixes decide what is tried, and the bytes decide what it is.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import PurePath
from typing import Any, Final

SIGNATURE_BYTES: Final = 4096
"""Bytes searched for a signature; only SVG, which may begin with comments, needs more than 200."""


@dataclass(frozen=True)
class ImageFormat:
    """One line of the registry."""

    name: str
    """As users read it."""
    suffixes: tuple[str, ...]
    """Lower case, with the dot; the usual one first."""
    media_types: tuple[str, ...] = ()
    signature: bytes | None = None
    """A regular expression for the first bytes; None: told by its suffix only."""
    opener: str | None = None
    """`module:name` in showtell.core, called with a binary file and giving a PIL image; None: not decoded."""
    structure_check: str | None = None
    """`module:name` in showtell.core, called before the opener: raises BadImage for what costs too much."""
    opener_turns: bool = False
    """Whether the opener gives upright pixels, so that an EXIF orientation must not be applied again."""
    extra: str | None = None
    """The optional extra of showtell that decodes it."""
    is_picture: bool = True
    """False for films and documents, which a folder of photos may hold for other reasons."""

    @property
    def is_decoded(self) -> bool:
        return self.opener is not None


def resolve(reference: str) -> Any:
    """The function or class that `opener` or `structure_check` names."""
    module, _, name = reference.partition(":")
    return getattr(import_module(f"showtell.core.{module}"), name)


_RAW_SUFFIXES: Final = (
    *(".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".sr2", ".srf", ".srw", ".orf", ".rw2", ".raf", ".pef"),
    *(".rwl", ".x3f", ".3fr", ".fff", ".iiq", ".mef", ".mos", ".mrw", ".kdc", ".dcr", ".erf", ".gpr", ".raw"),
)
_RAW_SIGNATURE: Final = (
    rb"II\*\0....CR\x02|II\x1a\0\0\0HEAPCCDR|FUJIFILMCCD-RAW|II(RO|RS|U\0)|MMOR|FOVb|\0MRM|....ftypcrx |IIII\*\0"
)
_TIFF_SIGNATURE: Final = rb"II[*+]\0|MM\0[*+]"

FORMATS: Final = (
    ImageFormat(
        "JPEG",
        (".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".jfi", ".mpo", ".jps"),
        ("image/jpeg", "image/mpo"),
        rb"\xff\xd8\xff(?!\xf7)",
        opener="image_jpeg:Jpeg",
        structure_check="image_jpeg:check_jpeg",
    ),
    ImageFormat(
        "PNG",
        (".png", ".apng"),
        ("image/png", "image/apng"),
        rb"\x89PNG\r\n\x1a\n",
        opener="image_png:Png",
        structure_check="image_png:check_png",
    ),
    ImageFormat(
        "GIF",
        (".gif",),
        ("image/gif",),
        rb"GIF8[79]a",
        opener="image_gif:open_gif",
        structure_check="image_gif:check_gif",
    ),
    ImageFormat("WebP", (".webp",), ("image/webp",), rb"RIFF....WEBP", opener="image_webp:WebP"),
    ImageFormat("camera raw", _RAW_SUFFIXES, signature=_RAW_SIGNATURE),
    ImageFormat(
        "TIFF",
        (".tif", ".tiff"),
        ("image/tiff",),
        _TIFF_SIGNATURE,
        opener="image_tiff:Tiff",
        structure_check="image_tiff:check_tiff",
    ),
    ImageFormat(
        "BMP",
        (".bmp", ".dib"),
        ("image/bmp",),
        # Two letters begin many a text; the size of the second header is one of these.
        rb"BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\0\0\0",
        opener="image_bmp:Bmp",
        structure_check="image_bmp:check_bmp",
    ),
    ImageFormat(
        "AVIF",
        (".avif", ".avifs"),
        ("image/avif",),
        # As the first of the brands, or among the others of a general one.
        rb"....ftyp(avi[fs]|(mi[af]f|mif[12]|msf1|MA1[AB])(....){0,30}?avi[fs])",
        opener="image_avif_heic:Avif",
        structure_check="image_bmff:check_bmff",
    ),
    ImageFormat(
        "HEIC",
        (".heic", ".heif", ".hif", ".heics", ".heifs"),
        ("image/heic", "image/heif"),
        rb"....ftyp(hei[cmsx]|hev[cmsx]|mif[12]|msf1|miaf)",
        opener="image_avif_heic:open_heif",
        structure_check="image_bmff:check_bmff",
        opener_turns=True,
        extra="heif",
    ),
    # Not decoded. The order matters where one signature is a part of another.
    ImageFormat("JPEG XL", (".jxl",), ("image/jxl",), rb"\xff\x0a|\0\0\0\x0cJXL "),
    ImageFormat(
        "JPEG 2000",
        (".jp2", ".j2k", ".jpf", ".jpx", ".jpm", ".j2c", ".jpc", ".jph", ".jhc"),
        ("image/jp2",),
        rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51",
    ),
    ImageFormat("JPEG-LS", (".jls",), ("image/jls",), rb"\xff\xd8\xff\xf7"),
    ImageFormat("JPEG XR", (".jxr", ".wdp", ".hdp"), ("image/jxr",), rb"II\xbc[\0\x01]"),
    ImageFormat("JPEG XS", (".jxs",), ("image/jxs",), rb"\xff\x10\xff\x50|\0\0\0\x0cJXS "),
    ImageFormat(
        "HEIF of another codec",
        (".avci", ".avcs"),
        ("image/avci",),
        rb"....ftyp(avc[is]|jpeg|jpgs|j2ki|vvic|vvis|evbi)",
    ),
    ImageFormat(
        "SVG",
        (".svg", ".svgz"),
        ("image/svg+xml",),
        rb"(?i:(\xef\xbb\xbf)?\s*<(svg|(\?xml|!--|!DOCTYPE svg).*<svg)\b)",
    ),
    ImageFormat("Photoshop", (".psd", ".psb"), ("image/vnd.adobe.photoshop",), rb"8BPS"),
    ImageFormat("GIMP", (".xcf",), ("image/x-xcf",), rb"gimp xcf "),
    ImageFormat("PostScript", (".eps",), ("application/postscript",), rb"%!PS|\xc5\xd0\xd3\xc6"),
    ImageFormat("icon", (".ico", ".cur"), ("image/x-icon", "image/vnd.microsoft.icon"), rb"\0\0[\x01\x02]\0[^\0]\0"),
    ImageFormat("icon of macOS", (".icns",), ("image/icns",), rb"icns"),
    ImageFormat(
        "portable any map",
        (".pbm", ".pgm", ".ppm", ".pnm", ".pam", ".pfm"),
        ("image/x-portable-anymap",),
        rb"P[1-7Ff]\s",
    ),
    ImageFormat("OpenEXR", (".exr",), ("image/x-exr",), rb"\x76\x2f\x31\x01"),
    ImageFormat("Radiance HDR", (".hdr", ".rgbe"), ("image/vnd.radiance",), rb"#\?(RADIANCE|RGBE)"),
    ImageFormat("DDS", (".dds",), ("image/vnd-ms.dds",), rb"DDS "),
    ImageFormat("KTX", (".ktx", ".ktx2"), ("image/ktx",), rb"\xabKTX "),
    ImageFormat("Targa", (".tga",), ("image/x-tga",)),
    ImageFormat("PCX", (".pcx", ".dcx"), ("image/x-pcx",), rb"\x0a[\0-\x05]\x01[\x01\x02\x04\x08]|\xb1\x68\xde\x3a"),
    ImageFormat("QOI", (".qoi",), ("image/qoi",), rb"qoif"),
    ImageFormat("FLIF", (".flif",), ("image/flif",), rb"FLIF"),
    ImageFormat("BPG", (".bpg",), ("image/bpg",), rb"BPG\xfb"),
    ImageFormat("MNG or JNG", (".mng", ".jng"), ("video/x-mng",), rb"[\x8a\x8b][MJ]NG\r\n\x1a\n"),
    ImageFormat("Windows metafile", (".wmf", ".emf"), ("image/wmf",), rb"\xd7\xcd\xc6\x9a|\x01\0\0\0.{36} EMF"),
    ImageFormat("DICOM", (".dcm", ".dicom"), ("application/dicom",), rb".{128}DICM"),
    ImageFormat("FITS", (".fits", ".fts"), ("image/fits",), rb"SIMPLE  ="),
    ImageFormat("DjVu", (".djvu", ".djv"), ("image/vnd.djvu",), rb"AT&TFORM"),
    ImageFormat("X bitmap", (".xbm", ".xpm"), ("image/x-xbitmap",), rb"/\* XPM \*/|#define \w+_width"),
    ImageFormat("Sun raster", (".ras",), ("image/x-sun-raster",), rb"\x59\xa6\x6a\x95"),
    ImageFormat("SGI image", (".sgi", ".rgb", ".bw"), ("image/sgi",), rb"\x01\xda[\0\x01][\x01\x02]"),
    ImageFormat("PICT", (".pict", ".pct"), ("image/x-pict",)),
    ImageFormat("PDF", (".pdf",), ("application/pdf",), rb"%PDF-", is_picture=False),
    ImageFormat(
        "film",
        (".mp4", ".m4v", ".mov", ".3gp", ".avi", ".mkv", ".webm"),
        ("video/mp4",),
        rb"....ftyp|\x1aE\xdf\xa3|RIFF....AVI |....(moov|mdat|wide)",
        is_picture=False,
    ),
)
DECODED: Final = tuple(image_format for image_format in FORMATS if image_format.is_decoded)
IMAGE_SUFFIXES: Final = frozenset(suffix for image_format in DECODED for suffix in image_format.suffixes)
_BY_SUFFIX: Final = {suffix: image_format for image_format in FORMATS for suffix in image_format.suffixes}
_RAW: Final = _BY_SUFFIX[".dng"]

ACCEPT_HEADER: Final = ", ".join(
    [_BY_SUFFIX[suffix].media_types[0] for suffix in (".jpg", ".png", ".webp", ".gif")]
    + ["image/avif;q=0.8", "image/*;q=0.5"]
)
"""For HTTP requests. JPEG before AVIF, where a server has both: it is decoded at a part of its size."""
ACCEPT_ATTRIBUTE: Final = ",".join(["image/*", *(suffix for f in DECODED for suffix in f.suffixes)])
"""For `<input type="file">`. With `image/*` alone, systems that do not know a format would grey it out."""


def has_image_suffix(name: str | os.PathLike[str]) -> bool:
    """Whether a file of that name counts as an image that can be decoded; case is ignored."""
    return PurePath(name).suffix.lower() in IMAGE_SUFFIXES


def has_undecoded_suffix(name: str | os.PathLike[str]) -> bool:
    """Whether a file of that name is a picture of a format that is not decoded, such as a camera raw or an SVG."""
    image_format = format_of_suffix(name)
    return image_format is not None and image_format.is_picture and not image_format.is_decoded


def format_of_suffix(name: str | os.PathLike[str]) -> ImageFormat | None:
    return _BY_SUFFIX.get(PurePath(name).suffix.lower())


def format_of_bytes(head: bytes, name: str | os.PathLike[str] | None = None) -> ImageFormat | None:
    """The format whose signature `head` (SIGNATURE_BYTES suffice) begins with.

    `name`, where there is one, tells a camera raw from the TIFF that it is written as.
    """
    for image_format, pattern in _patterns():
        if pattern.match(head):
            # Most camera raws are TIFFs whose first picture is a thumbnail.
            is_raw = image_format.name == "TIFF" and name is not None and format_of_suffix(name) is _RAW
            return _RAW if is_raw else image_format
    return None


@cache
def _patterns() -> tuple[tuple[ImageFormat, re.Pattern[bytes]], ...]:
    return tuple((f, re.compile(f.signature, re.DOTALL)) for f in FORMATS if f.signature is not None)


def expected_formats() -> str:
    """The decoded formats, for messages."""
    return f"expected {', '.join(image_format.name for image_format in DECODED)}"
