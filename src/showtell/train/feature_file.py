"""Feature files: features computed once, with a description of their encoder, to train from many times.

A file of `showtell data features` describes its encoder, and a recipe with another encoder is refused. Ready-made HDF5
files describe none; see `showtell.data.cs231n`.
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
from showtell.nets.backbone import published_weights, resolve
from showtell.nets.encoder import Encoder
from showtell.progress import ProgressReporter
from showtell.records import FeatureRow, Sample
from showtell.settings import PRECOMPUTED, EncoderSettings
from showtell.train.features import BATCH, Features, describe_companion, extract_features, fingerprint, unique_photos
from showtell.train.fit_pca import fit_pca
from showtell.train.large_tensor import map_large, write_large


def describe(encoder: Encoder, settings: EncoderSettings) -> dict[str, Any]:
    """Everything that features depend on, for the header of a file; no paths, which are meaningless elsewhere."""
    resolved = resolve(settings)
    # Left out where they are the defaults: files from before these settings remain valid.
    later = {"companion"} if resolved.prefix_regions else {"companion", "prefix_regions"}
    companion = encoder.companion
    return {
        **resolved.model_dump(mode="json", exclude={"weights", "channels", "pixels", *later}),
        **({} if companion is None else {"companion": describe_companion(companion, resolved.companion)}),
        "pixels": resolved.pixels.model_dump(mode="json", exclude_none=True),
        "weights": None if settings.weights is None or not settings.pretrained else sha256(settings.weights),
        "timm's weights": published_weights(settings),
        "random weights": None if settings.pretrained else fingerprint(encoder.frozen),
    }


def make_features(
    path: Path, spec: str, settings: EncoderSettings, samples: Sequence[Sample], reporter: ProgressReporter
) -> tuple[int, ...]:
    """Compute the features of all samples' photos, or take them from the cache, and write them. Returns their shape
    `[N, S, C]`.

    Raises BadConfig for a PCA without a training split to fit it on, and for a file that cannot be written; and what
    its parts raise.
    """
    if are_precomputed(samples):
        raise BadConfig("the data have precomputed features; expected photos")
    if path.is_dir() or not path.parent.is_dir():
        raise BadConfig(f"{path}: no file can be made there; expected the name of a file in a folder that exists")
    settings = resolve(settings)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)  # with pretrained=false the weights are those of a run with seed 0
    encoder = Encoder(settings).to(device)
    photos = unique_photos(samples)
    with reporter.stage("features", len(photos)) as advance:
        features = extract_features(encoder, settings, photos, views=1, seed=0, advance=advance, say=reporter.say)
    if encoder.pca is not None:
        rows = np.array([n for n, photo in enumerate(photos) if photo.split == "train"], np.int64)
        fit_pca(encoder, Features(features.views, rows=rows))
    write_features(path, spec, encoder, settings, samples, features)
    return len(photos), encoder.num_regions, encoder.channels


def write_features(
    path: Path, spec: str, encoder: Encoder, settings: EncoderSettings, samples: Sequence[Sample], features: Features
) -> None:
    """`features` has the photos in the order in which `samples` first name them."""
    row_of = {photo.name: row for row, photo in enumerate(unique_photos(samples))}
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
    shape = (len(row_of), encoder.num_regions, encoder.channels)
    notes = {"format": FORMAT, "data": _without_folders(spec), "encoder": json.dumps(describe(encoder, settings))}
    with replacing(path) as temporary:
        write_large(temporary, shape, _decoder_inputs(encoder, features), others, notes)


def _decoder_inputs(encoder: Encoder, features: Features) -> Iterator[NDArray[np.float16]]:
    """The decoder's input, `[B, S, C]` at a time."""
    device = next(encoder.parameters()).device
    encoder.eval()
    for begin in range(0, len(features), BATCH):
        images = np.arange(begin, min(begin + BATCH, len(features)))
        with torch.inference_mode():
            yield encoder.forward_trainable(features.batch(images).to(device)).half().cpu().numpy()


def _without_folders(spec: str) -> str:
    """A data spec with the names of files and folders, without their parents on this machine."""
    kind, colon, where = spec.partition(":")
    return kind + colon + ",".join(PurePath(part).name for part in where.split(","))


def are_precomputed(samples: Sequence[Sample]) -> bool:
    """Whether these samples have features instead of photos."""
    return any(isinstance(sample.image, FeatureRow) for sample in samples)


def precomputed_width(samples: Sequence[Sample]) -> int | None:
    """The width of features without a description of their encoder; None for photos, and for files that have one."""
    first = samples[0].image if samples else None
    if not isinstance(first, FeatureRow) or first.file.suffix != ".h5":
        return None
    (shape,) = read_arrays(first.file, "features", dimensions=2, load=False)
    return int(shape[1])


def load_features(encoder: Encoder, settings: EncoderSettings, samples: Sequence[Sample]) -> Features:
    """The features of one split's samples; sets up the encoder to pass them through.

    Raises BadData when another encoder made them, and when their width is not the encoder's.
    """
    rows = [sample.image for sample in samples if isinstance(sample.image, FeatureRow)]
    files = {row.file for row in rows}
    if len(rows) != len(samples) or len(files) != 1:
        raise BadData(settings.name, f"{len(files)} files of features and photos besides", "one file for a split")
    (path,) = files
    stored = _from_hdf5(path) if settings.name == PRECOMPUTED else _from_safetensors(path, encoder, settings)
    if stored.shape[2] != encoder.channels:
        expected = f"{encoder.channels}, as the encoder and the other split have"
        raise BadData(path, f"features of width {stored.shape[2]}", expected)
    numbers = np.array([row.row for row in rows])
    if len(numbers) and numbers.max() >= len(stored):
        raise BadData(path, f"{len(stored)} rows of features", f"one for each photo, {numbers.max() + 1} at least")
    encoder.has_precomputed_features = True
    return Features([stored], None, numbers)


def _from_hdf5(path: Path) -> NDArray[np.float16]:
    (stored,) = read_arrays(path, "features", dimensions=2)
    if stored.dtype.kind not in "fiu":
        raise BadData(path, f"features of type {stored.dtype}", "numbers")
    half: NDArray[np.float16] = stored.astype(np.float16)
    return half[:, None]


def _from_safetensors(path: Path, encoder: Encoder, settings: EncoderSettings) -> NDArray[np.float16]:
    try:
        with safe_open(str(path), "numpy") as file:
            made_by = json.loads(file.metadata()["encoder"])
            _check_encoder(path, made_by, describe(encoder, settings))
            if encoder.pca is not None:
                encoder.pca.fill(file.get_tensor("pca.mean"), file.get_tensor("pca.components"))
        return map_large(path)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise BadData(path, f"nothing that can be read ({error})", EXPECTED) from error


def _check_encoder(path: Path, stored: dict[str, Any], expected: dict[str, Any]) -> None:
    for key, value in expected.items():
        if stored.get(key) != value:
            hint = (
                f"{key} {value!r}, as model.encoder of the recipe has it; use the file's, or compute the features again"
            )
            raise BadData(path, f"features of another encoder ({key} {stored.get(key)!r})", hint)
