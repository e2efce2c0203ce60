"""BLIP (Li et al. 2022), `BlipForConditionalGeneration`: a Vision Transformer, and BERT's layers with
cross-attention."""

from __future__ import annotations

from transformers import BlipConfig

from showtell.hub.checkpoint import Checkpoint
from showtell.hub.families.bert import map_blip_text
from showtell.hub.families.mapping import Family, Mapped, finish, parse_config, refuse_options
from showtell.hub.families.vision_transformers import map_blip as map_vision


def map_model(checkpoint: Checkpoint, image_size: int | None = None) -> Mapped:
    config = parse_config(BlipConfig, checkpoint.config)
    text, vision = config.text_config, config.vision_config
    refuse_options(text, "text_config", is_decoder=True)
    # transformers ties them when either says so: the whole model and its decoder each have a list of tied tensors.
    tied = config.tie_word_embeddings or text.tie_word_embeddings
    encoder = map_vision(vision, checkpoint, "vision_model.", image_size)
    return finish(checkpoint, encoder, map_blip_text(text, checkpoint, "text_decoder.", tied))


FAMILY = Family("blip", "BlipForConditionalGeneration", takes_prompt=True, map_model=map_model)
