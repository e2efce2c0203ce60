"""Speed of the metrics against pycocoevalcap and plain Python; interleaved in one run, medians.

    python benchmarks/metrics.py ../shared/flickr8k

1. BLEU, ROUGE-L and CIDEr of 5,000 images with five references, on the same tokens, which each side gets in its own
   format: joined by spaces, or as lists.
2. The reward of self-critical training: 250 samples of 50 training images with five references, on one thread, against
   pycocoevalcap's scorer on ids written as words, which self-critical training usually uses, and against plain Python
   without numpy. Document frequencies are computed beforehand for all, for ours also the references' counts, which do
   not change.
3. Tokenizing 25,000 captions, beside pycocoevalcap's tokenizer with a single caption: Java's start.

Needs showtell[dev] and Java.
"""

import contextlib
import io
import math
import os
import random
import statistics
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy

import numpy as np
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.cider.cider_scorer import CiderScorer
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

from showtell.core.tokenizer import split_words
from showtell.metrics.bleu import bleu_from_stats, bleu_stats
from showtell.metrics.cider import cider
from showtell.metrics.ngrams import build_corpus, count_ngrams
from showtell.metrics.reward import CiderReward
from showtell.metrics.rouge import rouge_l
from showtell.metrics.tokenization import ptb_tokenize

ROUNDS = 7
END = 0


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    begin = time.perf_counter()
    result = work()
    return time.perf_counter() - begin, result


def report(title: str, theirs: Sequence[float], ours: Sequence[float]) -> None:
    ratios = [a / b for a, b in zip(theirs, ours, strict=True)]
    print(
        f"{title}: {1000 * statistics.median(theirs):.1f} ms beside {1000 * statistics.median(ours):.2f} ms, ratio "
        f"{statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f}; {len(ratios)} rounds)"
    )


def scores(captions: dict[str, list[str]]) -> None:
    draw = random.Random(0)
    references = {
        name: [" ".join(ptb_tokenize(c)) for c in image_captions]
        for name, image_captions in list(captions.items())[:5000]
    }
    pool = [caption for image_references in references.values() for caption in image_references]
    candidates = {
        name: [draw.choice(pool) if draw.random() < 0.5 else draw.choice(image_references)]
        for name, image_references in references.items()
    }

    def theirs() -> list[float]:
        with contextlib.redirect_stdout(io.StringIO()):
            bleu = Bleu(4).compute_score(references, candidates, verbose=0)[0]
            rouge, cider_d = (metric.compute_score(references, candidates)[0] for metric in (Rouge(), Cider()))
            return [*bleu, rouge, cider_d]

    candidate_tokens = [caption.split() for [caption] in candidates.values()]
    reference_tokens = [[c.split() for c in image_references] for image_references in references.values()]

    def ours() -> list[float]:
        corpus = build_corpus(candidate_tokens, reference_tokens)
        ngrams = list(count_ngrams(corpus))
        bleu = bleu_from_stats(bleu_stats(corpus, ngrams).sum(axis=0))
        return [*bleu, rouge_l(corpus).mean(), cider(corpus, ngrams).mean()]

    rounds = [(seconds(theirs), seconds(ours)) for _ in range(ROUNDS)]
    difference = np.abs(np.subtract(rounds[0][0][1], rounds[0][1][1])).max()
    report("BLEU + ROUGE-L + CIDEr", [a for (a, _), _ in rounds], [b for _, (b, _) in rounds])
    print(f"  largest difference {difference:.1e}")


def ngrams_of(ids: Sequence[int]) -> Counter[tuple[int, ...]]:
    return Counter(tuple(ids[start : start + n]) for n in range(1, 5) for start in range(len(ids) - n + 1))


class PlainReward:
    """One n-gram at a time."""

    def __init__(self, references: Sequence[Sequence[Sequence[int]]]) -> None:
        self.references = references
        self.document_frequency = Counter(
            ngram for captions in references for ngram in set().union(*(ngrams_of([*ids, END]) for ids in captions))
        )
        self.log_images = math.log(len(references))

    def weights(self, ids: Sequence[int]) -> tuple[list[dict[tuple[int, ...], float]], list[float]]:
        weights: list[dict[tuple[int, ...], float]] = [{} for _ in range(4)]
        squares = [0.0] * 4
        for ngram, times in ngrams_of(ids).items():
            weight = times * (self.log_images - math.log(max(1, self.document_frequency[ngram])))
            weights[len(ngram) - 1][ngram] = weight
            squares[len(ngram) - 1] += weight**2
        return weights, [math.sqrt(square) for square in squares]

    def __call__(self, samples: np.ndarray, images: np.ndarray) -> list[float]:
        rewards = []
        for row, image in zip(samples.tolist(), images.tolist(), strict=True):
            ids = row[: row.index(END) + 1] if END in row else row
            sample_weights, sample_norms = self.weights(ids)
            total = 0.0
            for reference in self.references[image]:
                reference_weights, reference_norms = self.weights([*reference, END])
                penalty = math.exp(-((len(ids) - len(reference) - 1) ** 2) / 72)
                norms = (x * y for x, y in zip(sample_norms, reference_norms, strict=True))
                for a, b, norm in zip(sample_weights, reference_weights, norms, strict=True):
                    if norm:
                        total += sum(min(w, b.get(g, 0.0)) * b.get(g, 0.0) for g, w in a.items()) / norm * penalty / 4
            rewards.append(10 * total / len(self.references[image]))
        return rewards


