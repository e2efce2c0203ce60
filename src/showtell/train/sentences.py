"""Sentences without photos: a decoder learns to write from them, and words that no caption of the data has.

Their batches come between those of photos, and the regions of an image that is not there are zeros. Rejected: a first
phase of sentences alone. Its last epochs would teach a language in which no image is described, and the first captions
would have to teach that images matter.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from showtell.core.tokenizer import AnyTokenizer
from showtell.data.text_files import collapse_whitespace, decode_text, numbered_lines
from showtell.errors import BadConfig, BadData
from showtell.settings import TextOnlySettings
from showtell.train.batches import Batch, draw_captions, pad_slots, prompt_length
from showtell.train.sentence_tags import imagine, nouns_of, word_forms
from showtell.train.vocabulary import pretokenize

GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class Sentences:
    """Sentences about one image, in any languages."""

    texts: tuple[tuple[str, str], ...]
    """Language and sentence."""


def read_sentences(settings: TextOnlySettings, languages: Sequence[str]) -> list[Sentences]:
    """The sentences of all files; those with the same NAME belong together, whatever their file.

    Raises BadConfig for a language that the recipe does not have, BadData for a file that cannot be read.
    """
    by_name: dict[str, list[tuple[str, str]]] = {}
    for spec in settings.files:
        language, _, name = spec.partition("=")
        if language not in languages:
            raise BadConfig(f"train.text.files: found {spec!r}; expected one of text.languages, {', '.join(languages)}")
        for key, sentence in _lines(Path(name)):
            by_name.setdefault(key, []).append((language, sentence))
    return [Sentences(tuple(texts)) for texts in by_name.values()]


def _lines(path: Path) -> list[tuple[str, str]]:
    """The name that a sentence belongs to and the sentence; without a name, the line is one of its own."""
    try:
        raw = path.read_bytes()
        raw = gzip.decompress(raw) if raw.startswith(GZIP) else raw
    except (OSError, EOFError, zlib.error) as error:
        raise BadData(path, f"no way to read it ({error})", "a text file, or one compressed by gzip") from error
    rows = []
    for number, line in numbered_lines(decode_text(path, raw)):
        name, _, sentence = line.rpartition("\t")
        key = name.split("#")[0] or f"{path}:{number}"
        if text := collapse_whitespace(sentence):
            rows.append((key, text))
    if not rows:
        raise BadData(path, "no sentence", "a sentence per line, or NAME#i<TAB>sentence")
    return rows


@dataclass(frozen=True)
class EncodedSentences:
    """Sentences about one image."""

    tokens: list[list[int]]
    """The ids of every sentence, as those of a caption."""
    languages: list[str]
    """Of each sentence."""
    nouns: NDArray[np.int64]
    """The columns of their nouns that are tags."""


def encode_sentences(
    sentences: Sequence[Sentences], tokenizer: AnyTokenizer, max_length: int, nouns: Sequence[str] = ()
) -> list[EncodedSentences]:
    """`nouns`: those of the encoder's tags."""
    forms = word_forms(nouns)
    return [
        EncodedSentences(
            [
                tokenizer.encode(pretokenize(text, language, tokenizer), language, max_length)
                for language, text in of.texts
            ],
            [language for language, _ in of.texts],
            nouns_of(of.texts, forms),
        )
        for of in sentences
    ]


def batches_of_epoch(settings: TextOnlySettings, photo_batches: int, epoch: int) -> int:
    """The number of batches of sentences in an epoch (from 0) with so many batches of photos."""
    if not settings.files:
        return 0
    return round(settings.ratio * photo_batches * max(0.0, 1 - epoch / settings.epochs))


def with_sentences(
    plan: Sequence[Batch],
    sentences: Sequence[EncodedSentences],
    num_nouns: int,
    tokenizer: AnyTokenizer,
    count: int,
    batch_size: int,
    seed: int,
    epoch: int,
    captions_per_language: int | None = None,
) -> list[Batch]:
    """The batches of photos and `count` (at least 1) of sentences in a random order: a function of seed and epoch.

    An epoch has no sentence twice before it has had all. `num_nouns`: of the encoder's tags. With
    `captions_per_language` there are so many sentences about an image, drawn from its own.
    """
    rng = np.random.default_rng([seed, epoch, 1])
    needed = count * batch_size
    chosen = np.concatenate([rng.permutation(len(sentences)) for _ in range(-(-needed // len(sentences)))])[:needed]
    picked = [sentences[i] for i in chosen]
    if captions_per_language is not None:
        picked = [_drawn(of, captions_per_language, rng) for of in picked]
    # Sorted by length in one piece: the batches are shuffled below, and padding is what costs.
    picked.sort(key=lambda of: sum(map(len, of.tokens)))
    prompt = prompt_length(tokenizer)
    groups = [picked[n : n + batch_size] for n in range(0, needed, batch_size)]
    texts = [_batch(group, prompt, imagine([of.nouns for of in group], num_nouns, rng)) for group in groups]
    both = [*plan, *texts]
    return [both[i] for i in rng.permutation(len(both))]


def _drawn(of: EncodedSentences, count: int, rng: np.random.Generator) -> EncodedSentences:
    drawn = draw_captions(of.languages, count, rng)
    return replace(of, tokens=[of.tokens[n] for n in drawn], languages=[of.languages[n] for n in drawn])


def _batch(group: list[EncodedSentences], prompt: int, nouns: NDArray[np.float32]) -> Batch:
    nothing, rows = np.zeros(0, np.int64), [of.tokens for of in group]
    tokens = sum(len(ids) - prompt for row in rows for ids in row)
    return Batch(nothing, nothing, pad_slots(rows), tokens, torch.from_numpy(nouns))
