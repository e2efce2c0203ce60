"""Greedy search and sampling over many images together, and the result type of every search.

A search depends only on a Stepper and rules: ONNX in production, torch in validation and a scripted fake in tests run
the same code.
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
"""From log-probabilities `[B, num, V]` to the next tokens `[B, num]`."""


@dataclass(frozen=True)
class Hypothesis:
    """A finished sentence. `tokens` `[T]` are ids without prompt and end; `log_probs` `[T + 1]` includes the end's.

    A truncated sentence has no end, and `log_probs` `[T]`.
    """

    tokens: Ids
    log_probs: Floats
    attention: Floats | None = field(default=None, repr=False)
    """`[T, S]`, when requested and the network has attention."""

    @property
    def log_prob(self) -> float:
        return float(self.log_probs.sum(dtype=np.float64))

    @property
    def score(self) -> float:
        """Mean log-probability per token, the end, if it has one, included."""
        return self.log_prob / len(self.log_probs)


def greedy(
    stepper: Stepper,
    memory: Any,
    prompt: Ids,
    eos: int,
    rules: Sequence[Rule],
    attention: bool = False,
    truncate_at: int | None = None,
) -> list[Hypothesis]:
    """The most probable token at every step; one hypothesis for each of the B images.

    `prompt` `[B, P]`: the tokens that each image's sentence begins with, such as the start token of its language.
    `truncate_at`: a sentence that has so many tokens without an end is finished as it is.
    """
    results = _decode_loop(
        stepper, memory, prompt, eos, rules, 1, lambda log_probs: log_probs.argmax(-1), attention, truncate_at
    )
    return [hypotheses[0] for hypotheses in results]


def read_prompt(stepper: Stepper, memory: Any, prompt: Ids) -> tuple[Any, Ids]:
    """The state after all tokens of `prompt` `[B, P]` but the last, and that last one, `[B, 1]`: its step gives the
    log-probabilities of the first word. Raises ValueError for an empty prompt."""
    if prompt.ndim != 2 or not prompt.shape[1]:
        raise ValueError(f"found a prompt {list(prompt.shape)}; expected [B, P] with P >= 1")
    state = stepper.init_state(memory)
    for t in range(prompt.shape[1] - 1):
        state = stepper.step(prompt[:, t : t + 1], state).state
    return state, prompt[:, -1:]


def sample(
    stepper: Stepper,
    memory: Any,
    prompt: Ids,
    eos: int,
    rules: Sequence[Rule],
    num: int,
    rng: np.random.Generator,
    temperature: float = 1.0,
    top_p: float = 1.0,
    attention: bool = False,
) -> list[list[Hypothesis]]:
    """`num` sentences per image, each token drawn from the network's distribution after the rules. `prompt` `[B, P]`.

    `temperature` > 0 divides the log-probabilities; `top_p` keeps the most probable tokens that together have this
    probability (nucleus sampling, Holtzman et al. 2020). `log_probs` of a hypothesis stay the network's own. Raises
    ValueError for values out of range.
    """
    if temperature <= 0 or not 0 < top_p <= 1:
        raise ValueError(f"expected temperature > 0 and 0 < top_p <= 1, found {temperature} and {top_p}")

    def draw(log_probs: Floats) -> Ids:
        logits = log_probs.astype(np.float64) / temperature
        logits -= logits.max(-1, keepdims=True)
        if top_p < 1:
            logits = np.where(_nucleus(logits, top_p), logits, -np.inf)
        # The Gumbel-max trick: the argmax of logits plus Gumbel noise is a draw from their softmax.
        tokens: Ids = (logits + rng.gumbel(size=logits.shape)).argmax(-1)
        return tokens

    return _decode_loop(stepper, memory, prompt, eos, rules, num, draw, attention)


def _nucleus(logits: NDArray[np.float64], top_p: float) -> NDArray[np.bool_]:
    """Mask of the most probable tokens that together just reach the probability `top_p`: [..., V] -> [..., V]."""
    probabilities = np.exp(logits)
    probabilities /= probabilities.sum(-1, keepdims=True)
    order = np.argsort(-probabilities, axis=-1, kind="stable")
    ranked = np.take_along_axis(probabilities, order, -1)
    is_inside = ranked.cumsum(-1) - ranked < top_p  # the token that crosses the threshold is still inside
    nucleus: NDArray[np.bool_] = np.zeros_like(is_inside)
    np.put_along_axis(nucleus, order, is_inside, -1)
    return nucleus


def _decode_loop(
    stepper: Stepper,
    memory: Any,
    prompt: Ids,
    eos: int,
    rules: Sequence[Rule],
    num: int,
    choose: Choose,
    attention: bool,
    truncate_at: int | None = None,
) -> list[list[Hypothesis]]:
    """Let `choose` select one token per row `[B, num, V] -> [B, num]` until every row has ended."""
    state, newest = read_prompt(stepper, memory, prompt)
    step = stepper.step(newest, state)
    batch = len(prompt)
    results: list[list[Hypothesis]] = [[] for _ in range(batch)]
    images = np.arange(batch)
    state, log_probs, weights = step.state, step.log_probs, step.attention
    if num > 1:
        state = stepper.reorder(state, images, np.zeros((batch, num), np.int64))
        log_probs = np.repeat(log_probs, num, axis=1)
        weights = None if weights is None else np.repeat(weights, num, axis=1)
    tokens = np.zeros((batch, num, 0), np.int64)
    token_log_probs = np.zeros((batch, num, 0), np.float32)
    maps: list[Floats] = []
    while True:
        allowed = log_probs.copy()
        apply(rules, allowed, tokens)
        # A row that has ended keeps writing the end until its image's last row is done; a row to which the rules leave
        # no token ends there.
        has_ended = (tokens == eos).any(-1) | ~np.isfinite(allowed).any(-1)
        allowed[has_ended] = FORBIDDEN
        allowed[has_ended, eos] = 0
        newest = choose(allowed)[:, :, None]
        tokens = np.concatenate([tokens, newest], 2)
        token_log_probs = np.concatenate([token_log_probs, np.take_along_axis(log_probs, newest, 2)], 2)
        if attention and weights is not None:
            maps.append(weights)
        is_done = (tokens == eos).any(-1).all(-1) | (tokens.shape[2] == truncate_at)
        for b in np.nonzero(is_done)[0]:
            stacked = np.stack([step_map[b] for step_map in maps], 1) if maps else None  # [num, T, S]
            results[images[b]] = [
                _hypothesis(tokens[b, k], token_log_probs[b, k], None if stacked is None else stacked[k], eos)
                for k in range(num)
            ]
        if is_done.all():
            return results
        rows = np.nonzero(~is_done)[0]
        if is_done.any():
            images, tokens, token_log_probs = images[rows], tokens[rows], token_log_probs[rows]
            maps = [step_map[rows] for step_map in maps]
            state = stepper.reorder(state, rows, np.tile(np.arange(num), (len(rows), 1)))
        step = stepper.step(tokens[:, :, -1], state)
        state, log_probs, weights = step.state, step.log_probs, step.attention


def _hypothesis(tokens: Ids, log_probs: Floats, attention: Floats | None, eos: int) -> Hypothesis:
    is_end = tokens == eos
    length = int(np.argmax(is_end)) if is_end.any() else len(tokens)
    return Hypothesis(tokens[:length], log_probs[: length + 1], None if attention is None else attention[:length])
