"""Words to ids and back, one `tokenizer.json` (Hugging Face tokenizers) per bundle.

Captions are normalised by one rule for every language: NFKC, lower case, combining marks (Arabic diacritics among them)
off, apostrophes straight. A word is a run of letters and digits, with hyphens and apostrophes inside it; punctuation
is not written. `<unk>` in a caption, as some data sets have it, is the unknown word. The language is a start token,
`<en>` or `<ar>`.

An id stands for a word or for a piece of one. A piece that continues a word begins with `##`, as WordPiece writes it,
so that one rule spells any kind of vocabulary: words stand apart, `##` pieces are attached. The alternative, a token
for white space, costs an id per word, or a rule about which neighbours it stands between.

`Text.build` makes the plain vocabulary of words; `train/vocabulary` makes those that write pieces. What is encoded and
spelt here needs no more than the file, however it was made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

from showtell.errors import BadBundle

PAD, UNKNOWN, END = "<pad>", "<unk>", "<end>"
CONTINUES = "##"
WORD = rf"{UNKNOWN}|[\p{{L}}\p{{N}}]+(?:[-'][\p{{L}}\p{{N}}]+)*"
NORMALIZER = normalizers.Sequence(
    [
        normalizers.NFKC(),
        normalizers.Lowercase(),
        normalizers.Replace(Regex(r"\p{Mn}"), ""),
        normalizers.Replace("’", "'"),
    ]
)
WORDS = pre_tokenizers.Split(Regex(WORD), behavior="removed", invert=True)
WORDS_AND_PIECES = pre_tokenizers.Split(Regex(rf"{CONTINUES}\S+|{WORD}"), behavior="removed", invert=True)


def split_words(caption: str) -> list[str]:
    """The words of a caption, normalised."""
    return [word for word, _ in WORDS.pre_tokenize_str(NORMALIZER.normalize_str(caption))]


def special_tokens(languages: Sequence[str]) -> list[str]:
    """What every vocabulary begins with."""
    return [PAD, UNKNOWN, END, *(f"<{language}>" for language in languages)]


class Text:
    """A vocabulary and its rule. Ids: `<pad>` 0, `<unk>` 1, `<end>` 2, then one start token per language, then words
    and pieces."""

    def __init__(self, tokenizer: Tokenizer, languages: Sequence[str]) -> None:
        self.tokenizer = tokenizer
        self.languages = tuple(languages)
        self.pad, self.unknown, self.end = (self._id(token) for token in (PAD, UNKNOWN, END))
        self.starts = {language: self._id(f"<{language}>") for language in languages}

    @classmethod
    def build(
        cls, captions: Iterable[str], languages: Sequence[str], min_frequency: int, size: int | None = None
    ) -> Text:
        """The vocabulary of all words that occur at least `min_frequency` times, most frequent first; of `size` entries
        at most, special tokens included. Any other word is `<unk>`."""
        counts = Counter(word for caption in captions for word in split_words(caption) if word != UNKNOWN)
        frequent = sorted((w for w, n in counts.items() if n >= min_frequency), key=lambda w: (-counts[w], w))
        tokens = [*special_tokens(languages), *frequent][:size]
        tokenizer = Tokenizer(models.WordLevel({token: i for i, token in enumerate(tokens)}, unk_token=UNKNOWN))
        tokenizer.normalizer = NORMALIZER
        tokenizer.pre_tokenizer = WORDS
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

    @property
    def takes_pieces(self) -> bool:
        """Whether a caption to encode is prepared, its words split as spaCy splits them; see `train/vocabulary`."""
        probe = f"a {CONTINUES}b"
        return [piece for piece, _ in self.tokenizer.pre_tokenizer.pre_tokenize_str(probe)] == probe.split()

    def encode(self, caption: str, language: str, max_words: int | None = None) -> list[int]:
        """Start token, words, end: `[T + 2]` ids, T at most `max_words`. Half a word is not kept."""
        written = self.tokenizer.encode(caption)
        length = len(written.ids)
        if max_words is not None and length > max_words:
            length = max_words
            while length and written.tokens[length].startswith(CONTINUES):
                length -= 1
        return [self.starts[language], *written.ids[:length], self.end]

    def spell(self, ids: Iterable[int]) -> list[str]:
        """The word or piece behind each id."""
        return [str(self.tokenizer.id_to_token(int(i))) for i in ids]

    def words(self, ids: Iterable[int]) -> list[tuple[str, int]]:
        """The words that these ids write, each with how many of the ids it takes."""
        found: list[tuple[str, int]] = []
        for piece in self.spell(ids):
            rest = piece.removeprefix(CONTINUES)
            if found and rest != piece:
                word, count = found[-1]
                found[-1] = (word + rest, count + 1)
            else:
                found.append((rest, 1))  # a model may begin a caption in mid-word: then that is a word
        return found

    def decode(self, ids: Iterable[int]) -> str:
        """The caption that `encode` gave these ids for (without start and end), in its normalised spelling."""
        return " ".join(word for word, _ in self.words(ids))

    def ids(self, words: Iterable[str]) -> list[int]:
        """The ids of those words that are in the vocabulary, whole."""
        found = (self.tokenizer.token_to_id(word) for word in words)
        return [i for i in found if i is not None]

    def _id(self, token: str) -> int:
        found = self.tokenizer.token_to_id(token)
        if found is None:
            raise BadBundle(f"the tokenizer has no {token}; the bundle's parts do not belong together; export it again")
        return int(found)
