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

from showtell.core.candidates import Best
from showtell.core.rules import AnyRule, Forbidden, forbid, needed
from showtell.core.stepper import Floats, Ids, Step, Stepper

Choose = Callable[[Floats], Ids]
"""From log-probabilities `[B, num, N]`, of all tokens or the best ones, to the index of the next token `[B, num]`."""


@dataclass(frozen=True)
class Hypothesis:
    """A finished sentence. `tokens` `[T]` are ids without prompt and end; `log_probs` `[T + 1]` includes the end's.

    A truncated sentence has no end, and `log_probs` `[T]`.
    """

    tokens: Ids
    log_probs: Floats
    attention: Floats | None = field(default=None, repr=False)
    """`[T, S]`, when requested and the network has attention."""
    expected_cider: float | None = None
    """Where the model has a reranker (`core/reranker`)."""

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
    rules: Sequence[AnyRule],
    attention: bool = False,
    truncate_at: int | None = None,
) -> list[Hypothesis]:
    """The most probable token at every step; one hypothesis for each of the B images.

    `prompt` `[B, P]`: the tokens that each image's sentence begins with, such as the start token of its language.
    `truncate_at`: a sentence that has so many tokens without an end is finished as it is.
    """
    results = _decode_loop(
        *(stepper, memory, prompt, eos, rules, 1, lambda log_probs: log_probs.argmax(-1), True, attention, truncate_at)
    )
    return [hypotheses[0] for hypotheses in results]


def read_prompt(stepper: Stepper, memory: Any, prompt: Ids) -> tuple[Any, Ids]:
    """The state after all tokens of `prompt` `[B, P]` but the last, and that last one, `[B, 1]`: its step gives the
    log-probabilities of the first word. Raises ValueError for an empty prompt."""
    if prompt.ndim != 2 or not prompt.shape[1]:
        raise ValueError(f"found a prompt {list(prompt.shape)}; expected [B, P] with P >= 1")
    state = stepper.init_state(memory)
    for t in range(prompt.shape[1] - 1):
        state = stepper.step(prompt[:, t : t + 1], state, 1).state
    return state, prompt[:, -1:]


def sample(
    stepper: Stepper,
    memory: Any,
    prompt: Ids,
    eos: int,
    rules: Sequence[AnyRule],
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

    return _decode_loop(stepper, memory, prompt, eos, rules, num, draw, False, attention)


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
    rules: Sequence[AnyRule],
    num: int,
    choose: Choose,
    needs_best: bool,
    attention: bool,
    truncate_at: int | None = None,
) -> list[list[Hypothesis]]:
    """Let `choose` select one token per row until every row has ended: of all tokens, or of so many of the best that
    one is allowed (`needs_best`)."""
    batch = len(prompt)
    results: list[list[Hypothesis]] = [[] for _ in range(batch)]
    images = np.arange(batch)
    state, newest = read_prompt(stepper, memory, prompt)
    tokens = np.zeros((batch, num, 0), np.int64)
    token_log_probs = np.zeros((batch, num, 0), np.float32)
    maps: list[Floats] = []
    while True:
        forbidden = forbid(rules, tokens)
        step = stepper.step(newest, state, needed(forbidden, 1) if needs_best else None)
        state, every, weights = step.state, _every_token(step), step.attention
        if newest.shape[1] < num:  # after the prompt
            state = stepper.reorder(state, images, np.zeros((batch, num), np.int64))
            every = Best(np.repeat(every.log_probs, num, axis=1), np.repeat(every.tokens, num, axis=1))
            weights = None if weights is None else np.repeat(weights, num, axis=1)
        newest, log_probs = _next_tokens(every, forbidden, (tokens == eos).any(-1), eos, choose)
        tokens = np.concatenate([tokens, newest[:, :, None]], 2)
        token_log_probs = np.concatenate([token_log_probs, log_probs[:, :, None]], 2)
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
        if is_done.any():
            rows = np.nonzero(~is_done)[0]
            images, tokens, token_log_probs, newest = images[rows], tokens[rows], token_log_probs[rows], newest[rows]
            maps = [step_map[rows] for step_map in maps]
            state = stepper.reorder(state, rows, np.tile(np.arange(num), (len(rows), 1)))


def _every_token(step: Step) -> Best:
    """The tokens that a step gave, with their ids."""
    if step.tokens is not None:
        return Best(step.log_probs, step.tokens)
    return Best(step.log_probs, np.broadcast_to(np.arange(step.log_probs.shape[2]), step.log_probs.shape))


def _next_tokens(
    every: Best, forbidden: Forbidden, has_ended: NDArray[np.bool_], eos: int, choose: Choose
) -> tuple[Ids, Floats]:
    """The next token of every row and its log-probability, `[B, num]` each.

    A row that `has_ended` keeps writing the end until its image's last row is done; a row to which the rules leave no
    token ends there.
    """
    allowed = np.where(forbidden.mask(every.tokens), np.float32(-np.inf), every.log_probs)
    has_ended = has_ended | ~np.isfinite(allowed).any(-1)
    allowed[has_ended] = 0  # nothing is chosen there
    index = choose(allowed)[:, :, None]
    tokens = np.where(has_ended, eos, np.take_along_axis(every.tokens, index, 2)[:, :, 0])
    # An end that is not among the best tokens has no probability: forbidden ones are among them.
    is_token = every.tokens == tokens[:, :, None]
    return tokens, np.where(is_token, every.log_probs, np.float32(-np.inf)).max(-1)


def _hypothesis(tokens: Ids, log_probs: Floats, attention: Floats | None, eos: int) -> Hypothesis:
    is_end = tokens == eos
    length = int(np.argmax(is_end)) if is_end.any() else len(tokens)
    return Hypothesis(tokens[:length], log_probs[: length + 1], None if attention is None else attention[:length])
