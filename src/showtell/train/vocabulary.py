"""The tokenizer of a training run, and the pre-tokenization of its captions.

- `words`: all frequent words; a rare one is `<unk>`.
- `letters`: frequent words as spaCy's blank pipeline of the language splits them ("don't" is `do ##n't`, "t-shirt" is
  `t ##- ##shirt`), and every letter; a rare word becomes letters (`z ##e ##b ##r ##a`). A published system of this kind
  has a token for the space between such words; here `##` marks continuations, and there is none.
- `bpe`: byte-pair encoding of characters (Sennrich, Haddow & Birch 2016).

With `letters` and `bpe` no word that consists of letters of the training captions is `<unk>`. Only `letters` needs
spaCy, and only here: at inference such a model needs only the packages of core.
"""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import tokenizers
from tokenizers import models, pre_tokenizers, trainers

from showtell.core.text_rules import CONTINUATION, UNK, TextRule, text_rule
from showtell.core.tokenizer import AnyTokenizer, Tokenizer, special_tokens
from showtell.errors import BadConfig, MissingExtra
from showtell.languages import language_info
from showtell.languages.tags import language_subtag
from showtell.settings import Recipe, TextSettings

DEFAULT_BPE_SIZE = 8000
"""Default vocabulary size of the kind `bpe`; twice the number of letters where that is more, as in Chinese."""
SPACY_WITHOUT_PIPELINE = frozenset({"ja", "ko", "th", "vi", "zh"})
"""Languages whose blank pipeline splits texts without spaces, with packages of its own. Here the words are split
already, and spaCy's pipeline for any language does the rest."""


def build_tokenizer(
    captions: Mapping[str, Iterable[str]],
    settings: TextSettings,
    sentences: Iterable[tuple[str, str]] = (),
    sentence_frequency: int | None = None,
) -> Tokenizer:
    """The tokenizer of these captions, by language. The same captions give the same vocabulary, in any order.

    Of the kind `words`, those that captions and `sentences` (language and text) together have at least
    `sentence_frequency` times are in it as well; None: those of captions alone.

    Raises BadConfig when `vocab_size` is too small for the letters, and MissingExtra when spaCy is needed and absent.
    """
    rule = text_rule(settings.languages)
    if settings.kind == "words":
        pairs = ((language, caption) for language, of_language in captions.items() for caption in of_language)
        return Tokenizer.build(
            _with_replaced_letters(pairs),
            settings.languages,
            settings.min_frequency,
            settings.vocab_size,
            _with_replaced_letters(sentences),
            sentence_frequency,
        )
    split = rule.split if settings.kind == "letters" else rule.split_runs
    counts = {
        language: Counter(word for caption in of_language for word in split(caption, language) if word != UNK)
        for language, of_language in captions.items()
    }
    return (_letter_fallback if settings.kind == "letters" else _bpe)(counts, settings, rule)


def _with_replaced_letters(texts: Iterable[tuple[str, str]]) -> Iterable[str]:
    return (language_info(language).replace_letters(text) for language, text in texts)


def network_vocab_size(recipe: Recipe, tokenizer: AnyTokenizer) -> int:
    """V. An imported network may have more tokens than its tokenizer's file, such as a start token that only its
    configuration names; the recipe has their number."""
    if recipe.text.imported is None or recipe.text.vocab_size is None:
        return tokenizer.vocab_size
    return recipe.text.vocab_size


def pretokenize(caption: str, language: str, tokenizer: AnyTokenizer) -> str:
    """The caption as `tokenizer.encode` takes it: unchanged, or, for the kind `letters`, split by spaCy.

    A continuation that is not in the vocabulary is split into letters here. The tokenizer itself does that for the
    beginning of a word only: it could not distinguish the letters of `##zebra` from the mark. Raises MissingExtra
    without spaCy.
    """
    if not tokenizer.needs_pretokenization:
        return caption
    assert isinstance(tokenizer, Tokenizer)
    pieces: list[str] = []
    for word in tokenizer.rule.split(caption, language):
        first, *others = _split(word, language)
        pieces.append(first)
        for piece in others:
            pieces += (
                [piece]
                if tokenizer.tokens_to_ids([piece])
                else [CONTINUATION + c for c in piece.removeprefix(CONTINUATION)]
            )
    return " ".join(pieces)


