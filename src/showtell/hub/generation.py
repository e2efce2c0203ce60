"""What `generation_config.json` says, as `DecodeSettings`.

transformers reads the file, or the same keys in `config.json` and its decoder's section where older models have them.
What a setting means is transformers' `generate`: lengths count the prompt, and 20 new tokens are the default. Settings
that search has no equivalent of are returned as notes, which the importer prints and the model card lists.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from showtell.errors import BadConfig
from showtell.settings import DecodeSettings

FILE: Final = "generation_config.json"
DEFAULT_NEW_TOKENS: Final = 20
MAX_BEAMS: Final = 64
_NEUTRAL: Final[dict[str, tuple[Any, ...]]] = {
    "do_sample": (False,),
    "repetition_penalty": (1.0,),
    "begin_suppress_tokens": ((), []),
    "forced_bos_token_id": (),
    "forced_eos_token_id": (),
    "exponential_decay_length_penalty": (),
    "sequence_bias": (),
    "guidance_scale": (1.0,),
    "stop_strings": (),
    "constraints": (),
    "force_words_ids": (),
    "penalty_alpha": (),
    "dola_layers": (),
    "watermarking_config": (),
    "renormalize_logits": (False,),
    "max_time": (),
}
"""Settings that change captions and are not followed, with the values (besides none) that change nothing."""


@dataclass(frozen=True)
class Generation:
    """The generation settings of a model's folder."""

    config: Any
    """transformers' GenerationConfig."""
    banned_ids: tuple[int, ...]
    """Tokens that are never generated."""
    notes: tuple[str, ...] = field(default=())
    """What is not followed, a sentence each."""

    @property
    def eos_ids(self) -> tuple[int, ...]:
        return _ids(self.config.eos_token_id)

    @property
    def start_id(self) -> int | None:
        """The first token of an encoder-decoder model, in `generate`'s order of precedence."""
        config = self.config
        found = config.decoder_start_token_id if config.decoder_start_token_id is not None else config.bos_token_id
        return None if found is None else int(found)


def read_generation(folder: Path, config: dict[str, Any]) -> Generation:
    """`config`: the content of `config.json`. Raises BadConfig for a file that cannot be read."""
    from transformers import GenerationConfig

    try:
        if (folder / FILE).exists():
            found = GenerationConfig.from_pretrained(folder, local_files_only=True)
        else:
            # A copy: transformers removes keys.
            found = GenerationConfig.from_model_config(dict(config))
    except Exception as error:
        reason = str(error).strip().splitlines()[0]
        raise BadConfig(f"{folder / FILE}: cannot be read ({reason}); correct or remove it") from error
    banned, notes = _banned(found)
    notes += [
        f"{name} {value} is not followed"
        for name, neutral in _NEUTRAL.items()
        if (value := getattr(found, name)) is not None and value not in neutral
    ]
    return Generation(found, banned, tuple(notes))


def decode_settings(generation: Generation, prompt_length: int) -> tuple[DecodeSettings, list[str]]:
    """`prompt_length`: the tokens before the first generated one, which `max_length` and `min_length` count. The second
    result are the notes, those of `generation` included."""
    config, notes = generation.config, list(generation.notes)
    beams = _value(config.num_beams, 1)
    if beams > MAX_BEAMS:
        notes.append(f"num_beams {beams}: {MAX_BEAMS} are used")
        beams = MAX_BEAMS
    length_penalty = float(_value(config.length_penalty, 1.0))
    if length_penalty < 0:
        notes.append(f"length_penalty {length_penalty:g}, which prefers short captions: 0 is used")
        length_penalty = 0.0
    if beams > 1 and config.early_stopping is True:
        notes.append(
            "early_stopping true: search goes on until no better caption is possible, as with early_stopping='never'"
        )
    if _value(config.num_beam_groups, 1) > 1:
        # Rejected: our diverse beam search. transformers runs this only with remote code from the hub, so that nothing
        # could prove that they agree.
        notes.append(f"num_beam_groups {config.num_beam_groups}: plain beam search is used")
    max_length, min_length = _lengths(config, prompt_length)
    if min_length > max_length:
        notes.append(f"min_length: {min_length} generated tokens are more than the {max_length} of max_length")
        min_length = max_length
    settings = DecodeSettings(
        beam_size=beams,
        length_penalty=length_penalty,
        min_length=min_length,
        max_length=max_length,
        truncate=True,
        no_repeat_ngram_size=_value(config.no_repeat_ngram_size, 0),
        bad_endings=(),
    )
    return settings, notes


def _lengths(config: Any, prompt_length: int) -> tuple[int, int]:
    """Most and fewest generated tokens: `max_new_tokens`, or `max_length` less the prompt."""
    if config.max_new_tokens is not None:
        longest = config.max_new_tokens
    elif config.max_length is not None:
        longest = config.max_length - prompt_length
    else:
        longest = DEFAULT_NEW_TOKENS
    if longest < 1:
        raise BadConfig(
            f"found a max_length of {config.max_length} tokens and {prompt_length} before the first generated one; "
            "expected room for one more: give a shorter --prompt, or a larger max_length in generation_config.json"
        )
    shortest = config.min_new_tokens
    if shortest is None:
        shortest = max(0, _value(config.min_length, 0) - prompt_length)
    return int(longest), int(shortest)


def _banned(config: Any) -> tuple[tuple[int, ...], list[str]]:
    """`suppress_tokens`, and those of `bad_words_ids` that are one token; a note on the others. As in `generate`, the
    end is no bad word."""
    banned, notes = set(_ids(config.suppress_tokens)), []
    words = [tuple(word) for word in config.bad_words_ids or ()]
    banned |= {word[0] for word in words if len(word) == 1} - set(_ids(config.eos_token_id))
    if several := sum(len(word) > 1 for word in words):
        notes.append(f"bad_words_ids: {several} of several tokens are not followed")
    return tuple(sorted(banned)), notes


def _ids(found: Any) -> tuple[int, ...]:
    if found is None:
        return ()
    return (int(found),) if isinstance(found, int) else tuple(map(int, found))


def _value(found: Any, default: Any) -> Any:
    return default if found is None else found
