"""Decode settings put to work: which rules, which search."""

from __future__ import annotations

from typing import Any

import numpy as np

from showtell.core.beam import beam_search
from showtell.core.diverse import diverse_beam_search
from showtell.core.rules import Ban, MaxLength, MinLength, NoBadEnding, NoRepeatNgram, Rule
from showtell.core.search import Hypothesis, greedy
from showtell.core.stepper import Stepper
from showtell.core.text import Text
from showtell.settings import DecodeSettings


def decode(
    stepper: Stepper,
    memory: Any,
    count: int,
    text: Text,
    language: str,
    settings: DecodeSettings,
    num: int = 1,
    attention: bool = False,
) -> list[list[Hypothesis]]:
    """Up to `num` sentences for each of the `count` images of a memory, best first.

    `beam` 1 is greedy search; with several `groups` the best of each group come first.
    """
    starts = np.full(count, text.starts[language])
    rules = rules_for(settings, text)
    if settings.beam == 1:
        rules.append(MaxLength(settings.max_length, text.end))
        return [[best] for best in greedy(stepper, memory, starts, text.end, rules, attention)]
    what = stepper, memory, starts, text.end, rules, settings.beam
    how = settings.max_length, settings.length_exponent, num, attention
    if settings.groups > 1:
        return diverse_beam_search(*what, settings.groups, settings.diversity, *how)
    return beam_search(*what, *how)


def rules_for(settings: DecodeSettings, text: Text) -> list[Rule]:
    """All rules but the greatest length, which a beam search keeps itself."""
    rules: list[Rule] = [Ban(text.special_ids)]
    if settings.min_length:
        rules.append(MinLength(settings.min_length, text.end))
    if settings.no_repeat_ngram:
        rules.append(NoRepeatNgram(settings.no_repeat_ngram))
    if settings.bad_endings:
        rules.append(NoBadEnding(text.ids(settings.bad_endings), text.end, settings.max_length))
    return rules