def _letter_fallback(counts: Mapping[str, Counter[str]], settings: TextSettings, rule: TextRule) -> Tokenizer:
    tokens = _initial_tokens(counts, settings.languages, settings.vocab_size)
    pieces: Counter[str] = Counter()
    for language, language_counts in counts.items():
        for word, count in language_counts.items():
            for piece in _split(word, language):
                pieces[piece] += count
    for token in tokens:
        del pieces[token]
    frequent = (piece for piece, count in pieces.items() if count >= settings.min_frequency)
    tokens += sorted(frequent, key=lambda piece: (-pieces[piece], piece))
    vocabulary = {token: i for i, token in enumerate(tokens[: settings.vocab_size])}
    return _tokenizer(vocabulary, [], rule.words_and_pieces, rule, settings.languages)


def _bpe(counts: Mapping[str, Counter[str]], settings: TextSettings, rule: TextRule) -> Tokenizer:
    tokens = _initial_tokens(counts, settings.languages, settings.vocab_size)
    size = max(DEFAULT_BPE_SIZE, 2 * len(tokens)) if settings.vocab_size is None else settings.vocab_size
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=settings.min_frequency,
        # Letters are passed as special tokens: otherwise the trainer numbers them in hash table order, and breaks ties
        # between merges by those numbers; and it would omit `##z` where no word continues with it.
        special_tokens=tokens,
        continuing_subword_prefix=CONTINUATION,
        show_progress=False,
    )
    learner = tokenizers.Tokenizer(models.BPE(continuing_subword_prefix=CONTINUATION))
    learner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    total = sum(counts.values(), Counter[str]())
    learner.train_from_iterator((" ".join([word] * count) for word, count in total.items()), trainer)
    # The trainer would read <end> in a caption as the end token, since it is one of its special tokens.
    learned = json.loads(learner.to_str())["model"]
    merges = [(a, b) for a, b in learned["merges"]]
    return _tokenizer(learned["vocab"], merges, rule.runs, rule, settings.languages)


def _initial_tokens(counts: Mapping[str, Counter[str]], languages: Sequence[str], vocab_size: int | None) -> list[str]:
    """Special tokens, every letter at the beginning of a word, and as a continuation. Hyphens, apostrophes and
    combining marks are continuations only."""
    letters = sorted({letter for words in counts.values() for word in words for letter in word})
    tokens = special_tokens(languages)
    tokens += [letter for letter in letters if unicodedata.category(letter)[0] in "LN"]
    tokens += [CONTINUATION + letter for letter in letters]
    if vocab_size is not None and vocab_size <= len(tokens):
        raise BadConfig(
            f"text.vocab_size: found {vocab_size}, but special tokens and single letters of these captions are "
            f"{len(tokens)}; expected more"
        )
    return tokens


def _tokenizer(
    vocabulary: dict[str, int],
    merges: list[tuple[str, str]],
    splitter: Any,
    rule: TextRule,
    languages: Sequence[str],
) -> Tokenizer:
    model = models.BPE(
        vocab=vocabulary,
        merges=merges,
        unk_token=UNK,
        fuse_unk=True,
        continuing_subword_prefix=CONTINUATION,
        ignore_merges=True,  # a word in the vocabulary is one token: any word of `letters`, and <unk>
    )
    backend = tokenizers.Tokenizer(model)
    backend.normalizer = rule.normalizer
    backend.pre_tokenizer = splitter
    if rule.decoder is not None:
        backend.decoder = rule.decoder
    return Tokenizer(backend, languages)


@cache
def _split(word: str, language: str) -> tuple[str, ...]:
    """The tokens that spaCy splits a word into, all but the first marked as continuations."""
    if word == UNK:
        return (word,)
    first, *others = (str(token) for token in _spacy(language)(word))
    return (first, *(CONTINUATION + token for token in others))


@cache
def _spacy(language: str) -> Any:
    """spaCy's tokenizer of a language, or of any language where it has none; the blank pipeline needs no download."""
    try:
        import spacy
    except ModuleNotFoundError as error:
        raise MissingExtra("spacy", "text") from error
    code = language_subtag(language)
    try:
        return spacy.blank("xx" if code in SPACY_WITHOUT_PIPELINE else code).tokenizer
    except ImportError:  # how spaCy says that it has no such language, or that the language needs another package
        return spacy.blank("xx").tokenizer
