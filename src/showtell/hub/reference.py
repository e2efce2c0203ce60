"""The original in transformers, with the numbers that our bundle stores, and what it says and writes.

Our bundle has half-precision weights. Compared with the original's own weights, captions would differ by what that
rounding costs, and no bound could tell it from a fault in the mapping. So transformers gets the rounded weights, and
both compute with the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import safe_open
from torch import Tensor

from showtell.errors import BadWeights
from showtell.hub.checkpoint import Checkpoint
from showtell.hub.families.mapping import Family, Mapped, parse_config
from showtell.settings import DecodeSettings

HALF = "F16"
"""safetensors' name of half precision."""


def load_reference(checkpoint: Checkpoint, family: Family, mapped: Mapped, weights: Path) -> Any:
    """transformers' model in float32, with its plain attention. `weights`: model.safetensors of the bundle.

    Raises BadWeights when transformers cannot load the model. Nothing is read but config.json and the checkpoint's
    tensors: no pickle, and no code of the repository.
    """
    model_class: Any = getattr(transformers, family.model_class)
    config = parse_config(model_class.config_class, checkpoint.config)
    with safe_open(str(weights), framework="pt") as stored:
        halves = {name for name in stored.keys() if stored.get_slice(name).get_dtype() == HALF}  # noqa: SIM118
        # Constants of the graphs, such as sinusoids, are in the file and in no plan.
        rounded = {theirs for ours in halves & mapped.plan.keys() for theirs in mapped.plan[ours].names}
        # Of equal tensors only one is rounded, and transformers does not tie tensors that differ.
        names = [name for name in checkpoint.names if name not in checkpoint.copies]
        tensors = {name: _rounded(checkpoint.take(name), name in rounded) for name in names}
        model = _load(model_class, config, tensors, checkpoint.folder)
        for name, adjust in mapped.adjusts.items():
            adjust(model, stored.get_tensor(name).float())
    return model.eval()


def _load(model_class: Any, config: Any, tensors: dict[str, Tensor], folder: Path) -> Any:
    try:
        return model_class.from_pretrained(
            None, config=config, state_dict=tensors, dtype=torch.float32, attn_implementation="eager"
        )
    except Exception as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise BadWeights(f"{folder}: transformers cannot load it ({reason}); expected a model that it can") from error


def _rounded(tensor: Tensor, is_half: bool) -> Tensor:
    return tensor.half().float() if is_half else tensor


@torch.inference_mode()
def generate(
    model: Any, pixels: Tensor, prompt: Sequence[int], settings: DecodeSettings, eos_id: int, banned_ids: Sequence[int]
) -> list[list[int]]:
    """What `generate` writes for pixels [B, 3, H, W], without prompt and end, and with the settings alone: the model's
    own generation_config is left out."""
    inputs = torch.tensor([list(prompt)] * len(pixels))
    config = _generation_config(model, prompt[0], settings, eos_id, banned_ids)
    kind = model.config.model_type
    if kind == "blip":
        model.text_decoder.generation_config = config
        ends = torch.full((len(pixels), 1), eos_id)  # its `generate` cuts off the last token
        rows = model.generate(pixel_values=pixels, input_ids=torch.cat([inputs, ends], 1))
    else:
        model.generation_config = config
        name = "input_ids" if kind == "git" else "decoder_input_ids"
        rows = model.generate(pixel_values=pixels, **{name: inputs})
    generated = (row[len(prompt) :] for row in rows.tolist())
    return [row[: row.index(eos_id)] if eos_id in row else row for row in generated]


def _generation_config(model: Any, start: int, settings: DecodeSettings, eos_id: int, banned_ids: Sequence[int]) -> Any:
    text = getattr(model.config, "text_config", getattr(model.config, "decoder", model.config))
    pad = getattr(text, "pad_token_id", None)
    return transformers.GenerationConfig(  # type: ignore[no-untyped-call]
        num_beams=settings.beam_size,
        early_stopping="never" if settings.beam_size > 1 else False,
        do_sample=False,
        length_penalty=settings.length_penalty,
        no_repeat_ngram_size=settings.no_repeat_ngram_size,
        min_new_tokens=settings.min_length or None,
        max_new_tokens=settings.max_length,
        suppress_tokens=list(banned_ids) or None,
        bos_token_id=start,
        decoder_start_token_id=start,
        eos_token_id=eos_id,
        pad_token_id=eos_id if pad is None else pad,
    )


@torch.inference_mode()
def log_probs(model: Any, pixels: Tensor, tokens: Tensor) -> Tensor:
    """Of the token after each of `tokens` [K, T], for one image [1, 3, H, W] -> [K, T, V]."""
    kind = model.config.model_type
    if kind == "git":
        logits = model(pixel_values=pixels, input_ids=tokens).logits[:, -tokens.shape[1] :]
    elif kind == "blip":
        regions = model.vision_model(pixel_values=pixels).last_hidden_state
        logits = model.text_decoder(input_ids=tokens, encoder_hidden_states=_per_row(regions, tokens)).logits
    else:
        regions = model.encoder(pixel_values=pixels).last_hidden_state
        logits = model(encoder_outputs=(_per_row(regions, tokens),), decoder_input_ids=tokens).logits
    scores: Tensor = logits.log_softmax(-1)
    return scores


def _per_row(regions: Tensor, tokens: Tensor) -> Tensor:
    return regions.repeat(len(tokens), 1, 1)  # GPT-2 needs them contiguous
