"""Reranking: of the hypotheses of a beam, the one whose CIDEr is expected to be highest.

A decoder's most probable sentence is often a safe one. What decides is the mean CIDEr against what people write about
such a photo, as in minimum Bayes risk decoding (Kumar and Byrne 2004); Devlin et al. 2015 ("Exploring Nearest Neighbor
Approaches for Image Captioning") choose so among the captions of similar training photos. Here, people's captions are
predicted: CIDEr is linear in the references' TF-IDF vectors (`caption_ngrams`), so that the mean of those vectors,
predicted from the photo, is enough to compute the expected CIDEr of any sentence. `rerank/fit` fits the prediction, a
kernel ridge regression from the encoder's mean region, independent of the decoder and its mistakes:

    k_m   = exp(-|x - x_m|^2 / h)                   x: pooled features of the photo, x_m: of a landmark photo
    y_g   = mean_g + sum_q (sum_m k_m left_mq) right_qg                    weight of the n-gram g in the captions
    CIDEr = 10 / 4 * sum_g c_g y_g * p(length)                c: the sentence's vector, p: CIDEr-D's length penalty

Rejected: captions of training photos themselves, as Devlin et al. have them, for a model would carry its data along;
and consensus among the hypotheses alone, which gained nothing on Flickr8k.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from showtell.core.caption_ngrams import MAX_N, Floats, NgramTable
from showtell.core.search import Hypothesis
from showtell.errors import BadBundle

SIGMA: Final = 6.0
"""Standard deviation of CIDEr-D's length penalty, in tokens."""
SHARED: Final = ("centre", "scale", "landmarks", "landmark_scale", "width", "left")
PER_LANGUAGE: Final = ("keys", "idf", "unseen_idf", "mean", "right", "right_scale", "lengths")

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class LanguageModel:
    """What is particular to one language; `G` n-grams, rank `Q`."""

    table: NgramTable
    mean: Floats
    """`[G]`: the mean of all photos."""
    right: NDArray[np.int8]
    """`[G, Q]`, in units of `right_scale`."""
    right_scale: Floats
    """`[G]`"""
    lengths: Floats
    """`[L]`: the share of references with 0, 1, ... tokens."""

    def expected_cider(self, seen: NDArray[np.float32], tokens: NDArray[np.int64]) -> float:
        """Of a sentence about a photo in which `[Q]` was seen."""
        columns, weights = self.table.vector(tokens)
        predicted = self.mean[columns] + self.right_scale[columns] * (self.right[columns] @ seen)
        return float(10 / MAX_N * (weights @ predicted) * length_penalty(len(tokens), self.lengths))


def length_penalty(length: int, lengths: Floats) -> float:
    """CIDEr-D's Gaussian of the difference in length, mean over the references' `lengths`."""
    return float(lengths @ np.exp(-((length - np.arange(len(lengths))) ** 2) / (2 * SIGMA**2)))


@dataclass(frozen=True)
class Reranker:
    centre: Floats
    """`[C]`, as the next."""
    scale: Floats
    landmarks: NDArray[np.float32]
    """`[M, C]`: pooled features of photos, less the centre and divided by the scale."""
    width: float
    """h of the kernel."""
    left: NDArray[np.float32]
    """`[M, Q]`"""
    languages: Mapping[str, LanguageModel]

    @cached_property
    def _squares(self) -> NDArray[np.float32]:
        squares: NDArray[np.float32] = (self.landmarks**2).sum(1)
        return squares

    def see(self, pooled: NDArray[np.float32]) -> NDArray[np.float32]:
        """The pooled features of one photo, `[C]` -> what is in it, `[Q]`. One photo at a time: a product of matrices
        is rounded in another way for another number of rows, and no caption depends on its batch. `einsum`, for `@`
        would use all cores, whatever the number of threads is meant to be."""
        position = ((pooled - self.centre) / self.scale).astype(np.float32)
        products = np.einsum("mc,c->m", self.landmarks, position)
        distances = self._squares + (position**2).sum() - 2 * products
        kernel = np.exp(-np.maximum(distances, 0) / np.float32(self.width))
        seen: NDArray[np.float32] = np.einsum("m,mq->q", kernel, self.left)
        return seen

    def rank(
        self,
        language: str,
        pooled: NDArray[np.float32],
        images: Sequence[Sequence[Hypothesis]],
        weight: float,
        length_penalty: float,
    ) -> list[list[Hypothesis]]:
        """The hypotheses of each of the B images with their expected CIDEr; best first where there is a `weight`.

        `pooled` `[B, C]`. They rank by `sum of log-probabilities / length ** length_penalty + weight * expected CIDEr`.
        """
        ranked = []
        for features, hypotheses in zip(pooled, images, strict=True):
            model, seen = self.languages[language], self.see(features)
            expected = [model.expected_cider(seen, hypothesis.tokens) for hypothesis in hypotheses]
            totals = [
                h.log_prob / len(h.log_probs) ** length_penalty + weight * e
                for h, e in zip(hypotheses, expected, strict=True)
            ]
            # Stable, and the search's own order where there is no weight: its sums were rounded in another way.
            order = np.argsort(np.negative(totals), kind="stable") if weight else range(len(hypotheses))
            ranked.append([replace(hypotheses[k], expected_cider=float(expected[k])) for k in order])
        return ranked


