"""Batches of an epoch, a function of seed and epoch alone, so that a run resumes in mid-epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from showtell.core.tokenizer import AnyTokenizer
from showtell.records import Sample
from showtell.train.augment import is_mirrored, mirror_words, without_mirrored_words
from showtell.train.vocabulary import pretokenize

PAD = -1
"""Fills a batch's captions. Rejected: the tokenizer's padding token. GPT-2 has none, and where another stands in for
it, as the end does there, that token would never be learned."""
BUCKET = 16
"""Batches, at most, that are sorted by length together: more of them waste less padding, fewer shuffle better."""


@dataclass(frozen=True)
class Photo:
    """One training image with the token ids of all its captions, for the photo and for its mirror image."""

    sample: Sample
    tokens: list[list[int]]
    mirrored: list[list[int]]
    languages: list[str]
    """Of each caption."""

    @property
    def length(self) -> int:
        """Tokens of all captions."""
        return sum(len(ids) for ids in self.tokens)


def group_photos(samples: Sequence[Sample], tokenizer: AnyTokenizer, max_length: int) -> list[Photo]:
    """One Photo per image, with its captions in all languages."""
    by_name: dict[str, list[Sample]] = {}
    for sample in samples:
        by_name.setdefault(sample.name, []).append(sample)
    return [_photo(group, tokenizer, max_length) for group in by_name.values()]


def _photo(group: list[Sample], tokenizer: AnyTokenizer, max_length: int) -> Photo:
    pairs = [(caption, sample.language) for sample in group for caption in sample.captions]
    return Photo(
        group[0],
        [
            tokenizer.encode(pretokenize(caption, language, tokenizer), language, max_length)
            for caption, language in pairs
        ],
        [
            tokenizer.encode(pretokenize(mirror_words(caption, language), language, tokenizer), language, max_length)
            for caption, language in pairs
        ],
        [language for _, language in pairs],
    )


def prompt_length(tokenizer: AnyTokenizer) -> int:
    """P: how many tokens of every encoded caption are given, and not learned: our start token of the language, or an
    imported model's start tokens and default prompt, which are the same in all languages."""
    return len(tokenizer.prompt_ids(tokenizer.languages[0]))


@dataclass(frozen=True)
class Batch:
    images: np.ndarray
    """`[B]` indices of photos; empty for a batch of sentences without photos."""
    views: np.ndarray
    """`[B]`"""
    slots: list[Tensor]
    """`[B, 1, T]` int64 each, padded with `PAD`: prompt, tokens, end. Slot n has the n-th shortest caption of every
    photo, so that captions of similar length are computed together while those of a photo share its memory. Rejected:
    one block `[B, N, T]`, two fifths of which would be padding on Flickr8k."""
    tokens: int
    """To be predicted: after the prompt, ends included."""
    nouns: Tensor | None = None
    """`[B, n]`, of a batch of sentences: the made-up probabilities of the encoder's tags."""


def draw_captions(languages: Sequence[str], count: int, rng: np.random.Generator) -> list[int]:
    """The indices of `count` captions in each language, or of all where there are fewer; `languages`: of each one."""
    drawn: list[int] = []
    for language in dict.fromkeys(languages):
        own = [n for n, of in enumerate(languages) if of == language]
        drawn += sorted(rng.permutation(own)[:count].tolist())
    return drawn


def _with_drawn_captions(photo: Photo, count: int, rng: np.random.Generator) -> Photo:
    drawn = draw_captions(photo.languages, count, rng)
    tokens, mirrored = ([ids[n] for n in drawn] for ids in (photo.tokens, photo.mirrored))
    return replace(photo, tokens=tokens, mirrored=mirrored, languages=[photo.languages[n] for n in drawn])


def batches(
    photos: Sequence[Photo],
    tokenizer: AnyTokenizer,
    batch_size: int,
    views: int,
    seed: int,
    epoch: int,
    captions_per_language: int | None = None,
) -> list[Batch]:
    """All batches of an epoch: every photo once, in a random view, with all its captions, or with some in each
    language, batched by length."""
    if captions_per_language is not None:
        drawing = np.random.default_rng([seed, epoch, 2])  # so that order and views are those without
        photos = [_with_drawn_captions(photo, captions_per_language, drawing) for photo in photos]
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(photos))
    view = rng.integers(views, size=len(photos))
    lengths = np.array([photo.length for photo in photos])
    groups = []
    # At least four buckets, or a small set would have the same batches in every epoch.
    bucket_size = batch_size * max(1, min(BUCKET, len(photos) // (4 * batch_size)))
    for begin in range(0, len(order), bucket_size):
        bucket = order[begin : begin + bucket_size]
        bucket = bucket[np.argsort(lengths[bucket], kind="stable")]
        groups += [bucket[i : i + batch_size] for i in range(0, len(bucket), batch_size)]
    mirror = not without_mirrored_words(tokenizer.languages)
    prompt = prompt_length(tokenizer)
    return [_batch(photos, groups[g], view, prompt, seed, mirror) for g in rng.permutation(len(groups))]


def _batch(
    photos: Sequence[Photo], images: np.ndarray, views: np.ndarray, prompt: int, seed: int, mirror: bool
) -> Batch:
    rows = [
        photos[i].mirrored if mirror and is_mirrored(seed, int(i), int(views[i])) else photos[i].tokens for i in images
    ]
    tokens = sum(len(ids) - prompt for row in rows for ids in row)
    return Batch(images, views[images], pad_slots(rows), tokens)


def part_of(batch: Batch, prompt: int, rank: int, count: int) -> Batch:
    """The images of a batch that process `rank` of `count` computes, with all their captions. Where there are fewer
    images than processes it is one that another process has, with no token that counts: all processes of a step have
    to compute something. `prompt`: see `prompt_length`."""
    if count == 1:
        return batch
    own = list(range(rank, len(batch.slots[0]), count))
    rows = own or [0]
    lengths = [(slot[rows] != PAD).sum(-1) for slot in batch.slots]
    slots = [slot[rows, :, : int(of.max())] for slot, of in zip(batch.slots, lengths, strict=True) if of.any()]
    tokens = sum(int((of - prompt).clamp(min=0).sum()) for of in lengths) if own else 0
    images, views = (batch.images[rows], batch.views[rows]) if len(batch.images) else (batch.images, batch.views)
    return Batch(images, views, slots, tokens, None if batch.nouns is None else batch.nouns[rows])


def pad_slots(rows: Sequence[list[list[int]]]) -> list[Tensor]:
    """The slots of a `Batch`, from the token ids of each image's captions."""
    by_length = [sorted(row, key=len) for row in rows]
    return [_padded([row[n] if n < len(row) else [] for row in by_length]) for n in range(max(map(len, by_length)))]


def _padded(captions: list[list[int]]) -> Tensor:
    tokens = torch.full((len(captions), 1, max(map(len, captions))), PAD)
    for b, ids in enumerate(captions):
        tokens[b, 0, : len(ids)] = torch.tensor(ids)
    return tokens
