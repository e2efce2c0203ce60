"""The tokens and log-probabilities that two networks are compared on, worked out by hand."""

import numpy as np

from showtell.core.search import Hypothesis
from showtell.export.along_captions import generated_log_probs, pad_captions

EOS = 9
PROMPT = [1, 2]


def hypothesis(tokens: list[int], has_end: bool) -> Hypothesis:
    return Hypothesis(np.array(tokens, np.int64), np.zeros(len(tokens) + has_end, np.float32))


PAIRS = [
    (hypothesis([5, 6], True), hypothesis([5, 6, 7], False)),
    (hypothesis([], True), hypothesis([8], False)),
]


def test_inputs_are_the_prompt_and_what_search_read() -> None:
    tokens, mask = pad_captions(PAIRS, PROMPT)
    # Of a caption that broke off, the last token was never read.
    assert tokens.tolist() == [[[1, 2, 5, 6], [1, 2, 5, 6]], [[1, 2, 1, 1], [1, 2, 1, 1]]]
    assert mask.astype(int).tolist() == [[[1, 1, 1, 1], [1, 1, 1, 1]], [[1, 1, 0, 0], [1, 1, 0, 0]]]


def test_log_probabilities_are_those_of_tokens_after_the_prompt() -> None:
    log_probs = np.arange(2 * 2 * 4 * 10).reshape(2, 2, 4, 10)

    def of(image: int, k: int) -> list[int]:
        steps = generated_log_probs(log_probs, image, k, PAIRS[image][k], PROMPT, EOS)
        return [int(value) for value in steps]

    def at(image: int, k: int, step: int, token: int) -> int:
        return ((image * 2 + k) * 4 + step) * 10 + token

    assert of(0, 0) == [at(0, 0, 1, 5), at(0, 0, 2, 6), at(0, 0, 3, EOS)]
    assert of(0, 1) == [at(0, 1, 1, 5), at(0, 1, 2, 6), at(0, 1, 3, 7)]
    assert of(1, 0) == [at(1, 0, 1, EOS)]
    assert of(1, 1) == [at(1, 1, 1, 8)]
