"""Words to ids and back, one `tokenizer.json` (Hugging Face tokenizers) per bundle.

Captions are normalised by one rule for every language: NFKC, lower case, combining marks (Arabic diacritics among them)
off, apostrophes straight. A word is a run of letters and digits, with hyphens and apostrophes inside it; punctuation
is not written. Words that training saw too seldom become `<unk>`. The language is a start token, `<en>` or `<ar>`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

from showtell.errors import BadBundle

PAD, UNKNOWN, END = "<pad>", "<unk>", "<end>"
WORD = r"[\p{L}\p{N}]+(?:[-'][\p{L}\p{N}]+)*"


class Text:
    """A vocabulary and its rule. Ids: `<pad>` 0, `<unk>` 1, `<end>` 2, then one start token per language, then
    words."""

    def __init__(self, tokenizer: Tokenizer, languages: Sequence[str]) -> None:
        self.tokenizer = tokenizer
        self.languages = tuple(languages)
        self.pad, self.unknown, self.end = (self._id(token) for token in (PAD, UNKNOWN, END))
        self.starts = {language: self._id(f"<{language}>") for language in languages}

    @classmethod
    def build(cls, captions: Iterable[str], languages: Sequence[str], min_frequency: int) -> Text:
        """The vocabulary of all words that occur at least `min_frequency` times, most frequent first."""
        normalizer = normalizers.Sequence(
            [
                normalizers.NFKC(),
                normalizers.Lowercase(),
                normalizers.Replace(Regex(r"\p{Mn}"), ""),
                normalizers.Replace("’", "'"),
            ]
        )
        splitter = pre_tokenizers.Split(Regex(WORD), behavior="removed", invert=True)
        counts: Counter[str] = Counter()
        for caption in captions:
            counts.update(word for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(caption)))
        frequent = sorted((w for w, n in counts.items() if n >= min_frequency), key=lambda w: (-counts[w], w))
        tokens = [PAD, UNKNOWN, END, *(f"<{language}>" for language in languages), *frequent]
        tokenizer = Tokenizer(models.WordLevel({token: i for i, token in enumerate(tokens)}, unk_token=UNKNOWN))
        tokenizer.normalizer = normalizer
        tokenizer.pre_tokenizer = splitter
        return cls(tokenizer, languages)

    @classmethod
    def load(cls, path: Path, languages: Sequence[str]) -> Text:
        """Raises BadBundle when the file is no tokenizer or lacks a special token."""
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:
            raise BadBundle(f"{path}: no tokenizer ({error}); export the model again") from error
        return cls(tokenizer, languages)

    def save(self, path: Path) -> None:
        self.tokenizer.save(str(path))

    @property
    def size(self) -> int:
        return int(self.tokenizer.get_vocab_size())

    @property
    def special_ids(self) -> list[int]:
        """What is never written inside a caption: everything special but the end."""
        return [self.pad, self.unknown, *self.starts.values()]

    def encode(self, caption: str, language: str, max_words: int | None = None) -> list[int]:
        """Start token, words, end: `[T + 2]` ids."""
        words = self.tokenizer.encode(caption).ids
        return [self.starts[language], *words[:max_words], self.end]

    def spell(self, ids: Iterable[int]) -> list[str]:
        """The word behind each id."""
        return [str(self.tokenizer.id_to_token(int(i))) for i in ids]

    def decode(self, ids: Iterable[int]) -> str:
        """The caption that `encode` gave these words for (without start and end), in its normalised spelling."""
        return " ".join(self.spell(ids))

    def ids(self, words: Iterable[str]) -> list[int]:
        """The ids of those words that are in the vocabulary."""
        found = (self.tokenizer.token_to_id(word) for word in words)
        return [i for i in found if i is not None]

    def _id(self, token: str) -> int:
        found = self.tokenizer.token_to_id(token)
        if found is None:
            raise BadBundle(f"the tokenizer has no {token}; the bundle's parts do not belong together; export it again")
        return int(found)