class LongList(list[Any]):
    """References of a batch, which claim to be those of all training images; pycocoevalcap asks how many there are."""

    images = 0

    def __len__(self) -> int:
        return self.images


class ScorerReward:
    """pycocoevalcap's scorer, with the document frequencies of all references."""

    def __init__(self, references: Sequence[Sequence[Sequence[int]]]) -> None:
        self.references = [[self.as_text([*ids, END]) for ids in captions] for captions in references]
        scorer = CiderScorer()
        for captions in self.references:
            scorer.cook_append(None, captions)
        scorer.compute_doc_freq()
        self.document_frequency = scorer.document_frequency

    def as_text(self, ids: Sequence[int]) -> str:
        return " ".join(map(str, ids))

    def __call__(self, samples: np.ndarray, images: np.ndarray) -> list[float]:
        scorer = CiderScorer()
        for row, image in zip(samples.tolist(), images.tolist(), strict=True):
            ids = row[: row.index(END) + 1] if END in row else row
            scorer.cook_append(self.as_text(ids), self.references[image])
        scorer.document_frequency = self.document_frequency
        scorer.crefs = LongList(scorer.crefs)
        scorer.crefs.images = len(self.references)
        return [float(score) for score in scorer.compute_cider()]


def reward(captions: dict[str, list[str]]) -> None:
    ids: defaultdict[str, int] = defaultdict()
    ids.default_factory = lambda: len(ids) + 1
    references = [
        [[ids[word] for word in split_words(c)] for c in image_captions]
        for image_captions in list(captions.values())[:6000]
    ]
    setup_time, ours = seconds(lambda: CiderReward(references, END))
    draw = np.random.default_rng(0)

    def batch() -> tuple[np.ndarray, np.ndarray]:
        """Samples as they are in training: about a third near a reference, the others about something else."""
        images = np.repeat(draw.choice(len(references), 50, replace=False), 5)
        samples = np.full((len(images), 22), END)
        for row, image in zip(samples, images, strict=True):
            pool = references[image if draw.random() < 0.35 else draw.integers(len(references))]
            reference = pool[draw.integers(len(pool))]
            words = [w if draw.random() < 0.85 else int(draw.integers(1, 3000)) for w in reference]
            row[: len(words)] = words[:22]
        return samples, images

    for title, other in (("pycocoevalcap's scorer", ScorerReward(references)), ("plain code", PlainReward(references))):
        slow, fast, difference = [], [], 0.0
        for _ in range(3 * ROUNDS):
            # Ten batches of ours to one of the other, all different: each leaves the caches full of itself.
            batches = [batch() for _ in range(10)]
            expected_time, expected = seconds(lambda other=other, first=batches[0]: other(*first))
            our_time, rewards = seconds(lambda batches=batches: [ours(*one) for one in batches])
            slow.append(expected_time)
            fast.append(our_time / len(batches))
            difference = max(difference, float(np.abs(np.subtract(expected, rewards[0])).max()))
        report(f"reward of 250 samples x 5 references, {title}", slow, fast)
        print(f"  largest difference {difference:.1e}")
    print(f"  prepared once in {setup_time:.2f} s for {len(references)} images")


def tokenization(captions: dict[str, list[str]]) -> None:
    all_captions = [caption for image_captions in captions.values() for caption in image_captions][:25_000]
    single = {0: [{"caption": all_captions[0]}]}
    rounds = [
        (
            seconds(lambda: PTBTokenizer().tokenize(single))[0],
            seconds(lambda: [ptb_tokenize(c) for c in all_captions])[0],
        )
        for _ in range(ROUNDS)
    ]
    report("Java's start beside 25,000 captions tokenized", [a for a, _ in rounds], [b for _, b in rounds])


def main(folder: str) -> None:
    captions: dict[str, list[str]] = defaultdict(list)
    for line in (Path(folder) / "captions.en.txt").read_text(encoding="utf-8").splitlines():
        name, caption = line.split("\t")
        captions[name.split("#")[0]].append(caption)
    scores(captions)
    reward(captions)
    tokenization(captions)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
