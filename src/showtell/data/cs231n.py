"""`cs231n:DIR`: COCO 2014 as Stanford's course CS231n distributes it, captions and features, without the photos.

    coco2014_captions.h5        {train,val}_captions [n, 17] ids of words, {train,val}_image_idxs [n] rows of features
    coco2014_vocab.json         idx_to_word; <NULL>, <START>, <END>, <UNK> are its special words
    {train,val}2014_vgg16_fc7_pca.h5        features [N, 512]

The features are VGG-16's fc7, reduced to 512 principal components that were not published with them. A rare word is
`<unk>` in these captions, and stays so. `val` is our dev.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from showtell.data.files import resolve_folder
from showtell.data.text_files import read_text
from showtell.errors import BadData, MissingExtra
from showtell.records import FeatureRow, Sample

CAPTIONS, VOCABULARY = "coco2014_captions.h5", "coco2014_vocab.json"
SPLITS = {"train": "train", "val": "dev"}
CONTROL_TOKENS = ("<NULL>", "<START>", "<END>")
UNKNOWN = "<UNK>"


def read_cs231n(location: str, languages: Sequence[str]) -> list[Sample]:
    """Raises BadData for missing or broken files and for parts that do not fit together; MissingExtra without h5py."""
    root = resolve_folder(location)
    if tuple(languages) != ("en",):
        raise BadData(root, f"a wish for captions in {', '.join(languages)}", "en alone, which these captions are in")
    words = _vocabulary(root / VOCABULARY)
    samples: list[Sample] = []
    for source_split, split in SPLITS.items():
        file = root / f"{source_split}2014_vgg16_fc7_pca.h5"
        (features,) = read_arrays(file, "features", dimensions=2, load=False)
        ids, rows = read_arrays(
            root / CAPTIONS, f"{source_split}_captions", f"{source_split}_image_idxs", dimensions=None
        )
        captions = _captions_by_row(root / CAPTIONS, ids, rows, words, count=features[0])
        samples += [
            Sample(f"{source_split}-{row:06d}", FeatureRow(file, row), tuple(texts), split, "en")
            for row, texts in sorted(captions.items())
        ]
    return samples


def read_arrays(path: Path, *names: str, dimensions: int | None, load: bool = True) -> list[Any]:
    """The named arrays of an HDF5 file, or only their shapes. Raises BadData when it has no such arrays."""
    try:
        import h5py
    except ModuleNotFoundError as error:
        raise MissingExtra("h5py", "data") from error
    try:
        with h5py.File(path, "r") as file:
            missing = [name for name in names if not isinstance(file.get(name), h5py.Dataset)]
            if missing:
                raise BadData(
                    path, f"no array {missing[0]!r}, but {', '.join(sorted(file)) or 'none at all'}", missing[0]
                )
            for name in names:
                if dimensions is not None and file[name].ndim != dimensions:
                    raise BadData(path, f"{name} of shape {file[name].shape}", f"{dimensions} dimensions")
            return [file[name][()] if load else file[name].shape for name in names]
    except OSError as error:
        raise BadData(
            path, f"nothing that can be read ({_first_line(error)})", "an HDF5 file; download it again"
        ) from error


def _vocabulary(path: Path) -> list[str]:
    try:
        words = json.loads(read_text(path))["idx_to_word"]
    except (ValueError, KeyError, TypeError) as error:
        raise BadData(path, f"no idx_to_word ({error})", "JSON with the list idx_to_word") from error
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise BadData(path, "an idx_to_word that is no list of words", "the words in the order of their ids")
    if not {*CONTROL_TOKENS, UNKNOWN} <= set(words):
        raise BadData(path, "another idx_to_word", f"a list of words with {', '.join(CONTROL_TOKENS)} and {UNKNOWN}")
    return words


def _captions_by_row(path: Path, ids: Any, rows: Any, words: list[str], count: int) -> dict[int, list[str]]:
    """Captions as text by the row of their image's features."""
    for name, array, dimensions in (("captions", ids, 2), ("image_idxs", rows, 1)):
        if array.ndim != dimensions or array.dtype.kind not in "iu":
            found = f"{name} of shape {array.shape} and type {array.dtype}"
            raise BadData(path, found, f"whole numbers in {dimensions} dimensions")
    if len(ids) != len(rows):
        raise BadData(path, f"{len(ids)} captions of {len(rows)} images", "as many of one as of the other")
    if (word := _first_out_of_range(ids, len(words))) is not None:
        raise BadData(path, f"the word {word}", f"ids from 0 and below {len(words)}, as in {VOCABULARY}")
    if (image := _first_out_of_range(rows, count)) is not None:
        raise BadData(path, f"the image {image}", f"images from 0 and below {count}, the rows of features")
    captions: dict[int, list[str]] = {}
    for caption, row in zip(ids.tolist(), rows.tolist(), strict=True):
        texts = [words[i] for i in caption if words[i] not in CONTROL_TOKENS]
        captions.setdefault(row, []).append(" ".join(word.lower() if word == UNKNOWN else word for word in texts))
    return captions


def _first_out_of_range(numbers: Any, count: int) -> int | None:
    """The first number that is not from 0 to count - 1."""
    wrong = numbers[(numbers < 0) | (numbers >= count)]
    return int(wrong[0]) if len(wrong) else None


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
