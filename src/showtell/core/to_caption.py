"""From what search has found to a `Caption`: the tokens' text, and words with probability and attention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from showtell.core.bundle import Bundle
from showtell.core.confidence import Calibration, confidence
from showtell.core.search import Hypothesis
from showtell.records import Caption, Word


def to_caption(
    hypothesis: Hypothesis, bundle: Bundle, language: str, prompt: Sequence[int], calibration: Calibration | None
) -> Caption:
    """Join tokens to words: a word's probability is the product of its tokens', its attention their mean. `prompt`: the
    tokens that search began with."""
    tokenizer, manifest = bundle.tokenizer, bundle.manifest
    capitalized = bundle.capitalized.get(language, {})
    words = tokenizer.join_pieces(hypothesis.tokens)
    counts = np.array([count for _, count in words], np.int64)  # tokens of each word
    starts = counts.cumsum() - counts
    log_probs = np.add.reduceat(hypothesis.log_probs[: len(hypothesis.tokens)].astype(np.float64), starts)
    attention = hypothesis.attention
    if attention is not None:
        mean = np.add.reduceat(attention[:, manifest.prefix_regions :], starts) / counts[:, None]  # [T, S]
        attention = mean.reshape(len(words), *manifest.grid).astype(np.float32)
    return Caption(
        text=_with_capitals(tokenizer.decode(hypothesis.tokens, prompt), capitalized),
        score=hypothesis.score,
        confidence=confidence(hypothesis.score, calibration, hypothesis.expected_cider),
        words=tuple(
            Word(_with_capitals(word, capitalized), float(log_prob))
            for (word, _), log_prob in zip(words, log_probs, strict=True)
        ),
        language=language,
        attention=attention,
        prompt=tokenizer.decode((), prompt),
        expected_cider=hypothesis.expected_cider,
    )


def _with_capitals(text: str, capitalized: Mapping[str, str]) -> str:
    if not capitalized:
        return text
    return " ".join(capitalized.get(word, word) for word in text.split(" "))
