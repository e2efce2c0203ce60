"""Which words are written with a capital inside a sentence, in languages that write nouns so.

The network reads and writes lower case: the same word at the beginning of a sentence and inside it is one word, and
captions are typed as people like. Their usual spelling is given back to what it has written.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping

from showtell.core.tokenizer import AnyTokenizer
from showtell.languages import language_info

WORD = re.compile(r"[^\W\d_]+(?:[-'][^\W\d_]+)*|[.!?:]")
ENDS = frozenset(".!?:")
"""What the first word of a sentence stands behind."""


def capitalized_words(captions: Mapping[str, Iterable[str]], tokenizer: AnyTokenizer) -> dict[str, list[str]]:
    """By language, in alphabetical order and in their most frequent spelling: words of the vocabulary that most of the
    captions that have them inside a sentence write with a capital. A caption without capitals inside says nothing."""
    return {
        language: [word for word in _usual_capitals(of_language) if tokenizer.tokens_to_ids([word.lower()])]
        for language, of_language in captions.items()
        if language_info(language).capitalizes_nouns
    }


def _usual_capitals(captions: Iterable[str]) -> list[str]:
    spellings, small = Counter[str](), Counter[str]()
    for caption in captions:
        inside = _inside(unicodedata.normalize("NFKC", caption))
        has_capitals = [word for word in inside if word[0].isupper() and not word.isupper()]
        if not has_capitals:
            continue
        spellings.update(has_capitals)
        small.update(word for word in inside if word.islower())
    usual: dict[str, str] = {}
    capital = Counter[str]()
    for word, count in sorted(spellings.items(), key=lambda item: (-item[1], item[0])):
        usual.setdefault(word.lower(), word)
        capital[word.lower()] += count
    return sorted(usual[word] for word, count in capital.items() if count > small[word])


def _inside(caption: str) -> list[str]:
    """Its words but the first one of each sentence."""
    parts = WORD.findall(caption)
    return [part for before, part in itertools.pairwise(parts) if not {before, part} & ENDS]
