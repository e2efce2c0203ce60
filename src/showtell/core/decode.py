"""From decode settings to a search with its rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from showtell.core.beam import beam_search
from showtell.core.diverse import diverse_beam_search
from showtell.core.reranker import Reranker
from showtell.core.rules import AnyRule, Ban, MaxLength, MinLength, NoBadEnding, NoRepeatNgram
from showtell.core.search import Hypothesis, greedy
from showtell.core.stepper import POOLED, Stepper
from showtell.core.tokenizer import AnyTokenizer
from showtell.settings import DecodeSettings


def decode(
    stepper: Stepper,
    memory: Any,
    batch: int,
    tokenizer: AnyTokenizer,
    language: str,
    settings: DecodeSettings,
    num: int = 1,
    attention: bool = False,
    prompt: str | None = None,
    reranker: Reranker | None = None,
) -> list[list[Hypothesis]]:
    """Up to `num` hypotheses for each of the `batch` images of a memory, best first.

    `beam_size` 1 is greedy search; with several `num_beam_groups` the best of each group come first. `prompt`: the
    beginning of every caption; None: the model's own. Hypotheses hold what comes after it. A `reranker` chooses among
    all hypotheses of a beam; groups stay as they are, for they are to differ. Raises BadConfig for a model that takes
    no prompt.
    """
    search = stepper, memory, batch, tokenizer, language, settings
    if reranker is None or language not in reranker.languages:
        return _search(*search, num, attention, prompt)
    weight = settings.rerank_weight if settings.num_beam_groups == 1 else 0.0
    found = _search(*search, settings.beam_size if weight else num, attention, prompt)
    first = memory[0] if isinstance(memory, list) else memory  # of an ensemble, each member's
    ranked = reranker.rank(language, first[POOLED], found, weight, settings.length_penalty)
    return [hypotheses[:num] for hypotheses in ranked]


def _search(
    stepper: Stepper,
    memory: Any,
    batch: int,
    tokenizer: AnyTokenizer,
    language: str,
    settings: DecodeSettings,
    num: int,
    attention: bool,
    prompt: str | None,
) -> list[list[Hypothesis]]:
    prompt_ids, eos = tokenizer.prompt_ids(language, prompt), tokenizer.eos_id
    prompts = np.tile(np.array(prompt_ids, np.int64), (batch, 1))
    rules = build_rules(settings, tokenizer, prompt_ids)
    if settings.beam_size == 1:
        truncate_at = settings.max_length if settings.truncate else None
        if truncate_at is None:
            rules.append(MaxLength(settings.max_length, eos))
        return [[best] for best in greedy(stepper, memory, prompts, eos, rules, attention, truncate_at)]
    inputs = stepper, memory, prompts, eos, rules, settings.beam_size
    options = settings.max_length, settings.length_penalty, num, attention, settings.truncate
    heuristic = settings.early_stopping == "heuristic"
    if settings.num_beam_groups > 1:
        return diverse_beam_search(*inputs, settings.num_beam_groups, settings.diversity_penalty, *options, heuristic)
    return beam_search(*inputs, *options, heuristic)


def build_rules(settings: DecodeSettings, tokenizer: AnyTokenizer, prompt_ids: Sequence[int] = ()) -> list[AnyRule]:
    """All rules but `MaxLength`, which beam search adds itself."""
    rules: list[AnyRule] = [Ban(tokenizer.banned_ids)]
    if settings.min_length:
        rules.append(MinLength(settings.min_length, tokenizer.eos_id))
    if settings.no_repeat_ngram_size:
        rules.append(NoRepeatNgram(settings.no_repeat_ngram_size, prompt_ids))
    if settings.bad_endings:
        ids = tokenizer.tokens_to_ids(settings.bad_endings)
        rules.append(NoBadEnding(ids, tokenizer.eos_id, settings.max_length))
    return rules
