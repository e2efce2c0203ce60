"""Greedy search and sampling over many images together; what every search returns.

A search gets a Stepper and rules and knows nothing else: ONNX in production, torch in validation and a scripted fake in
tests run the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from showtell.core.rules import FORBIDDEN, Rule, apply
from showtell.core.stepper import Floats, Ids, Stepper

Choose = Callable[[Floats], Ids]


@dataclass(frozen=True)
class Hypothesis:
    """One finished sentence. `words` `[T]` are ids without start and end; `log_probs` `[T + 1]` has the end's, too."""

    words: Ids
    log_probs: Floats
    attention: Floats | None = field(default=None, repr=False)
    """`[T, S]`, when asked for and the network can say."""

    @property
    def log_prob(self) -> float:
        return float(self.log_probs.sum(dtype=np.float64))

    @property
    def score(self) -> float:
        """Mean log-probability per word, the end counted as a word."""
        return self.log_prob / len(self.log_probs)


def greedy(
    stepper: Stepper, memory: Any, starts: Ids, end: int, rules: Sequence[Rule], attention: bool = False
) -> list[Hypothesis]:
    """The most probable word at every step; one hypothesis for each of the B images.

    `starts` `[B]`: the start token, that is the language, of each image.
    """
    found = _follow(stepper, memory, starts, end, rules, 1, lambda scores: scores.argmax(-1), attention)
    return [hypotheses[0] for hypotheses in found]


def sample(
    stepper: Stepper,
    memory: Any,
    starts: Ids,
    end: int,
    rules: Sequence[Rule],
    num: int,
    random: np.random.Generator,
    temperature: float = 1.0,
    top_p: float = 1.0,
    attention: bool = False,
) -> list[list[Hypothesis]]:
    """`num` sentences per image, each word drawn from the network's distribution after the rules.

    `temperature` > 0 divides the log-probabilities; `top_p` keeps the most probable words that together have this share
    (nucleus sampling, Holtzman et al. 2020). `log_probs` of a hypothesis stay the network's own. Raises ValueError for
    a temperature or share out of range.
    """
    if temperature <= 0 or not 0 < top_p <= 1:
        raise ValueError(f"expected temperature > 0 and 0 < top_p <= 1, found {temperature} and {top_p}")

    def draw(log_probs: Floats) -> Ids:
        logits = log_probs.astype(np.float64) / temperature
        logits -= logits.max(-1, keepdims=True)
        if top_p < 1:
            logits = np.where(_nucleus(logits, top_p), logits, -np.inf)
        # The Gumbel-max trick: the argmax of logits plus Gumbel noise is a draw from their softmax.
        chosen: Ids = (logits + random.gumbel(size=logits.shape)).argmax(-1)
        return chosen

    return _follow(stepper, memory, starts, end, rules, num, draw, attention)


def _nucleus(logits: NDArray[np.float64], share: float) -> NDArray[np.bool_]:
    """Which words together just reach the share, the most probable first: [..., V] -> [..., V]."""
    probabilities = np.exp(logits)
    probabilities /= probabilities.sum(-1, keepdims=True)
    order = np.argsort(-probabilities, axis=-1, kind="stable")
    ranked = np.take_along_axis(probabilities, order, -1)
    inside = ranked.cumsum(-1) - ranked < share  # the word that crosses the share is still inside
    kept: NDArray[np.bool_] = np.zeros_like(inside)
    np.put_along_axis(kept, order, inside, -1)
    return kept


def _follow(
    stepper: Stepper,
    memory: Any,
    starts: Ids,
    end: int,
    rules: Sequence[Rule],
    num: int,
    choose: Choose,
    attention: bool,
) -> list[list[Hypothesis]]:
    """Let `choose` pick one next word per row `[B, num, V] -> [B, num]` until every row has ended."""
    state = stepper.start(memory)
    step = stepper.step(starts[:, None], state)
    batch = len(starts)
    results: list[list[Hypothesis]] = [[] for _ in range(batch)]
    images = np.arange(batch)
    if num > 1:
        state = stepper.select(step.state, images, np.zeros((batch, num), np.int64))
        log_probs = np.repeat(step.log_probs, num, axis=1)
        looked = None if step.attention is None else np.repeat(step.attention, num, axis=1)
    else:
        state, log_probs, looked = step.state, step.log_probs, step.attention
    words = np.zeros((batch, num, 0), np.int64)
    scores = np.zeros((batch, num, 0), np.float32)
    maps: list[Floats] = []
    while True:
        allowed = log_probs.copy()
        apply(rules, allowed, words)
        # A row that has ended goes on writing the end until its image's last row is done; a row to which the rules
        # leave no word ends there.
        over = (words == end).any(-1) | ~np.isfinite(allowed).any(-1)
        allowed[over] = FORBIDDEN
        allowed[over, end] = 0
        chosen = choose(allowed)
        words = np.concatenate([words, chosen[:, :, None]], 2)
        scores = np.concatenate([scores, np.take_along_axis(log_probs, chosen[:, :, None], 2)], 2)
        if attention and looked is not None:
            maps.append(looked)
        done = (words == end).any(-1).all(-1)
        for b in np.nonzero(done)[0]:
            stack = np.stack([m[b] for m in maps], 1) if maps else None  # [num, T, S]
            results[images[b]] = [
                _hypothesis(words[b, k], scores[b, k], None if stack is None else stack[k], end) for k in range(num)
            ]
        if done.all():
            return results
        keep = np.nonzero(~done)[0]
        if done.any():
            images, words, scores = images[keep], words[keep], scores[keep]
            maps = [m[keep] for m in maps]
            state = stepper.select(state, keep, np.tile(np.arange(num), (len(keep), 1)))
        step = stepper.step(words[:, :, -1], state)
        state, log_probs, looked = step.state, step.log_probs, step.attention


def _hypothesis(words: Ids, scores: Floats, attention: Floats | None, end: int) -> Hypothesis:
    length = int(np.argmax(words == end))
    return Hypothesis(words[:length], scores[: length + 1], None if attention is None else attention[:length])
