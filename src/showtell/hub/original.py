"""What the folder of a model says, besides its weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from showtell.core.imported_tokenizer import ImportedTokenizer
from showtell.errors import BadConfig
from showtell.hub.families import Family, family_of
from showtell.hub.generation import decode_settings, read_generation
from showtell.hub.processor import pixel_settings
from showtell.hub.source import Source
from showtell.hub.text import fit_vocabulary as fit_backend
from showtell.hub.text import imported_text, load_backend, prompt_length
from showtell.settings import DecodeSettings, PixelSettings


@dataclass(frozen=True)
class Original:
    source: Source
    family: Family
    pixels: PixelSettings
    tokenizer: ImportedTokenizer
    decode: DecodeSettings
    notes: tuple[str, ...]
    """Settings of the original that are not followed."""


def read_original(source: Source, config: dict[str, Any], language: str, prompt: str | None) -> Original:
    """Raises BadConfig for what cannot be imported."""
    family = family_of(config)
    generation = read_generation(source.folder, config)
    backend = load_backend(source.folder)
    text = imported_text(family, config, generation, backend, prompt)
    decode, notes = decode_settings(generation, prompt_length(text, backend))
    tokenizer = ImportedTokenizer(backend, [language], text)
    return Original(source, family, pixel_settings(source.folder), tokenizer, decode, tuple(notes))


@contextmanager
def readable(folder: Path) -> Iterator[None]:
    """What a person may have edited, or a script may have written: a setting of any type and size, in any file, is one
    sentence. Those that are likely have sentences of their own, where they are read."""
    try:
        yield
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise _unusable(folder, f"{name} {first['input']!r}: {first['msg']}") from error
    except (ValueError, TypeError, ArithmeticError, AttributeError, LookupError, RuntimeError) as error:
        raise _unusable(folder, " ".join(str(error).split()) or type(error).__name__) from error


def _unusable(folder: Path, reason: str) -> BadConfig:
    return BadConfig(
        f"{folder}: a setting in its .json files cannot be used ({reason}); expected those that save_pretrained wrote"
    )


def fit_vocabulary(original: Original, vocab_size: int) -> Original:
    """The tokenizer without tokens that the network lacks. Raises BadConfig when they are needed. `vocab_size`: the
    network's."""
    tokenizer, text = original.tokenizer, original.tokenizer.text
    for name, ids in (("start", text.bos_ids), ("end", (text.eos_id,)), ("suppressed", text.banned_ids)):
        if max(ids, default=0) >= vocab_size:
            raise BadConfig(
                f"found the {name} token {max(ids)}; the network has {vocab_size} tokens; expected a smaller id in "
                "config.json or generation_config.json"
            )
    backend = fit_backend(tokenizer.backend, vocab_size)
    return replace(original, tokenizer=ImportedTokenizer(backend, tokenizer.languages, text))


def fit_positions(original: Original, max_positions: int) -> Original:
    """Captions no longer than the position embeddings allow, as `generate` does. `max_positions`: after the start.

    Raises BadConfig when the prompt leaves no room."""
    prompt = len(original.tokenizer.prompt_ids(original.tokenizer.languages[0]))
    room = max_positions + 1 - prompt
    decode = original.decode
    if decode.max_length <= room:
        return original
    if room < 1:
        raise BadConfig(
            f"found {prompt} tokens of --prompt; the model has positions for {max_positions + 1}; shorten it"
        )
    note = f"max_length: of {decode.max_length} generated tokens, the model has positions for {room}"
    shorter = {"max_length": room, "min_length": min(decode.min_length, room)}
    return replace(original, decode=decode.model_copy(update=shorter), notes=(*original.notes, note))
