"""What the reranker of a bundle is worth: the dev split with its rerank_weight and with 0, beam and all else the same.

    python benchmarks/reranking.py FLICKR8K [BUNDLE]

Prints for each language a row for each metric: without, with, and the difference with its 95 % interval, paired over
the photos; and the mean CIDEr of the best hypothesis of the beam in hindsight.
"""

import sys

from showtell import Captioner
from showtell.data.spec import read_samples, select_split
from showtell.metrics import Evaluation
from showtell.records import Sample
from showtell.settings import DecodeSettings

METRICS = ("CIDEr", "BLEU-4", "ROUGE-L", "unique")


def evaluate(
    captioner: Captioner, samples: list[Sample], language: str, settings: DecodeSettings, num: int
) -> list[Evaluation]:
    """Of the best captions, of the second best ones, and so on up to `num`."""
    images = [sample.image for sample in samples]
    rows = captioner.caption_many(images, language=language, decode=settings, num=num)
    found = {sample.name: [c.text for c in row.captions] for sample, row in zip(samples, rows, strict=True)}
    references = {sample.name: sample.captions for sample in samples}
    ranks = ({name: texts[min(k, len(texts) - 1)] for name, texts in found.items()} for k in range(num))
    return [Evaluation(captions, references, language) for captions in ranks]


def main(folder: str, bundle: str | None = None) -> None:
    captioner = Captioner.load(bundle)
    off = captioner.settings(rerank_weight=0)
    print("| | without | with | difference |\n|---|---|---|---|")
    for language in captioner.languages:
        samples = select_split(read_samples(f"flickr:{folder}", (language,)), "dev")
        each = evaluate(captioner, samples, language, off, off.beam_size)
        (with_it,), without = evaluate(captioner, samples, language, captioner.settings(), 1), each[0]
        differences = with_it.difference(without)
        for name in METRICS:
            gain = differences[name]
            cells = f"{without.scores[name]:.4f} | {with_it.scores[name]:.4f} | {gain.value:+.4f}"
            print(f"| {language} {name} | {cells} ({gain.low:+.4f} to {gain.high:+.4f}) |", flush=True)
        best = sum(map(max, zip(*(e.per_image["CIDEr"] for e in each), strict=True))) / len(samples)
        print(f"| {language} CIDEr of the best in hindsight | {best:.4f} | | |", flush=True)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(*sys.argv[1:])
