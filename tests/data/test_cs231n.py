"""The files of CS231n, a few images large."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from showtell.data.cs231n import read_cs231n
from showtell.data.spec import read_samples
from showtell.errors import BadData
from showtell.records import FeatureRow

WORDS = ["<NULL>", "<START>", "<END>", "<UNK>", "a", "dog", "runs", "cat"]
CAPTIONS = {
    "train": ([[1, 4, 5, 6, 2, 0], [1, 4, 3, 6, 2, 0], [1, 4, 7, 2, 0, 0]], [0, 2, 0]),
    "val": ([[1, 4, 7, 6, 2, 0]], [1]),
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    with h5py.File(tmp_path / "coco2014_captions.h5", "w") as file:
        for split, (ids, rows) in CAPTIONS.items():
            file[f"{split}_captions"] = np.array(ids, np.int32)
            file[f"{split}_image_idxs"] = np.array(rows, np.int32)
    for split, count in (("train", 3), ("val", 2)):
        with h5py.File(tmp_path / f"{split}2014_vgg16_fc7_pca.h5", "w") as file:
            file["features"] = np.random.default_rng(0).normal(size=(count, 6)).astype(np.float32)
    vocabulary = {"idx_to_word": WORDS, "word_to_idx": {word: i for i, word in enumerate(WORDS)}}
    (tmp_path / "coco2014_vocab.json").write_text(json.dumps(vocabulary))
    return tmp_path


def test_captions_and_rows(root: Path) -> None:
    samples = read_samples(f"cs231n:{root}")
    train, val = root / "train2014_vgg16_fc7_pca.h5", root / "val2014_vgg16_fc7_pca.h5"
    assert [(s.name, s.split, s.captions, s.image) for s in samples] == [
        ("train-000000", "train", ("a dog runs", "a cat"), FeatureRow(train, 0)),
        ("train-000002", "train", ("a <unk> runs",), FeatureRow(train, 2)),
        ("val-000001", "dev", ("a cat runs",), FeatureRow(val, 1)),
    ]


def replace(root: Path, file: str, name: str, values: object) -> None:
    with h5py.File(root / file, "a") as opened:
        del opened[name]
        opened[name] = np.array(values)


DAMAGES = {
    "cut off": (
        lambda root: (root / "coco2014_captions.h5").write_bytes((root / "coco2014_captions.h5").read_bytes()[:900]),
        "coco2014_captions.h5: found nothing that can be read",
    ),
    "no features": (
        lambda root: (root / "val2014_vgg16_fc7_pca.h5").unlink(),
        "val2014_vgg16_fc7_pca.h5: found nothing",
    ),
    "another array": (
        lambda root: h5py.File(root / "train2014_vgg16_fc7_pca.h5", "a").move("features", "fc7"),
        "train2014_vgg16_fc7_pca.h5: found no array 'features', but fc7; expected features",
    ),
    "flat features": (
        lambda root: replace(root, "train2014_vgg16_fc7_pca.h5", "features", [1.0, 2.0]),
        r"features of shape \(2,\); expected 2 dimensions",
    ),
    "an image beyond": (
        lambda root: replace(root, "coco2014_captions.h5", "train_image_idxs", [0, 3, 0]),
        "found the image 3; expected images from 0 and below 3, the rows of features",
    ),
    "a word beyond": (
        lambda root: replace(root, "coco2014_captions.h5", "val_captions", [[1, 8, 2]]),
        "found the word 8; expected ids from 0 and below 8, as in coco2014_vocab.json",
    ),
    "an image before the first": (
        lambda root: replace(root, "coco2014_captions.h5", "train_image_idxs", [2, -1, 0]),
        "found the image -1; expected images from 0 and below 3",
    ),
    "captions that are no table": (
        lambda root: replace(root, "coco2014_captions.h5", "val_captions", [1]),
        r"found captions of shape \(1,\) and type int64; expected whole numbers in 2 dimensions",
    ),
    "captions that are no whole numbers": (
        lambda root: replace(root, "coco2014_captions.h5", "val_captions", [[1.0, 4.0]]),
        r"found captions of shape \(1, 2\) and type float64; expected whole numbers",
    ),
    "images that are a table": (
        lambda root: replace(root, "coco2014_captions.h5", "val_image_idxs", [[0, 1]]),
        r"found image_idxs of shape \(1, 2\) and type int64; expected whole numbers in 1 dim",
    ),
    "captions without images": (
        lambda root: replace(root, "coco2014_captions.h5", "val_image_idxs", [0, 1]),
        "found 1 captions of 2 images",
    ),
    "no vocabulary": (
        lambda root: (root / "coco2014_vocab.json").unlink(),
        "coco2014_vocab.json: found nothing to read",
    ),
    "another vocabulary": (
        lambda root: (root / "coco2014_vocab.json").write_text('{"idx_to_word": ["a", "dog"]}'),
        "coco2014_vocab.json: found another idx_to_word",
    ),
    "a vocabulary of numbers": (
        lambda root: (root / "coco2014_vocab.json").write_text('{"idx_to_word": ["<NULL>", 5, ["a"]]}'),
        "coco2014_vocab.json: found an idx_to_word that is no list of words",
    ),
    "no JSON": (
        lambda root: (root / "coco2014_vocab.json").write_text("{"),
        "coco2014_vocab.json: found no idx_to_word",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_named(root: Path, damage: str) -> None:
    harm, message = DAMAGES[damage]
    harm(root)
    with pytest.raises(BadData, match=message) as caught:
        read_cs231n(str(root), ["en"])
    assert "\n" not in str(caught.value)


def test_only_english(root: Path) -> None:
    with pytest.raises(BadData, match="expected en alone"):
        read_cs231n(str(root), ["en", "ar"])
