"""Captions to token ids and back: one `tokenizer.json` (Hugging Face tokenizers) per bundle.

Captions are normalised and split into words by the rule of `text_rules`, which is stored in the file: encoding and
decoding need only the file, whatever its kind. Punctuation is dropped. `<unk>` in a caption, as in some data sets, is
the unknown token. The language is a start token, such as `<en>` or `<pt-BR>`.

A token is a word or a subword. A subword that continues a word begins with `##`, as in WordPiece, so that one rule
decodes any kind of vocabulary: words are joined with spaces, `##` subwords without. Rejected: a token for white space,
which costs an id per word, or a rule about which tokens it goes between. In a script without spaces every token is a
word of its own, with `##` or not.

`Tokenizer.build` makes a word-level vocabulary; `train/vocabulary` makes those with subwords. An imported model has its
own: `core/imported_tokenizer`. `AnyTokenizer` is what both have.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

import tokenizers
from tokenizers import models

from showtell.core.text_rules import CONTINUATION, UNK, text_rule
from showtell.errors import BadBundle, BadConfig
from showtell.languages import language_info
from showtell.languages.scripts import UNSPACED, script_of
from showtell.settings import ImportedText

PAD, EOS = "<pad>", "<end>"


def split_words(caption: str, language: str = "en") -> list[str]:
    """The words of a caption, normalised, as a model of this language alone has them."""
    return text_rule([language]).split(caption, language)


def start_token(language: str) -> str:
    """`<en>`. The languages Paumarí, Enawené-Nawé and Ende have the tags `pad`, `unk` and `end`."""
    token = f"<{language}>"
    return f"<{language}-start>" if token in (PAD, UNK, EOS) else token


def special_tokens(languages: Sequence[str]) -> list[str]:
    """The first entries of every vocabulary."""
    return [PAD, UNK, EOS, *map(start_token, languages)]


def open_tokenizer(path: Path) -> tokenizers.Tokenizer:
    """Raises BadBundle when the file is no tokenizer."""
    try:
        return tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:
        raise BadBundle(f"{path}: no tokenizer ({error}); export the model again") from error


class AnyTokenizer(Protocol):
    """Captions to ids and back, whoever made the vocabulary."""

    @property
    def languages(self) -> tuple[str, ...]: ...

    @property
    def vocab_size(self) -> int: ...

    @property
    def eos_id(self) -> int: ...

    @property
    def unk_id(self) -> int | None: ...

    @property
    def banned_ids(self) -> list[int]:
        """Ids that are never generated, and never occur inside a caption."""
        ...

    @property
    def needs_pretokenization(self) -> bool:
        """Whether captions have to be split into pieces by spaCy before `encode`; see `train/vocabulary`."""
        ...

    def prompt_ids(self, language: str, prompt: str | None = None) -> list[int]:
        """The tokens, one or more, that a caption begins with; `prompt` None: the default one. Raises BadConfig for a
        prompt where the model takes none."""
        ...

    def encode(self, caption: str, language: str, max_length: int | None = None) -> list[int]:
        """Prompt, tokens, end: `[P + T + 1]` ids, T at most `max_length`. Truncation never cuts a word."""
        ...

    def ids_to_tokens(self, ids: Iterable[int]) -> list[str]: ...

    def tokens_to_ids(self, tokens: Iterable[str]) -> list[int]:
        """The ids of those words that are tokens."""
        ...

    def join_pieces(self, ids: Iterable[int]) -> list[tuple[str, int]]:
        """The words that these ids spell, each with its number of tokens, one or more; each token is counted once."""
        ...

    def decode(self, ids: Iterable[int], prompt_ids: Sequence[int] = ()) -> str:
        """The caption that these ids spell after `prompt_ids`, whose text comes with it."""
        ...

    def normalize(self, caption: str, language: str) -> str:
        """The caption in the spelling in which this tokenizer reads and writes it."""
        ...

    def save(self, path: Path) -> None: ...


class Tokenizer:
    """Ids: `<pad>` 0, `<unk>` 1, `<end>` 2, then one start token per language, then words and pieces."""

    def __init__(self, backend: tokenizers.Tokenizer, languages: Sequence[str]) -> None:
        """Raises BadBundle when a special token is missing."""
        self.backend = backend
        self.languages = tuple(languages)
        self._pad_id, self.unk_id, self.eos_id = (self._special_id(token) for token in (PAD, UNK, EOS))
        self._start_ids = {language: self._special_id(start_token(language)) for language in languages}
        self.rule = text_rule(languages)

    @classmethod
    def build(
        cls,
        captions: Iterable[str],
        languages: Sequence[str],
        min_frequency: int,
        vocab_size: int | None = None,
        sentences: Iterable[str] = (),
        sentence_frequency: int | None = None,
    ) -> Tokenizer:
        """A word-level vocabulary of all words that occur at least `min_frequency` times in the captions, or
        `sentence_frequency` times in captions and sentences together; most frequent first, with at most `vocab_size`
        entries, special tokens included. Any other word is `<unk>`.

        Of captions in a language with `LanguageInfo.letters`, these must have been replaced."""
        rule = text_rule(languages)
        counts, all_counts = (Counter[str]() for _ in range(2))
        for texts, counters in ((captions, (counts, all_counts)), (sentences, (all_counts,))):
            for text in texts:
                words = [word for word in rule.split(text) if word != UNK]
                for counter in counters:
                    counter.update(words)
        enough = float("inf") if sentence_frequency is None else sentence_frequency
        frequent = [word for word, count in all_counts.items() if counts[word] >= min_frequency or count >= enough]
        frequent.sort(key=lambda word: (-all_counts[word], word))
        tokens = [*special_tokens(languages), *frequent][:vocab_size]
        model = models.WordLevel({token: i for i, token in enumerate(tokens)}, unk_token=UNK)
        backend = tokenizers.Tokenizer(model)
        backend.normalizer = rule.normalizer
        backend.pre_tokenizer = rule.words
        if rule.decoder is not None:
            backend.decoder = rule.decoder
        return cls(backend, languages)

    @classmethod
    def load(cls, path: Path, languages: Sequence[str]) -> Tokenizer:
        """Raises BadBundle when the file is no tokenizer or lacks a special token."""
        return cls(open_tokenizer(path), languages)

    def save(self, path: Path) -> None:
        self.backend.save(str(path))

    @property
    def vocab_size(self) -> int:
        return int(self.backend.get_vocab_size())

    @property
    def banned_ids(self) -> list[int]:
        """All special tokens but the end."""
        return [self._pad_id, self.unk_id, *self._start_ids.values()]

    @property
    def needs_pretokenization(self) -> bool:
        probe = f"a {CONTINUATION}b"
        return [piece for piece, _ in self.backend.pre_tokenizer.pre_tokenize_str(probe)] == probe.split()

    def prompt_ids(self, language: str, prompt: str | None = None) -> list[int]:
        """The start token of the language. Raises BadConfig for a prompt."""
        if prompt is not None:
            raise BadConfig(f"found the prompt {prompt!r}; this model takes none, leave it out")
        return [self._start_ids[language]]

    def encode(self, caption: str, language: str, max_length: int | None = None) -> list[int]:
        """Start, tokens, end: `[T + 2]` ids, T at most `max_length`. Truncation never cuts a word."""
        encoding = self.backend.encode(language_info(language).replace_letters(caption))
        length = len(encoding.ids)
        if max_length is not None and length > max_length:
            length = max_length
            while length and self._continues_word(encoding.tokens[length]):
                length -= 1
        return [self._start_ids[language], *encoding.ids[:length], self.eos_id]

    def ids_to_tokens(self, ids: Iterable[int]) -> list[str]:
        return [str(self.backend.id_to_token(int(i))) for i in ids]

    def tokens_to_ids(self, tokens: Iterable[str]) -> list[int]:
        """The ids of those tokens that are in the vocabulary."""
        ids = (self.backend.token_to_id(token) for token in tokens)
        return [i for i in ids if i is not None]

    def join_pieces(self, ids: Iterable[int]) -> list[tuple[str, int]]:
        """The words that these ids spell, each with its number of tokens. In a script without spaces each token is a
        word."""
        words: list[tuple[str, int]] = []
        for token in self.ids_to_tokens(ids):
            piece = token.removeprefix(CONTINUATION)
            if words and self._continues_word(token):
                word, count = words[-1]
                words[-1] = (word + piece, count + 1)
            else:
                words.append((piece, 1))  # a model may begin a caption with a continuation: then it is a word
        return words

    def decode(self, ids: Iterable[int], prompt_ids: Sequence[int] = ()) -> str:
        """The inverse of `encode` for ids without start and end: the `normalize`d caption. Start tokens, all that
        `prompt_ids` can be, have no text."""
        if self.backend.decoder is None:
            return " ".join(word for word, _ in self.join_pieces(ids))
        return str(self.backend.decoder.decode(self.ids_to_tokens(ids)))

    def normalize(self, caption: str, language: str) -> str:
        """The caption in the spelling in which this tokenizer reads and writes it, without punctuation."""
        return self.rule.join(self.rule.split(caption, language))

    def _continues_word(self, token: str) -> bool:
        """Not a token that begins with a letter of a script without spaces, in a tokenizer that knows of these."""
        if not token.startswith(CONTINUATION):
            return False
        first = token[len(CONTINUATION) :][:1]
        return self.backend.decoder is None or not first or script_of(first) not in UNSPACED

    def _special_id(self, token: str) -> int:
        token_id = self.backend.token_to_id(token)
        if token_id is None:
            raise BadBundle(f"the tokenizer has no {token}; the bundle's parts do not belong together; export it again")
        return int(token_id)


def load_tokenizer(path: Path, languages: Sequence[str], imported: ImportedText | None) -> AnyTokenizer:
    """A `tokenizer.json` of ours, or of an `imported` model. Raises BadBundle when it is neither, or lacks a token that
    is needed."""
    if imported is None:
        return Tokenizer.load(path, languages)
    from showtell.core.imported_tokenizer import ImportedTokenizer  # which needs this module

    return ImportedTokenizer.load(path, languages, imported)
