"""The rule by which captions become words, and words captions, for a set of languages.

Scripts decide, not languages, so that one rule holds for any mixture: combining marks that carry vowels or tones stay,
the optional vowel signs of Arabic go; scripts without spaces are split into characters and joined without spaces. What
a language decides against its script, such as the Turkish capital of ı, is in the registry (`LanguageInfo.letters`) and
is applied before, since one tokenizer serves several languages.

Models of English and Arabic alone have the rule that they had before there were other languages: ensembles and
distillation compare tokenizer files by their hash.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

from tokenizers import Regex, decoders, normalizers, pre_tokenizers

from showtell.languages import language_info

UNK: Final = "<unk>"
CONTINUATION: Final = "##"

_UNSPACED_BESIDE_ALL: Final = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}\p{Yi}ー〆"
_UNSPACED_BESIDE_THEMSELVES: Final = r"\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}\p{Javanese}"
_UNSPACED: Final = _UNSPACED_BESIDE_ALL + _UNSPACED_BESIDE_THEMSELVES
"""The scripts of `languages.scripts.UNSPACED`, as the regular expressions of `tokenizers` have them."""

# A letter with its marks. Beside a mark the joiner of zero width (ZWJ) is part of a letter, as in Sinhala, Malayalam.
_LETTER: Final = rf"[\p{{L}}\p{{N}}&&[^{_UNSPACED}]]"
_LETTERS: Final = rf"(?:{_LETTER}|\p{{M}}|(?<=\p{{M}})\u200D|\u200D(?=\p{{M}}))+"
# Inside a word: hyphen, apostrophe, the non-joiner of zero width (ZWNJ, Persian), Catalan l·l, Hebrew abbreviations.
_JOINER: Final = r"""(?:[-'\u200C]|(?<=l)·(?=l)|(?<=\p{Hebrew})"(?=\p{Hebrew}))"""
_SPACED_WORD: Final = rf"{_LETTER}(?:{_LETTERS})?(?:{_JOINER}{_LETTERS})*"
# A character with its marks, and with am, which is a mark and a letter; with what a Khmer or Burmese mark stacks below
# it; a Tibetan syllable with its end mark.
_CHARACTER: Final = (
    r"(?:[\p{Tibetan}&&[\p{L}\p{N}]]\p{M}*)+་?"
    rf"|[{_UNSPACED}&&[\p{{L}}\p{{N}}]](?:\p{{M}}|[ำຳ]|(?<=[\u17D2\u1039])[{_UNSPACED}&&\p{{L}}]|\u200D)*"
)

LEGACY_LANGUAGES: Final = frozenset({"en", "ar"})
WITHOUT_ARABIC_MARKS: Final = frozenset({"en", "ar", "de"})
"""Those of the built-in model, whose first caption need not wait for the files about languages."""
_LEGACY_WORD: Final = rf"{UNK}|[\p{{L}}\p{{N}}]+(?:[-'][\p{{L}}\p{{N}}]+)*"

_IGNORED: Final = (
    r"[\u00AD\u034F\u061C\u17B4\u17B5\u200E\u200F\u202A-\u202E\u2060-\u2064\u2066-\u206F\uFE00-\uFE0F\uFEFF"
    r"\x{E0100}-\x{E01EF}]"
)
"""Soft hyphens, marks of direction, selectors of glyphs: invisible, and different in equal words."""
_ARABIC_MARKS: Final = (
    r"[\u0610-\u061A\u064B-\u065F\u0670\u06D6-\u06DC\u06DF-\u06E4\u06E7\u06E8\u06EA-\u06ED\u0898-\u089F\u08CA-\u08E1"
    r"\u08E3-\u08FF]"
)


class TextRule(NamedTuple):
    """Parts of a `tokenizer.json`."""

    normalizer: Any
    words: Any
    """Splits into words; a script without spaces into characters."""
    words_and_pieces: Any
    """The same for captions that are split into pieces already (`##s`)."""
    runs: Any
    """Splits into words; a script without spaces into runs, within which byte-pair encoding finds its pieces."""
    decoder: Any
    """From tokens to the caption; None: words are joined with spaces."""

    def split(self, caption: str, language: str | None = None) -> list[str]:
        """The words of a caption, normalised."""
        return self._split(self.words, caption, language)

    def split_runs(self, caption: str, language: str | None = None) -> list[str]:
        return self._split(self.runs, caption, language)

    def join(self, tokens: Sequence[str]) -> str:
        """The caption that these words and pieces spell."""
        if self.decoder is None:
            return " ".join(tokens)
        return str(self.decoder.decode(list(tokens)))

    def _split(self, splitter: Any, caption: str, language: str | None) -> list[str]:
        if language is not None:
            caption = language_info(language).replace_letters(caption)
        return [word for word, _ in splitter.pre_tokenize_str(self.normalizer.normalize_str(caption))]


def text_rule(languages: Iterable[str]) -> TextRule:
    """The rule of a model that writes these languages."""
    tags = frozenset(languages)
    if tags <= LEGACY_LANGUAGES:  # their files are not read
        return _rule(is_legacy=True, keeps_arabic_marks=False)
    others = [tag for tag in tags if tag not in WITHOUT_ARABIC_MARKS]
    return _rule(is_legacy=False, keeps_arabic_marks=any(language_info(tag).arabic_marks for tag in others))


@cache
def _rule(is_legacy: bool, keeps_arabic_marks: bool) -> TextRule:
    if is_legacy:
        words = _split_pattern(_LEGACY_WORD)
        return TextRule(_legacy_normalizer(), words, _split_pattern(rf"{CONTINUATION}\S+|{_LEGACY_WORD}"), words, None)
    word = rf"{UNK}|{_CHARACTER}|{_SPACED_WORD}"
    return TextRule(
        _normalizer(keeps_arabic_marks),
        _split_pattern(word),
        # A first piece can end in what joins it to the next: un' ##anatra.
        _split_pattern(rf"{CONTINUATION}\S+|(?:{word})(?:{_JOINER}(?= {CONTINUATION}))?"),
        _split_pattern(rf"{UNK}|(?:{_CHARACTER})+|{_SPACED_WORD}"),
        _decoder(),
    )


def _split_pattern(pattern: str) -> Any:
    return pre_tokenizers.Split(Regex(pattern), behavior="removed", invert=True)


def _legacy_normalizer() -> Any:
    return normalizers.Sequence(
        [
            normalizers.NFKC(),
            normalizers.Lowercase(),
            normalizers.Replace(Regex(r"\p{Mn}"), ""),
            normalizers.Replace("’", "'"),
        ]
    )


def _normalizer(keeps_arabic_marks: bool) -> Any:
    letter = r"[\p{L}\p{M}\p{N}]"
    return normalizers.Sequence(
        [
            _replace(_IGNORED, ""),
            # Before NFKC, which makes a space of the accent ´. The modifier letter ʼ is an apostrophe in Cyrillic only.
            _replace(rf"(?<={letter})[´`‘’‛′＇׳](?={letter})|(?<=\p{{Cyrillic}})ʼ", "'"),
            normalizers.NFKC(),
            *_composed_am(),
            _replace(rf"(?<={letter})Σ(?!{letter})", "ς"),  # the lower case at the end of a word; elsewhere it is σ
            normalizers.Lowercase(),
            _replace("i\u0307", "i"),  # the lower case of İ
            normalizers.Replace("եւ", "և"),  # one letter in Armenian, two in NFKC
            *([] if keeps_arabic_marks else [_replace(_ARABIC_MARKS, "")]),
            _replace("[‐‑־֊]", "-"),
            _replace(r"(?<=\p{Hebrew})[״“”](?=\p{Hebrew})", '"'),
            _replace("\u200c+", "\u200c"),
            _replace(r"(?<=[\p{Latin}\p{Greek}\p{Cyrillic}])[\u200C\u200D]+", ""),  # there they break ligatures only
        ]
    )


def _replace(pattern: str, content: str) -> Any:
    return normalizers.Replace(Regex(pattern), content)


def _composed_am() -> list[Any]:
    """Thai and Lao am as one letter, with the tone mark before it, which NFKC takes apart; the Lao digraphs, too."""
    steps = []
    for nikhahit, aa, am, tones in (("ํ", "า", "ำ", "่้๊๋"), ("ໍ", "າ", "ຳ", "່້໊໋")):
        for tone in ("", *tones):
            steps.append(normalizers.Replace(nikhahit + tone + aa, tone + am))
    return [*steps, normalizers.Replace("ຫນ", "ໜ"), normalizers.Replace("ຫມ", "ໝ")]


def _decoder() -> Any:
    """Joins words with spaces and `##` pieces without; then removes the spaces that a script does not have."""
    beside_all, themselves = f"[{_UNSPACED_BESIDE_ALL}]", f"[{_UNSPACED_BESIDE_THEMSELVES}]"
    return decoders.Sequence(
        [
            decoders.WordPiece(prefix=CONTINUATION, cleanup=False),
            decoders.Fuse(),
            decoders.Replace(Regex(f"^{CONTINUATION}"), ""),  # a model may begin a caption with a continuation
            decoders.Replace(Regex(f"(?<={beside_all}) | (?={beside_all})|(?<={themselves}) (?={themselves})"), ""),
        ]
    )
