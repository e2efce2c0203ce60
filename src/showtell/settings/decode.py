"""Settings of search."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from showtell.settings.base import Settings


class DecodeSettings(Settings):
    beam_size: int = Field(5, ge=1, le=64, description="1: greedy search")
    length_penalty: float = Field(
        0.7, ge=0, description="hypotheses rank by sum of log-probabilities / length ** length_penalty"
    )
    min_length: int = Field(1, ge=0, description="tokens")
    max_length: int = Field(30, ge=1, description="tokens")
    truncate: bool = Field(
        False,
        description="max_length counts the end, and a caption may break off there, as in Hugging Face's generate; "
        "false: it needs an end",
    )
    early_stopping: Literal["never", "heuristic"] = Field(
        "never",
        description="never: the search of an image ends when no unfinished hypothesis can still rank among the best, "
        "which is exact; heuristic: also when none would rank among beam_size finished ones if it ended now",
    )
    no_repeat_ngram_size: int = Field(
        3, ge=0, description="an n-gram of this size occurs once per caption; 0: no limit"
    )
    bad_endings: tuple[str, ...] = Field((), description="words that a caption may not end in")
    num_beam_groups: int = Field(1, ge=1, description="groups of diverse beam search; 1: plain beam search")
    diversity_penalty: float = Field(
        0.5, ge=0, allow_inf_nan=False, description="subtracted from a token's score per use by earlier groups"
    )

    rerank_weight: float = Field(
        3.0,
        ge=0,
        allow_inf_nan=False,
        description="of a bundle with a reranker: weight of the expected CIDEr beside the beam's score; 0: the beam's "
        "own order",
    )

    @model_validator(mode="after")
    def _lengths_in_order(self) -> DecodeSettings:
        if self.min_length > self.max_length:
            raise ValueError(f"min_length {self.min_length} is above max_length {self.max_length}")
        return self

    @model_validator(mode="after")
    def _groups_of_equal_size(self) -> DecodeSettings:
        if self.beam_size % self.num_beam_groups:
            raise ValueError(f"beam_size {self.beam_size} is no multiple of num_beam_groups {self.num_beam_groups}")
        return self
