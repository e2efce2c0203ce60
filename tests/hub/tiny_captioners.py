"""Captioners of transformers with small random weights, saved as the hub would have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

VOCABULARY, START, END, PAD = 61, 2, 3, 0
ENCODERS = {
    "vit": transformers.ViTConfig,
    "deit": transformers.DeiTConfig,
    "beit": transformers.BeitConfig,
    "swin": transformers.SwinConfig,
    "dinov2": transformers.Dinov2Config,
}
DECODERS = {
    "gpt2": transformers.GPT2Config,
    "bert": transformers.BertConfig,
    "roberta": transformers.RobertaConfig,
    "trocr": transformers.TrOCRConfig,
}
VISION = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}
SWIN = {"image_size": 32, "patch_size": 2, "embed_dim": 16, "depths": [2, 2], "num_heads": [2, 4], "window_size": 4}
BERT = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 24,
}
IDS = {"vocab_size": VOCABULARY, "bos_token_id": START, "eos_token_id": END, "pad_token_id": PAD}
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 24}
TROCR = {
    "d_model": 32,
    "decoder_layers": 2,
    "decoder_attention_heads": 2,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": 24,
}
DEFAULTS: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("vit", "deit", "beit"), VISION),
    "dinov2": {**VISION, "mlp_ratio": 2},
    "swin": SWIN,
    "gpt2": GPT2,
    "bert": BERT,
    "roberta": BERT,
    "trocr": TROCR,
}


def blip(text: dict[str, Any] | None = None, vision: dict[str, Any] | None = None, **options: Any) -> Any:
    vision = {**VISION, **(vision or {})}
    ids = {**IDS, "sep_token_id": END, "encoder_hidden_size": vision["hidden_size"]}
    config = transformers.BlipConfig(text_config={**BERT, **ids, **(text or {})}, vision_config=vision, **options)
    return transformers.BlipForConditionalGeneration(config)


def git(vision: dict[str, Any] | None = None, **options: Any) -> Any:
    config = transformers.GitConfig(vision_config={**VISION, **(vision or {})}, **{**BERT, **IDS, **options})
    return transformers.GitForCausalLM(config)


def encoder_decoder(encoder: str, decoder: str, encoder_options: dict[str, Any] | None = None, **options: Any) -> Any:
    """`options`: of the decoder."""
    encoder_config = ENCODERS[encoder](**{**DEFAULTS[encoder], **(encoder_options or {})})
    flags = {"is_decoder": True, "add_cross_attention": True}
    decoder_config = DECODERS[decoder](**{**DEFAULTS[decoder], **IDS, **flags, **options})
    config = transformers.VisionEncoderDecoderConfig.from_encoder_decoder_configs(encoder_config, decoder_config)
    config.decoder_start_token_id, config.eos_token_id, config.pad_token_id = START, END, PAD
    model = transformers.VisionEncoderDecoderModel(config=config)
    model.generation_config.decoder_start_token_id = START
    model.generation_config.eos_token_id = END
    model.generation_config.pad_token_id = PAD
    return model


def randomise(model: Any, seed: int = 0) -> Any:
    """Every number of the model becomes its own: norms are no identities, biases and tables no zeros. Half precision
    has all of them, and float32 the sum of any two."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        scale = 0.3 if parameter.ndim > 1 else 0.1
        noisy = parameter.data + scale * torch.randn(parameter.shape, generator=generator)
        parameter.data.copy_(noisy.half())
    return model.eval()


def saved(model: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    return folder


def pixels(size: int, count: int = 2, seed: int = 1) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))
