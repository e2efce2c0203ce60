"""The data sets that `showtell data get` knows: addresses, sizes, checksums and contents of their files.

Addresses are those of the authors, and only those. Sizes and SHA-256 of COCO's archives are those that TensorFlow
Datasets publishes and checks (tensorflow/datasets, tensorflow_datasets/url_checksums/coco_captions.txt); COCO's server
has no valid certificate for its name, so that they are also what protects against a changed file. None: no trustworthy
source publishes it; what is found at the first download is printed and recorded in the folder. Terms of COCO: its own
page (cocodataset/cocodataset.github.io, dataset/termsofuse.htm). Terms of Flickr30k: its authors', as in the README of
BryanPlummer/flickr30k_entities.

Rejected: copies of Flickr8k and of Flickr30k's photos elsewhere, which their authors do not allow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MEGABYTE: Final = 1_000_000
GIGABYTE: Final = 1_000_000_000


@dataclass(frozen=True)
class Content:
    """A file, or a folder of photos, that an archive holds and a reader needs."""

    path: str
    """Below the folder of the data set, and the end of its path in the archive; with forward slashes."""
    photos: int | None = None
    """How many .jpg are in the folder; None: it is a file."""


@dataclass(frozen=True)
class Archive:
    """A zip file or a tar, compressed or not."""

    name: str
    contents: tuple[Content, ...]
    max_unpacked: int
    """Bytes of `contents` at most, generously: more is an attack, or another file."""
    url: str | None = None
    """None: it is sent only to those who fill in a form, and put into the folder by hand."""
    size: int | None = None
    """Bytes."""
    sha256: str | None = None
    max_size: int = 64 * MEGABYTE
    """Bytes of a download of unknown size."""
    other_name: str | None = None
    """Another name that it may have where it is put by hand."""
    is_optional: bool = False
    """The data set is of use without it."""


@dataclass(frozen=True)
class DataSet:
    title: str
    page: str
    """The address of the authors' page."""
    terms: str
    """Lines to agree to before anything is downloaded."""
    spec: str
    """With `{folder}`, once everything is there."""
    archives: tuple[Archive, ...]
    form: str | None = None
    """The address of the form for the archives that have no URL."""


_COCO: Final = "http://images.cocodataset.org"
_COCO_TERMS: Final = """\
Annotations: belong to the COCO Consortium and are licensed under a Creative Commons Attribution 4.0 License.
Photos: the COCO Consortium does not own the copyright of the images. Use of the images must abide by the Flickr Terms
of Use. The users of the images accept full responsibility for the use of the dataset, including but not limited to the
use of any copies of copyrighted images that they may create from the dataset.
In full: https://cocodataset.org/#termsofuse"""
_FLICKR_TERMS: Final = """\
The dataset includes images obtained from Flickr. Use of the images must abide by the Flickr Terms of Use. The authors
do not own the copyright of the images. They are solely provided for researchers and educators who wish to use the
dataset for non-commercial research and/or educational purposes."""


def _coco(year: str, *archives: Archive) -> DataSet:
    return DataSet(
        f"COCO captions {year}", "https://cocodataset.org/#download", _COCO_TERMS, f"coco:{{folder}},{year}", archives
    )


def _photos(split: str, photos: int, size: int, sha256: str) -> Archive:
    # JPEGs are hardly smaller in the zip than outside of it.
    return Archive(
        f"{split}.zip", (Content(split, photos),), size + size // 10, f"{_COCO}/zips/{split}.zip", size, sha256
    )


def _annotations(year: str, size: int, sha256: str) -> Archive:
    name = f"annotations_trainval{year}.zip"
    captions = tuple(Content(f"annotations/captions_{split}{year}.json") for split in ("train", "val"))
    return Archive(name, captions, 200 * MEGABYTE, f"{_COCO}/annotations/{name}", size, sha256)


CATALOGUE: Final = {
    "coco2014": _coco(
        "2014",
        _annotations("2014", 252_872_794, "031296bbc80c45a1d1f76bf9a90ead27e94e99ec629208449507a4917a3bf009"),
        _photos("val2014", 40_504, 6_645_013_297, "fe9be816052049c34717e077d9e34aa60814a55679f804cd043e3cbee3b9fde0"),
        _photos(
            "train2014", 82_783, 13_510_573_713, "ede4087e640bddba550e090eae701092534b554b42b05ac33f0300b984b31775"
        ),
    ),
    "coco2017": _coco(
        "2017",
        _annotations("2017", 252_907_541, "113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268"),
        _photos("val2017", 5_000, 815_585_330, "4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05"),
        _photos(
            "train2017", 118_287, 19_336_861_798, "69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929"
        ),
    ),
    "flickr8k": DataSet(
        "Flickr8k",
        "http://hockenmaier.cs.illinois.edu/Framing_Image_Description/KCCA.html",
        _FLICKR_TERMS,
        "flickr:{folder}",
        (
            Archive(
                "Flickr8k_text.zip",
                tuple(
                    Content(name)
                    for name in (
                        "Flickr8k.token.txt",
                        *(f"Flickr_8k.{split}Images.txt" for split in ("train", "dev", "test")),
                    )
                ),
                64 * MEGABYTE,
            ),
            Archive("Flickr8k_Dataset.zip", (Content("Flicker8k_Dataset", 8_091),), 2 * GIGABYTE),
        ),
        form="https://forms.illinois.edu/sec/1713398",
    ),
    "flickr30k-captions": DataSet(
        "Flickr30k",
        "https://shannon.cs.illinois.edu/DenotationGraph/",
        _FLICKR_TERMS,
        "flickr:{folder}",
        (
            Archive(
                "flickr30k.tar.gz",
                (Content("results_20130124.token"),),
                64 * MEGABYTE,
                "https://shannon.cs.illinois.edu/DenotationGraph/data/flickr30k.tar.gz",
            ),
            Archive(
                "flickr30k-images.tar.gz",
                (Content("flickr30k-images", 31_783),),
                8 * GIGABYTE,
                other_name="flickr30k-images.tar",
                is_optional=True,
            ),
        ),
        form="https://forms.illinois.edu/sec/229675",
    ),
}
