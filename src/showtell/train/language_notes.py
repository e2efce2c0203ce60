"""What the start of a training run says about its languages: one line for each thing that a user may not expect."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from showtell.core.tokenizer import AnyTokenizer
from showtell.records import Sample
from showtell.settings import Recipe
from showtell.train.augment import without_mirrored_words
from showtell.train.features import unique_photos
from showtell.train.vocabulary import pretokenize

MAX_SHARE = 0.02
"""Share of captions above which a limit is worth a line. A fiftieth of long captions is usual, and harmless."""
CHECKED_CAPTIONS = 2000
"""Captions per language of which the lengths are looked at."""


def language_notes(
    recipe: Recipe, tokenizer: AnyTokenizer, train: Sequence[Sample], dev: Sequence[Sample]
) -> Iterator[str]:
    """Photos without captions in some of the languages, no mirroring, limits on captions that are characters."""
    languages = recipe.text.languages
    photos = len(unique_photos(train)), len(unique_photos(dev))
    for language in languages:
        captioned = [len(unique_photos([s for s in split if s.language == language])) for split in (train, dev)]
        if tuple(captioned) != photos:
            yield f"{language}: captions of {captioned[0]} photos to train on, of {captioned[1]} to validate on"
    if recipe.train.views > 1 and (unknown := without_mirrored_words(languages)):
        yield f"photos are not mirrored: the registry of languages has no left and right for {', '.join(unknown)}"
    for language in languages:
        captions = [caption for s in train if s.language == language for caption in s.captions]
        captions = captions[:: -(-len(captions) // CHECKED_CAPTIONS)]
        prompt = len(tokenizer.prompt_ids(language))
        encoded = [tokenizer.encode(pretokenize(c, language, tokenizer), language)[prompt:-1] for c in captions]
        yield from _length_notes(language, sorted(map(len, encoded)), recipe)
        size = recipe.decode.no_repeat_ngram_size
        share = sum(_repeats(ids, size) for ids in encoded) / len(encoded)
        if size and share > MAX_SHARE:
            yield (
                f"{language}: {100 * share:.0f} % of the captions repeat {size} tokens in a row, which "
                f"decode.no_repeat_ngram_size={size} prevents; expected a larger one, or 0"
            )


def _length_notes(language: str, lengths: Sequence[int], recipe: Recipe) -> Iterator[str]:
    """`lengths` in ascending order."""
    share = sum(length > recipe.text.max_length for length in lengths) / len(lengths)
    if share > MAX_SHARE:
        enough = lengths[int(0.99 * (len(lengths) - 1))]
        yield (
            f"{language}: {100 * share:.0f} % of the captions are longer than text.max_length, "
            f"{recipe.text.max_length} tokens, and truncated; expected about {enough}, in decode.max_length too"
        )


def _repeats(ids: Sequence[int], size: int) -> bool:
    ngrams = [tuple(ids[i : i + size]) for i in range(len(ids) - size + 1)]
    return len(set(ngrams)) < len(ngrams)
