"""Kinds of vocabulary: their size, the time to build them, and statistics of the tokenized dev captions.

    python benchmarks/text.py SPEC [LANGUAGE]

`<unk>` is the share of all tokens (words or subwords, without start and end); `over 30` the share of captions with more
tokens than the default of text.max_length; `repeats` of captions that have a trigram of tokens twice, which
decode.no_repeat_ngram_size=3 prevents.
"""

import sys
import time
from collections.abc import Sequence

from showtell.core.tokenizer import Tokenizer
from showtell.data.spec import read_samples, select_split
from showtell.settings import TextSettings
from showtell.train.vocabulary import build_tokenizer, pretokenize

KINDS = (
    {"kind": "words", "min_frequency": 5},
    {"kind": "letters", "min_frequency": 1, "vocab_size": 4096},
    {"kind": "bpe", "min_frequency": 1, "vocab_size": 4000},
)


def encode(text: Tokenizer, captions: Sequence[str], language: str) -> list[list[int]]:
    return [text.encode(pretokenize(caption, language, text), language)[1:-1] for caption in captions]


def repeats(ids: Sequence[int]) -> bool:
    triples = list(zip(ids, ids[1:], ids[2:], strict=False))
    return len(set(triples)) < len(triples)


def main(spec: str, language: str = "en") -> None:
    samples = read_samples(spec, [language])
    train, dev = ([c for s in select_split(samples, split) for c in s.captions] for split in ("train", "dev"))
    print(f"{len(train)} captions of training, {len(dev)} of dev")
    print("| text | vocabulary | seconds | tokens per caption | <unk> | longest | over 30 | repeats |")
    print("|---|---|---|---|---|---|---|---|")
    for choice in KINDS:
        settings = TextSettings.model_validate({"languages": [language], **choice})
        begun = time.perf_counter()
        text = build_tokenizer({language: train}, settings)
        seconds = time.perf_counter() - begun
        ids = encode(text, dev, language)
        lengths = list(map(len, ids))
        unknown = sum(caption.count(text.unk_id) for caption in ids)
        name = " ".join(f"{key}={value}" for key, value in choice.items())
        long, twice = (sum(each) / len(ids) for each in ((n > 30 for n in lengths), map(repeats, ids)))
        print(
            f"| `{name}` | {text.vocab_size} | {seconds:.1f} | {sum(lengths) / len(ids):.2f} "
            f"| {unknown / sum(lengths):.2%} | {max(lengths)} | {long:.2%} | {twice:.2%} |"
        )


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(*sys.argv[1:])
