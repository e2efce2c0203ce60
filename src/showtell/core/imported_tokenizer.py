"""The tokenizer of an imported model: its own `tokenizer.json`, of whatever kind (byte-level BPE, WordPiece, unigram).

Captions are written as the model writes them, with its case, its punctuation and its rules for spaces; what
`tokenizer.json` calls a special token is left out. They are those of `PreTrainedTokenizerFast.decode(...,
skip_special_tokens=True)` in transformers. The clean-up of spaces that some models' `tokenizer_config.json` asks for is
made a part of the file itself (`clean_up_spaces`), so that the one file says all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import tokenizers
from tokenizers import decoders

from showtell.core.tokenizer import open_tokenizer
from showtell.errors import BadBundle, BadConfig
from showtell.settings import ImportedText

CLEANED_UP = {
    **{" .": ".", " ?": "?", " !": "!", " ,": ",", " ' ": "'"},
    **{" n't": "n't", " 'm": "'m", " 's": "'s", " 've": "'ve", " 're": "'re"},
}
"""What transformers' `clean_up_tokenization` replaces, in its order."""
UNFINISHED = "\N{REPLACEMENT CHARACTER}"
"""What a decoder writes for the first bytes of a character whose last are in the next token."""


def clean_up_spaces(backend: tokenizers.Tokenizer) -> None:
    """Make `backend` decode as transformers does with `clean_up_tokenization_spaces`: "a dog ' s tail ." to "a dog's
    tail." """
    replacements = [decoders.Replace(old, new) for old, new in CLEANED_UP.items()]
    first = [] if backend.decoder is None else [backend.decoder]
    backend.decoder = decoders.Sequence([*first, decoders.Fuse(), *replacements])  # Fuse: spaces are between tokens


class ImportedTokenizer:
    """The interface of `core/tokenizer`, for a vocabulary of others."""

    needs_pretokenization = False

    def __init__(self, backend: tokenizers.Tokenizer, languages: Sequence[str], text: ImportedText) -> None:
        """Raises BadBundle when `text` names an id that is not there."""
        self.backend, self.languages, self.text = backend, tuple(languages), text
        # A file may ask for them; a caption is never padded here, and is truncated between words.
        backend.no_padding()
        backend.no_truncation()
        # What a person writes is text, even if it looks like a special token.
        backend.encode_special_tokens = True
        self.eos_id, self.unk_id = text.eos_id, text.unk_id
        self.banned_ids = list(text.banned_ids)
        negative = [i for i in (*text.bos_ids, text.eos_id, *text.banned_ids) if i < 0]
        if negative:
            raise BadBundle(f"found the token id {negative[0]}; expected 0 or more; import the model again")

    @classmethod
    def load(cls, path: Path, languages: Sequence[str], text: ImportedText) -> ImportedTokenizer:
        """Raises BadBundle when the file is no tokenizer."""
        return cls(open_tokenizer(path), languages, text)

    def save(self, path: Path) -> None:
        self.backend.save(str(path))

    @property
    def vocab_size(self) -> int:
        """Entries of the file; the network may have more, such as a start token that only its configuration names."""
        return int(self.backend.get_vocab_size())

    def prompt_ids(self, language: str, prompt: str | None = None) -> list[int]:
        """The start tokens, then those of the prompt; None: the model's default. Raises BadConfig where the model takes
        none."""
        if prompt is not None and not self.text.takes_prompt:
            raise BadConfig(f"found the prompt {prompt!r}; this model takes none, leave it out")
        return [*self.text.bos_ids, *self._ids(self.text.prompt if prompt is None else prompt)]

    def encode(self, caption: str, language: str, max_length: int | None = None) -> list[int]:
        """Start tokens, default prompt, tokens of the caption, end: T of the caption's are at most `max_length`.
        Truncation never cuts a word."""
        prompt = self._ids(self.text.prompt)
        # Together: what begins a caption is not always the same token as what goes on after a space.
        text = f"{self.text.prompt.rstrip()} {caption}" if prompt else caption
        encoding = self.backend.encode(text, add_special_tokens=False)
        if encoding.ids[: len(prompt)] == prompt:
            ids, words = encoding.ids[len(prompt) :], encoding.word_ids[len(prompt) :]
        else:
            encoding = self.backend.encode(caption, add_special_tokens=False)
            ids, words = encoding.ids, encoding.word_ids
        length = len(ids)
        if max_length is not None and length > max_length:
            length = max_length
            while length and words[length] is not None and words[length] == words[length - 1]:
                length -= 1
            if not length and words[0] == words[-1]:  # the whole caption is one word to this tokenizer
                length = max_length
        return [*self.text.bos_ids, *prompt, *ids[:length], self.eos_id]

    def ids_to_tokens(self, ids: Iterable[int]) -> list[str]:
        """Tokens as the file spells them; an id without an entry is its number in brackets."""
        tokens = [(int(i), self.backend.id_to_token(int(i))) for i in ids]
        return [f"[{i}]" if token is None else str(token) for i, token in tokens]

    def tokens_to_ids(self, tokens: Iterable[str]) -> list[int]:
        """The ids of those words that are one token, at the beginning of a caption or inside."""
        found = []
        for token in tokens:
            spellings = self._ids(token), self._ids(f"a {token}")[len(self._ids("a")) :]
            found += [ids[0] for ids in spellings if len(ids) == 1 and ids[0] != self.unk_id]
        return list(dict.fromkeys(found))

    def join_pieces(self, ids: Iterable[int]) -> list[tuple[str, int]]:
        """The words of the caption as spaces separate them, each with its number of tokens.

        A token belongs to the word in which its text begins; one without text, such as a special token, to the next
        word, or to the last. Two words that one token spells are one.
        """
        ids = [int(i) for i in ids]
        if not ids:
            return []
        words = self.decode(ids).split()
        owners = self._owners(ids, [len(word) for word in words])
        joined: list[tuple[str, int]] = []
        for word, count in zip(words or [""], owners, strict=True):
            if count or not joined:
                joined.append((word, count))
            else:
                joined[-1] = f"{joined[-1][0]} {word}", joined[-1][1]
        return joined

    def decode(self, ids: Iterable[int], prompt_ids: Sequence[int] = ()) -> str:
        """The caption, the prompt's text first, without special tokens and without spaces around."""
        return str(self.backend.decode([*prompt_ids, *(int(i) for i in ids)], skip_special_tokens=True)).strip()

    def normalize(self, caption: str, language: str) -> str:
        return self.decode(self._ids(caption))

    def _ids(self, text: str) -> list[int]:
        return list(self.backend.encode(text, add_special_tokens=False).ids) if text else []

    def _owners(self, ids: Sequence[int], lengths: Sequence[int]) -> list[int]:
        """Tokens of each word, of so many letters: how much of the caption is written before each token says which word
        it begins in. One count for a caption without words."""
        ends = [sum(lengths[: k + 1]) for k in range(len(lengths))]
        counts = [0] * max(len(ends), 1)
        prefixes = [ids[:t] for t in range(len(ids))]
        written = 0
        for text in self.backend.decode_batch(prefixes, skip_special_tokens=True):
            # Running: a decoder may take back what it wrote, at a character whose bytes are in several tokens.
            written = max(written, len("".join(text.rstrip(UNFINISHED).split())))
            counts[min(sum(end <= written for end in ends), len(counts) - 1)] += 1
        return counts
