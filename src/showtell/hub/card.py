"""The model card of an imported bundle: where it comes from, how it was checked, and how to use it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from showtell.hub.source import Source
from showtell.settings import DecodeSettings, ImportedText, ModelSettings, PixelSettings

TEMPLATE = """# {id}, imported into showtell

{origin} Its weights were mapped into showtell's own networks; its tokenizer and its preprocessing are the original's.

| | |
|---|---|
| from | {source} |
| licence | {licence} |
| family | {family} |
| encoder | {encoder} |
| decoder | {decoder} |
| parameters | {parameters:.1f} million |
| photos | {photos} |
| weights | {weights} |
| captions | {captions} |
| prompt | {prompt} |

## Use

```
showtell caption photo.jpg --model DIR{prompt_option}
{fine_tuning}
```

## Agreement with transformers

{parity}
{int8}{notes}
## Licence and limits

The licence is the original's{licence_again}; this bundle is a copy of its weights. What the model was trained on, and
what it is not good for, is in the original's model card.
"""


@dataclass(frozen=True)
class CardFacts:
    source: Source
    family: str
    model_class: str
    model: ModelSettings
    parameters: int
    pixels: PixelSettings
    text: ImportedText
    decode: DecodeSettings
    notes: Sequence[str]
    """Settings of the original that are not followed."""
    parity: str
    """A Markdown table."""
    int8: str | None
    """What int8 costs; None for half precision."""


def model_card(facts: CardFacts) -> str:
    """Markdown, without paths of this machine."""
    source, text = facts.source, facts.text
    licence = source.licence or "not stated by the original"
    return TEMPLATE.format(
        id=source.id,
        origin=f"A captioning model of the Hugging Face hub, <https://huggingface.co/{source.id}>."
        if source.revision
        else "A captioning model from a folder in Hugging Face's form.",
        source=f"`{source.id}`, revision `{source.revision}`" if source.revision else f"the folder `{source.id}`",
        licence=licence,
        licence_again=f", {source.licence}" if source.licence else "",
        family=f"{facts.family} ({facts.model_class})",
        encoder=_encoder(facts.model),
        decoder=_decoder(facts.model),
        parameters=facts.parameters / 1e6,
        photos=_photos(facts.pixels),
        weights="int8, computed in int8 and float32"
        if facts.int8
        else "half precision on the disk, computed in float32",
        captions=_captions(facts.decode),
        prompt=_prompt(text),
        prompt_option=' --prompt "a photo of"' if text.takes_prompt else "",
        fine_tuning="# int8 weights cannot be fine-tuned: import the model with --precision half for that"
        if facts.int8
        else "showtell train finetune train.start_from=DIR data=folder:my-photos",
        parity=facts.parity,
        int8=f"\n## What int8 costs\n\n{facts.int8}\n" if facts.int8 else "",
        notes=_notes(facts.notes),
    )


def _encoder(model: ModelSettings) -> str:
    options = "".join(f", {key} {value}" for key, value in model.encoder.timm_kwargs.items())
    return f"timm's `{model.encoder.name}`{options}"


def _decoder(model: ModelSettings) -> str:
    """Kind and sizes; the bundle's manifest has all settings."""
    settings = model.decoder.model_dump()
    sizes = ", ".join(f"{key} {settings[key]}" for key in ("layers", "width", "heads", "ffn_dim") if key in settings)
    return f"{settings['kind'].replace('_', ' ')}, {sizes}"


def _photos(pixels: PixelSettings) -> str:
    side = f"{pixels.size} x {pixels.size} pixels, {pixels.interpolation}"
    ways = {
        "squash": "the whole photo, aspect ratio not kept",
        "center": "the largest square in the middle",
        "shortest_edge": "resized by the shorter side",
        "pad": "resized by the longer side and padded",
    }
    crop = f" to {pixels.resize_size}, and the middle cut out" if pixels.resize_size else ""
    return f"{side}; {ways[pixels.crop_mode]}{crop}"


def _captions(decode: DecodeSettings) -> str:
    search = "greedy search" if decode.beam_size == 1 else f"beam size {decode.beam_size}"
    parts = [search, f"length penalty {decode.length_penalty:g}", f"{decode.min_length} to {decode.max_length} tokens"]
    if decode.no_repeat_ngram_size:
        parts.append(f"no {decode.no_repeat_ngram_size}-gram twice")
    return ", ".join(parts)


def _prompt(text: ImportedText) -> str:
    if not text.takes_prompt:
        return "none is taken"
    return f"`{text.prompt}` by default" if text.prompt else "none by default; --prompt gives the beginning of captions"


def _notes(notes: Sequence[str]) -> str:
    if not notes:
        return ""
    lines = "".join(f"- {note}\n" for note in notes)
    return f"\n## Settings of the original that are not followed\n\n{lines}"