def load_reranker(path: Path, channels: int | None) -> Reranker:
    """`channels`: of the encoder's pooled features. Raises BadBundle for a file that is no reranker, or that of another
    encoder. Its hash is the bundle's business."""
    try:
        with zipfile.ZipFile(path) as archive:
            reranker = from_arrays({e.filename.removesuffix(".npy"): _array(archive, e) for e in archive.infolist()})
    # zipfile and numpy raise all of these for files that are none.
    except (OSError, ValueError, LookupError, TypeError, RuntimeError, ArithmeticError, zipfile.BadZipFile) as error:
        raise BadBundle(f"{path}: no reranker ({error}); run `showtell fit-reranker` again") from error
    if channels != len(reranker.centre):
        raise BadBundle(
            f"{path}: reads {len(reranker.centre)} channels, the encoder has {channels}; run `showtell fit-reranker` "
            "again"
        )
    return reranker


def _array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> NDArray[Any]:
    """A member of an .npz. Raises ValueError for one that is compressed or says that it is larger than it is: a small
    file could fill the memory."""
    if entry.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{entry.filename} is compressed")
    with archive.open(entry) as file:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"{entry.filename} has another format")
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        if dtype.kind not in "iuf" or math.prod(shape) * dtype.itemsize != entry.file_size - file.tell():
            raise ValueError(f"{entry.filename} is not what its header says")
        file.seek(0)
        return np.lib.format.read_array(file, allow_pickle=False)


def from_arrays(arrays: Arrays) -> Reranker:
    """From the arrays of the file. Raises ValueError or KeyError where they are not what `rerank/fit` makes."""
    centre, scale, landmarks, landmark_scale, width, left = (arrays[name] for name in SHARED)
    if landmarks.shape != (*landmark_scale.shape, *centre.shape):
        raise ValueError(f"found landmarks {list(landmarks.shape)} that do not fit their scale")
    languages = {name.rpartition(".")[0] for name in arrays} - {""}
    reranker = Reranker(
        centre.astype(np.float64),
        scale.astype(np.float64),
        landmarks.astype(np.float32) * landmark_scale.astype(np.float32)[:, None],
        float(width),
        left.astype(np.float32),
        {language: _language_model(arrays, language) for language in languages},
    )
    _check(reranker)
    return reranker


def _language_model(arrays: Arrays, language: str) -> LanguageModel:
    keys, idf, unseen_idf, mean, right, right_scale, lengths = (arrays[f"{language}.{name}"] for name in PER_LANGUAGE)
    if keys.dtype != np.uint64 or right.dtype != np.int8 or not len(keys) or np.any(keys[1:] <= keys[:-1]):
        raise ValueError(f"{language}: n-grams out of order")
    table = NgramTable(keys, idf.astype(np.float64), float(unseen_idf))
    rest = right, right_scale.astype(np.float64), lengths.astype(np.float64)
    return LanguageModel(table, mean.astype(np.float64), *rest)


def _check(reranker: Reranker) -> None:
    landmarks, channels = reranker.landmarks.shape
    shapes: list[tuple[NDArray[Any], tuple[int, ...]]] = [
        (reranker.centre, (channels,)),
        (reranker.scale, (channels,)),
        (reranker.landmarks, (landmarks, channels)),
        (reranker.left, (landmarks, *reranker.left.shape[1:])),
    ]
    for model in reranker.languages.values():
        count = len(model.right)
        shapes += [(array, (count,)) for array in (model.table.keys, model.table.idf, model.mean, model.right_scale)]
        shapes += [(model.right, (count, *reranker.left.shape[1:])), (model.lengths, (model.lengths.size,))]
    for array, shape in shapes:
        if array.shape != shape or not np.isfinite(array).all():
            raise ValueError(f"found an array {list(array.shape)} that does not fit the others, or no numbers in it")
    idfs = [model.table.unseen_idf for model in reranker.languages.values()]
    if not (0 < reranker.width < np.inf and (reranker.scale > 0).all() and np.isfinite(idfs).all()):
        raise ValueError("found a scale that is not positive, or no number")
