"""Decode settings: CIDEr and BLEU-4 on the dev split, one change at a time.

    python benchmarks/decoding.py FLICKR8K [BUNDLE]

The photos are encoded once; every row of the table then only runs the decoder. The decode settings of the built-in
model were selected by this table, on dev.
"""

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from showtell import Captioner
from showtell.core.decode import decode
from showtell.core.image import load_image
from showtell.core.pixels import to_pixels
from showtell.data.spec import read_samples, select_split
from showtell.metrics import score
from showtell.records import Sample

TOGETHER = 50
CHANGES: tuple[dict[str, Any], ...] = (
    *({}, {"beam_size": 1}, {"beam_size": 3}, {"beam_size": 5}, {"beam_size": 10}),
    *({"length_penalty": x} for x in (0.5, 0.7, 1.1)),
    *({"no_repeat_ngram_size": n} for n in (0, 3)),
    *({"rerank_weight": weight} for weight in (0, 2, 6)),
)


def look(captioner: Captioner, samples: list[Sample]) -> Iterator[Any]:
    """The encoder's memory of every TOGETHER photos."""
    for begin in range(0, len(samples), TOGETHER):
        photos = [load_image(sample.image) for sample in samples[begin : begin + TOGETHER]]
        pixels = [to_pixels(photo, captioner.bundle.manifest.pixels) for photo in photos]
        yield captioner.stepper.encode(np.stack(pixels))


def main(folder: str, bundle: str | None = None) -> None:
    captioner = Captioner.load(bundle)
    text = captioner.bundle.tokenizer
    samples = {
        language: select_split(read_samples(f"flickr:{folder}", (language,)), "dev") for language in captioner.languages
    }
    memories = list(look(captioner, samples[captioner.languages[0]]))
    print(f"base: {captioner.settings()}\n")
    print("| change | " + " | ".join(f"{n} CIDEr | {n} BLEU-4 | {n} unique" for n in samples) + " |")
    print("|---" * (1 + 3 * len(samples)) + "|")
    for changes in CHANGES:
        cells = [", ".join(f"{name} {value}" for name, value in changes.items()) or "none"]
        for language, of in samples.items():
            found: list[str] = []
            for memory in memories:
                count = min(TOGETHER, len(of) - len(found))
                settings = captioner.settings(**changes)
                best = decode(
                    *(captioner.stepper, memory, count, text, language, settings), reranker=captioner.reranker
                )
                found += [text.decode(hypotheses[0].tokens) for hypotheses in best]
            captions = {s.name: caption for s, caption in zip(of, found, strict=True)}
            values = score(captions, {s.name: s.captions for s in of}, language)
            cells += [f"{values['CIDEr']:.4f}", f"{values['BLEU-4']:.4f}", f"{len(set(found)) / len(found):.0%}"]
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(*sys.argv[1:])
