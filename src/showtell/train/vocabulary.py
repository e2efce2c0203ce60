"""The vocabulary of a training run, and what a caption goes through before it is encoded.

- `words`: all frequent words; a rare one is `<unk>`.
- `letters`: frequent words as spaCy's blank pipeline of the language splits them ("don't" is `do ##n't`, "t-shirt" is
  `t ##- ##shirt`), and every letter; a rare word is spelt (`z ##e ##b ##r ##a`). A published system of this kind has a
  token for the space between spelt words; here `##` says where a word goes on, and there is none.
- `bpe`: byte-pair encoding of characters (Sennrich, Haddow & Birch 2016): letters, and what is often found together.

With the latter two no word over the letters of training is ever `<unk>`. Only `letters` needs spaCy, and only here: a
model that writes them is run with core's packages.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from showtell.core.text import (
    CONTINUES,
    NORMALIZER,
    UNKNOWN,
    WORDS,
    WORDS_AND_PIECES,
    Text,
    special_tokens,
    split_words,
)
from showtell.errors import BadConfig, MissingExtra
from showtell.settings import TextSettings

BPE_SIZE = 8000
"""Entries of a vocabulary of the kind `bpe` when the recipe does not say."""


def build_text(captions: Mapping[str, Iterable[str]], settings: TextSettings) -> Text:
    """The vocabulary of these captions, by language. The same captions make the same vocabulary, in any order.

    Raises BadConfig when `size` has no room for the letters, and MissingExtra when spaCy is needed and absent.
    """
    if settings.kind == "words":
        every = (caption for those in captions.values() for caption in those)
        return Text.build(every, settings.languages, settings.min_frequency, settings.size)
    counts = {language: _count(those) for language, those in captions.items()}
    return (_letters if settings.kind == "letters" else _bpe)(counts, settings)


def prepare(caption: str, language: str, text: Text) -> str:
    """The caption as `text.encode` takes it: as it is, or, for the kind `letters`, split by spaCy.

    A piece that continues a word and is not in the vocabulary is spelt here. A word that begins, the tokenizer spells:
    it can tell the letters of `zebra`, but not of `##zebra`, from the mark. Raises MissingExtra without spaCy.
    """
    if not text.takes_pieces:
        return caption
    prepared: list[str] = []
    for word in split_words(caption):
        first, *others = _split(word, language)
        prepared.append(first)
        for piece in others:
            prepared += [piece] if text.ids([piece]) else [CONTINUES + c for c in piece.removeprefix(CONTINUES)]
    return " ".join(prepared)


def _count(captions: Iterable[str]) -> Counter[str]:
    return Counter(word for caption in captions for word in split_words(caption) if word != UNKNOWN)


def _letters(counts: Mapping[str, Counter[str]], settings: TextSettings) -> Text:
    tokens = _first_tokens(counts, settings.languages, settings.size)
    pieces: Counter[str] = Counter()
    for language, those in counts.items():
        for word, count in those.items():
            for piece in _split(word, language):
                pieces[piece] += count
    for token in tokens:
        del pieces[token]
    frequent = (piece for piece, count in pieces.items() if count >= settings.min_frequency)
    tokens += sorted(frequent, key=lambda piece: (-pieces[piece], piece))
    vocabulary = {token: i for i, token in enumerate(tokens[: settings.size])}
    return _text(vocabulary, [], WORDS_AND_PIECES, settings.languages)


def _bpe(counts: Mapping[str, Counter[str]], settings: TextSettings) -> Text:
    size = BPE_SIZE if settings.size is None else settings.size
    tokens = _first_tokens(counts, settings.languages, size)
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=settings.min_frequency,
        # Letters are given as special tokens, since left to itself the trainer numbers them as a hash table has them,
        # and breaks ties between merges by those numbers; and it would leave out `##z` where no word goes on with it.
        special_tokens=tokens,
        continuing_subword_prefix=CONTINUES,
        show_progress=False,
    )
    learner = Tokenizer(models.BPE(continuing_subword_prefix=CONTINUES))
    learner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    total = sum(counts.values(), Counter[str]())
    learner.train_from_iterator((" ".join([word] * count) for word, count in total.items()), trainer)
    # The learner itself would read <end> in a caption as the end, now that it is one of its special tokens.
    learned = json.loads(learner.to_str())["model"]
    return _text(learned["vocab"], [(a, b) for a, b in learned["merges"]], WORDS, settings.languages)


def _first_tokens(counts: Mapping[str, Counter[str]], languages: Sequence[str], size: int | None) -> list[str]:
    """Special tokens, every letter as it begins a word, and as it continues one. A hyphen or apostrophe only does the
    latter."""
    letters = sorted({letter for those in counts.values() for word in those for letter in word})
    tokens = special_tokens(languages)
    tokens += [letter for letter in letters if letter not in "-'"] + [CONTINUES + letter for letter in letters]
    if size is not None and size <= len(tokens):
        raise BadConfig(
            f"text.size: found {size}, but special tokens and single letters of these captions are {len(tokens)} "
            "already; give a greater one"
        )
    return tokens


def _text(vocabulary: dict[str, int], merges: list[tuple[str, str]], splitter: Any, languages: Sequence[str]) -> Text:
    model = models.BPE(
        vocab=vocabulary,
        merges=merges,
        unk_token=UNKNOWN,
        fuse_unk=True,
        continuing_subword_prefix=CONTINUES,
        ignore_merges=True,  # what is in the vocabulary is taken whole: any word of `letters`, and <unk>
    )
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = NORMALIZER
    tokenizer.pre_tokenizer = splitter
    return Text(tokenizer, languages)


@cache
def _split(word: str, language: str) -> tuple[str, ...]:
    """The tokens that spaCy makes of a word, all but the first marked as going on."""
    if word == UNKNOWN:
        return (word,)
    first, *others = (str(token) for token in _spacy(language)(word))
    return (first, *(CONTINUES + token for token in others))


@cache
def _spacy(language: str) -> Any:
    """spaCy's tokenizer of a language; the blank pipeline has nothing to download."""
    try:
        import spacy
    except ModuleNotFoundError as error:
        raise MissingExtra("spacy", "text") from error
    return spacy.blank(language).tokenizer
