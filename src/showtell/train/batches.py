"""Which photos and captions meet in a step: a function of seed and epoch alone, so that a run resumes in mid-epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from showtell.core.text import Text
from showtell.records import Sample
from showtell.train.augment import is_mirrored, mirror_words
from showtell.train.vocabulary import prepare

POOL = 16
"""Batches, at most, that are sorted by length together: more wastes less padding, fewer mixes better."""


@dataclass(frozen=True)
class Photo:
    """One training image with the token ids of all its captions, as they are and mirrored."""

    sample: Sample
    tokens: list[list[int]]
    mirrored: list[list[int]]

    @property
    def length(self) -> int:
        """Of all captions together."""
        return sum(len(ids) for ids in self.tokens)


def photos(samples: Sequence[Sample], text: Text, max_words: int) -> list[Photo]:
    """One Photo per image; the captions of its samples in several languages come together."""
    by_name: dict[str, list[Sample]] = {}
    for sample in samples:
        by_name.setdefault(sample.name, []).append(sample)
    return [_photo(group, text, max_words) for group in by_name.values()]


def _photo(group: list[Sample], text: Text, max_words: int) -> Photo:
    pairs = [(caption, sample.language) for sample in group for caption in sample.captions]
    return Photo(
        group[0],
        [text.encode(prepare(caption, language, text), language, max_words) for caption, language in pairs],
        [
            text.encode(prepare(mirror_words(caption, language), language, text), language, max_words)
            for caption, language in pairs
        ],
    )


@dataclass(frozen=True)
class Batch:
    images: np.ndarray
    """`[B]` numbers of photos."""
    views: np.ndarray
    """`[B]`"""
    slots: list[Tensor]
    """`[B, 1, T]` int64 each, padded: start, words, end. Slot n has the n-th shortest caption of every photo, so that
    captions of like length stand together though those of a photo share its memory; one block `[B, N, T]` of them all
    would be two fifths padding on Flickr8k."""
    words: int
    """To be predicted, ends included."""


def batches(photos: Sequence[Photo], text: Text, size: int, views: int, seed: int, epoch: int) -> list[Batch]:
    """All batches of an epoch: every photo once, in a random view, with all its captions, beside photos of like
    length."""
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(photos))
    chosen = random.integers(views, size=len(photos))
    lengths = np.array([photo.length for photo in photos])
    groups = []
    # At least four pools, or a small set would make the same batches in every epoch.
    length = size * max(1, min(POOL, len(photos) // (4 * size)))
    for begin in range(0, len(order), length):
        pool = order[begin : begin + length]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        groups += [pool[i : i + size] for i in range(0, len(pool), size)]
    return [_batch(photos, groups[g], chosen, text, seed) for g in random.permutation(len(groups))]


def _batch(photos: Sequence[Photo], images: np.ndarray, views: np.ndarray, text: Text, seed: int) -> Batch:
    rows = [photos[i].mirrored if is_mirrored(seed, int(i), int(views[i])) else photos[i].tokens for i in images]
    slots = [
        [row[n] if n < len(row) else [] for row in (sorted(row, key=len) for row in rows)]
        for n in range(max(map(len, rows)))
    ]
    words = sum(len(ids) - 1 for row in rows for ids in row)
    return Batch(images, views[images], [_padded(slot, text.pad) for slot in slots], words)


def _padded(captions: list[list[int]], pad: int) -> Tensor:
    tokens = torch.full((len(captions), 1, max(map(len, captions))), pad)
    for b, ids in enumerate(captions):
        tokens[b, 0, : len(ids)] = torch.tensor(ids)
    return tokens
