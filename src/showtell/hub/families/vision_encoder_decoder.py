"""`VisionEncoderDecoderModel`: any of the encoders with any of the decoders. Between different widths is a linear
layer, `enc_to_dec_proj`, unless the decoder's cross-attention takes the encoder's width."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from transformers import (
    BeitConfig,
    BertConfig,
    DeiTConfig,
    Dinov2Config,
    GPT2Config,
    PreTrainedConfig,
    RobertaConfig,
    SwinConfig,
    TrOCRConfig,
    ViTConfig,
)

from showtell.errors import BadConfig
from showtell.hub.checkpoint import Checkpoint, merged
from showtell.hub.families.beit import map_beit
from showtell.hub.families.bert import map_bert, map_roberta
from showtell.hub.families.gpt2 import map_gpt2
from showtell.hub.families.mapping import DecoderMapping, EncoderMapping, Family, Mapped, finish, parse_config, renamed
from showtell.hub.families.swin import map_swin
from showtell.hub.families.trocr import map_trocr
from showtell.hub.families.vision_transformers import map_dinov2, map_vit

PROJECTION = "enc_to_dec_proj"
EncoderMapper = Callable[[Any, Checkpoint, str, int | None], EncoderMapping]
DecoderMapper = Callable[[Any, Checkpoint, str, bool], DecoderMapping]
ENCODERS: dict[str, tuple[type[PreTrainedConfig], EncoderMapper]] = {
    "vit": (ViTConfig, map_vit),
    "deit": (DeiTConfig, map_vit),
    "beit": (BeitConfig, map_beit),
    "swin": (SwinConfig, map_swin),
    "dinov2": (Dinov2Config, map_dinov2),
}
DECODERS: dict[str, tuple[type[PreTrainedConfig], DecoderMapper]] = {
    "gpt2": (GPT2Config, map_gpt2),
    "bert": (BertConfig, map_bert),
    "roberta": (RobertaConfig, map_roberta),
    "trocr": (TrOCRConfig, map_trocr),
}


def map_model(checkpoint: Checkpoint, image_size: int | None = None) -> Mapped:
    encoder_config, map_encoder = _part(checkpoint, "encoder", ENCODERS)
    decoder_config, map_decoder = _part(checkpoint, "decoder", DECODERS)
    encoder = map_encoder(encoder_config, checkpoint, "encoder.", image_size)
    memory_width = getattr(decoder_config, "cross_attention_hidden_size", None)
    if memory_width not in (None, encoder.channels):
        raise BadConfig(
            f"config.json: decoder.cross_attention_hidden_size is {memory_width}; expected the encoder's width, "
            f"{encoder.channels}"
        )
    projected = memory_width is None and decoder_config.hidden_size != encoder.channels
    decoder = map_decoder(decoder_config, checkpoint, "decoder.", projected)
    if encoder.output_norm is not None:
        decoder = _with_input_norm(decoder, *encoder.output_norm)
    if projected:
        decoder = decoder._replace(plan=merged(decoder.plan, renamed("region_projection.1", PROJECTION)))
    else:
        checkpoint.ignore(rf"{PROJECTION}\..*", "not used between equal widths")
    return finish(checkpoint, encoder, decoder)


def _with_input_norm(decoder: DecoderMapping, norm: str, eps: float) -> DecoderMapping:
    settings = decoder.settings.model_copy(update={"input_norm": True, "input_norm_eps": eps})
    return decoder._replace(settings=settings, plan=merged(decoder.plan, renamed("region_projection.0", norm)))


def _part(checkpoint: Checkpoint, part: str, known: dict[str, tuple[type[PreTrainedConfig], Any]]) -> tuple[Any, Any]:
    """The configuration and the mapping of encoder or decoder."""
    config = checkpoint.config.get(part)
    kind = config.get("model_type") if isinstance(config, dict) else None
    if not isinstance(config, dict) or kind not in known:
        raise BadConfig(f"config.json: {part}.model_type is {kind!r}; expected one of {', '.join(known)}")
    config_class, mapper = known[kind]
    return parse_config(config_class, config, f"config.json: {part}"), mapper


FAMILY = Family("vision-encoder-decoder", "VisionEncoderDecoderModel", takes_prompt=False, map_model=map_model)
