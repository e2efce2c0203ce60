"""Features in a file: written once with all that made them, trained from as often as wanted.

A file of `showtell data features` names the encoder that made it, and only that one may train from it: the features of
another would be numbers without meaning. Ready-made HDF5 files name none; see `showtell.data.cs231n`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from showtell.data.cs231n import read_arrays
from showtell.data.features import EXPECTED, FORMAT
from showtell.errors import BadConfig, BadData
from showtell.files import replacing, sha256
from showtell.nets.backbone import published_weights, settle
from showtell.nets.encoder import Encoder
from showtell.records import FeatureRow, Sample
from showtell.settings import GIVEN, EncoderSettings
from showtell.train.features import BLOCK, Features, extract, fingerprint, one_each
from showtell.train.large_tensor import map_large, write_large
from showtell.train.principal import fit_principal_components
from showtell.train.progress import Reporter


def describe(encoder: Encoder, settings: EncoderSettings) -> dict[str, Any]:
    """What features depend on, as the header of a file says it; no path, which would mean nothing elsewhere."""
    return {
        **settle(settings).model_dump(mode="json", exclude={"weights", "channels"}),
        "weights": None if settings.weights is None or settings.random else sha256(settings.weights),
        "timm's weights": published_weights(settings),
        "random weights": fingerprint(encoder) if settings.random else None,
    }


def make_features(
    path: Path, spec: str, settings: EncoderSettings, samples: Sequence[Sample], reporter: Reporter
) -> tuple[int, ...]:
    """Compute, or find in the cache, the features of all samples' photos and write them; their shape `[N, S, C]`.

    Raises BadConfig for principal components without a training split to fit them on, and for a file that could not be
    written; and what its parts raise.
    """
    if are_given(samples):
        raise BadConfig("the data have features already; expected photos")
    if path.is_dir() or not path.parent.is_dir():
        raise BadConfig(f"{path}: no file can be made there; expected the name of a file in a folder that exists")
    settings = settle(settings)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)  # random weights, where they are asked for, are those of a run of seed 0
    encoder = Encoder(settings).to(device)
    photos = one_each(samples)
    with reporter.stage("features", len(photos)) as advance:
        features = extract(encoder, settings, photos, views=1, seed=0, advance=advance)
    if encoder.pca is not None:
        rows = np.array([n for n, photo in enumerate(photos) if photo.split == "train"], np.int64)
        fit_principal_components(encoder, Features(features.views, rows=rows))
    write_features(path, spec, encoder, settings, samples, features)
    return len(photos), encoder.grid[0] * encoder.grid[1], encoder.channels


def write_features(
    path: Path, spec: str, encoder: Encoder, settings: EncoderSettings, samples: Sequence[Sample], features: Features
) -> None:
    """`features` has the photos in the order in which `samples` first name them."""
    row_of = {photo.name: row for row, photo in enumerate(one_each(samples))}
    lines = [
        json.dumps(
            {"name": s.name, "row": row_of[s.name], "split": s.split, "language": s.language, "captions": s.captions},
            ensure_ascii=False,
        )
        for s in samples
    ]
    others: dict[str, NDArray[Any]] = {"samples": np.frombuffer("\n".join(lines).encode("utf-8"), np.uint8)}
    if encoder.pca is not None:
        others |= {f"pca.{name}": tensor.cpu().numpy() for name, tensor in encoder.pca.state_dict().items()}
    shape = (len(row_of), encoder.grid[0] * encoder.grid[1], encoder.channels)
    notes = {"format": FORMAT, "data": _without_folders(spec), "encoder": json.dumps(describe(encoder, settings))}
    with replacing(path) as temporary:
        write_large(temporary, shape, _finished(encoder, features), others, notes)


def _finished(encoder: Encoder, features: Features) -> Iterator[NDArray[np.float16]]:
    """What the decoder will see, `[B, S, C]` at a time."""
    device = next(encoder.parameters()).device
    encoder.eval()
    for begin in range(0, len(features), BLOCK):
        images = np.arange(begin, min(begin + BLOCK, len(features)))
        with torch.inference_mode():
            yield encoder.finish(features.batch(images).to(device)).half().cpu().numpy()


def _without_folders(spec: str) -> str:
    """A data spec with the names of files and folders, but not where they are on this machine."""
    kind, colon, where = spec.partition(":")
    return kind + colon + ",".join(PurePath(part).name for part in where.split(","))


def are_given(samples: Sequence[Sample]) -> bool:
    """Whether these samples have features in place of photos."""
    return any(isinstance(sample.image, FeatureRow) for sample in samples)


def without_encoder(samples: Sequence[Sample]) -> int | None:
    """The width of features that no known encoder made; None for photos, and for files that name theirs."""
    first = samples[0].image if samples else None
    if not isinstance(first, FeatureRow) or first.file.suffix != ".h5":
        return None
    (shape,) = read_arrays(first.file, "features", dimensions=2, load=False)
    return int(shape[1])


def given_features(encoder: Encoder, settings: EncoderSettings, samples: Sequence[Sample]) -> Features:
    """The features of one split's samples, whose encoder is set up to take them.

    Raises BadData when another encoder made them, and when their width is not the encoder's.
    """
    rows = [sample.image for sample in samples if isinstance(sample.image, FeatureRow)]
    files = {row.file for row in rows}
    if len(rows) != len(samples) or len(files) != 1:
        raise BadData(settings.name, f"{len(files)} files of features and photos besides", "one file for a split")
    (path,) = files
    stored = _from_hdf5(path) if settings.name == GIVEN else _from_own(path, encoder, settings)
    if stored.shape[2] != encoder.channels:
        expected = f"{encoder.channels}, as the encoder and the other split have"
        raise BadData(path, f"features of width {stored.shape[2]}", expected)
    numbers = np.array([row.row for row in rows])
    if len(numbers) and numbers.max() >= len(stored):
        raise BadData(path, f"{len(stored)} rows of features", f"one for each photo, {numbers.max() + 1} at least")
    encoder.features_are_given = True
    return Features([stored], None, numbers)


def _from_hdf5(path: Path) -> NDArray[np.float16]:
    (stored,) = read_arrays(path, "features", dimensions=2)
    if stored.dtype.kind not in "fiu":
        raise BadData(path, f"features of type {stored.dtype}", "numbers")
    half: NDArray[np.float16] = stored.astype(np.float16)
    return half[:, None]


def _from_own(path: Path, encoder: Encoder, settings: EncoderSettings) -> NDArray[np.float16]:
    try:
        with safe_open(str(path), "numpy") as file:
            made_by = json.loads(file.metadata()["encoder"])
            _compare(path, made_by, describe(encoder, settings))
            if encoder.pca is not None:
                encoder.pca.fill(file.get_tensor("pca.mean"), file.get_tensor("pca.components"))
        return map_large(path)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise BadData(path, f"nothing that can be read ({error})", EXPECTED) from error


def _compare(path: Path, found: dict[str, Any], expected: dict[str, Any]) -> None:
    for key, value in expected.items():
        if found.get(key) != value:
            theirs = f"{key} {found.get(key)!r}"
            hint = f"{key} {value!r}, as model.encoder of the recipe has it; give the file's, or make the features anew"
            raise BadData(path, f"features of another encoder ({theirs})", hint)
