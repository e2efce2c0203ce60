"""Kernel ridge regression from photos to the TF-IDF vectors of their captions, of reduced rank.

The landmarks are some of the photos (the Nyström approximation: Williams and Seeger 2001), the same for all languages.
With the kernel `F` `[N, M]` of N photos and `K` `[M, M]` of the landmarks, the coefficients `B` `[M, G]` minimise

    |F B - (Y - mean)|^2 + ridge * tr(B' K B)       Y [N, G]: the captions' vectors

and are replaced by those of rank Q whose predictions are closest, `left right` (reduced-rank regression: Izenman
1975), of fewer numbers and hardly worse. All languages share `left`: what a photo shows has no language.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from showtell.core.caption_ngrams import Floats, NgramTable
from showtell.rerank.targets import Captions, build_table, mean_vector, reference_lengths

WIDTH_PHOTOS: Final = 2000
"""The kernel's width is the median squared distance between so many photos and as many others."""
JITTER: Final = 1e-6
"""Added to diagonals, relative to their mean, so that they can be inverted."""


@dataclass(frozen=True)
class FitSettings:
    landmarks: int = 1500
    rank: int = 288
    min_photos: int = 10
    """Photos in whose captions an n-gram must be to count."""
    ridge: float = 0.1


def fit_reranker(
    pooled: NDArray[np.float32],
    captions: Mapping[str, Mapping[int, Captions]],
    unk: int | None,
    settings: FitSettings,
    advance: Callable[[int], None],
) -> dict[str, NDArray[Any]]:
    """The arrays of the file (`core/reranker`), from the pooled features `[N, C]` of N photos and, by language, the
    captions of some of them, by their row. `advance` is told of each language done.

    Raises ValueError for captions with too little in common.
    """
    centre, scale = pooled.mean(0, np.float64), pooled.std(0, dtype=np.float64)
    scale = np.where(scale > 0, scale, 1.0)
    positions = (pooled - centre) / scale
    order = np.random.default_rng(0).permutation(len(positions))
    landmarks, landmark_scale = _to_int8(positions[order[: settings.landmarks]])
    near = landmarks * landmark_scale[:, None]
    width = float(np.median(_distances(positions[order[:WIDTH_PHOTOS]], positions[order[-WIDTH_PHOTOS:]]))) or 1.0
    kernel = np.exp(-_distances(positions, near) / width)
    among = np.exp(-_distances(near, near) / width)
    gram = _with_jitter(kernel.T @ kernel)
    fits = {}
    for language, photos in captions.items():
        fits[language] = _fit_language(kernel[list(photos)], among, list(photos.values()), unk, settings)
        advance(1)
    left, rights = _reduce_rank(gram, [fit.coefficients for fit in fits.values()], settings.rank)
    arrays = {
        "centre": centre.astype(np.float32),
        "scale": scale.astype(np.float32),
        "landmarks": landmarks,
        "landmark_scale": landmark_scale.astype(np.float32),
        "width": np.float32(width),
        "left": left.astype(np.float16),
    }
    for (language, fit), right in zip(fits.items(), rights, strict=True):
        stored, right_scale = _to_int8(right.T)
        rest = {"right": stored, "right_scale": right_scale.astype(np.float32)}
        arrays |= {f"{language}.{name}": array for name, array in {**fit.arrays(), **rest}.items()}
    return {name: np.asarray(array) for name, array in arrays.items()}


@dataclass(frozen=True)
class _Fit:
    """Of one language."""

    table: NgramTable
    mean: Floats
    """`[G]`"""
    coefficients: Floats
    """`[M, G]`"""
    lengths: Floats

    def arrays(self) -> dict[str, Any]:
        return {
            "keys": self.table.keys,
            "idf": self.table.idf.astype(np.float32),
            "unseen_idf": np.float32(self.table.unseen_idf),
            "mean": self.mean.astype(np.float32),
            "lengths": self.lengths.astype(np.float32),
        }


def _fit_language(
    kernel: Floats, among: Floats, photos: Sequence[Captions], unk: int | None, settings: FitSettings
) -> _Fit:
    """`kernel` `[N, M]` of the photos, `among` `[M, M]` of the landmarks."""
    table = build_table(photos, settings.min_photos, unk)
    # F' (Y - mean) photo by photo: Y is sparse, and as a matrix would have a billion entries.
    mean, products = np.zeros(len(table.keys)), np.zeros((len(table.keys), kernel.shape[1]))
    for row, captions in zip(kernel, photos, strict=True):
        vector = mean_vector(table, captions)
        there = np.flatnonzero(vector)
        mean += vector
        products[there] += vector[there, None] * row
    mean /= len(photos)
    products -= mean[:, None] * kernel.sum(0)
    system = _with_jitter(kernel.T @ kernel) + settings.ridge * _with_jitter(among)
    return _Fit(table, mean, np.linalg.solve(system, products.T), reference_lengths(photos))


def _reduce_rank(gram: Floats, coefficients: Sequence[Floats], rank: int) -> tuple[Floats, list[Floats]]:
    """`left` `[M, Q]` and for each language `right` `[Q, G]`, for which `F left right` is closest to `F coefficients`
    for all languages together, where `F' F` is `gram`. Columns of `left` have their largest value at 1."""
    factor = np.linalg.cholesky(gram)  # |F B| = |factor' B|
    predicted = [factor.T @ each for each in coefficients]
    _, directions = np.linalg.eigh(sum(each @ each.T for each in predicted))
    directions = directions[:, -rank:]
    left = np.linalg.solve(factor.T, directions)
    size = np.abs(left).max(0)
    return left / size, [size[:, None] * (directions.T @ each) for each in predicted]


def _with_jitter(matrix: Floats) -> Floats:
    jittered: Floats = matrix + JITTER * np.trace(matrix) / len(matrix) * np.eye(len(matrix))
    return jittered


def _distances(one: Floats, other: Floats) -> Floats:
    """Squared distances, `[N, C]` and `[M, C]` -> `[N, M]`."""
    squares: Floats = (one**2).sum(1)[:, None] + (other**2).sum(1) - 2 * one @ other.T
    return np.maximum(squares, 0)


def _to_int8(rows: Floats) -> tuple[NDArray[np.int8], Floats]:
    """Each row in units of a 127th of its largest value."""
    scale = np.abs(rows).max(1) / 127
    scale[scale == 0] = 1.0
    return np.round(rows / scale[:, None]).astype(np.int8), scale
