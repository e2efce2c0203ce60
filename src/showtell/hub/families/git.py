"""GIT (Wang et al. 2022), `GitForCausalLM` with one image: CLIP's Vision Transformer, and BERT's layers in which tokens
attend to the image's regions as to earlier tokens."""

from __future__ import annotations

from typing import Any

from transformers import GitConfig

from showtell.hub.checkpoint import Checkpoint, merged, same
from showtell.hub.families.bert import bert_layer
from showtell.hub.families.mapping import (
    DecoderMapping,
    Family,
    Mapped,
    activation,
    finish,
    parse_config,
    refuse_options,
    renamed,
    word_tables,
)
from showtell.hub.families.vision_transformers import map_clip
from showtell.settings.decoder import PrefixTransformerSettings


def map_model(checkpoint: Checkpoint, image_size: int | None = None) -> Mapped:
    config = parse_config(GitConfig, checkpoint.config)
    refuse_options(config, "config", num_image_with_embedding=None)  # of models for films
    encoder = map_clip(config.vision_config, checkpoint, "git.image_encoder.vision_model.", image_size)
    return finish(checkpoint, encoder, _map_text(config, checkpoint))


def _map_text(config: Any, checkpoint: Checkpoint) -> DecoderMapping:
    checkpoint.ignore(r"git\.embeddings\.position_ids", "counts up from 0")
    refuse_options(config, "config", position_embedding_type="absolute")
    tied = config.tie_word_embeddings
    words = word_tables(checkpoint, "git.embeddings.word_embeddings.weight", "output.weight", tied)
    has_output = "output.weight" in words
    settings = PrefixTransformerSettings(
        width=config.hidden_size,
        layers=config.num_hidden_layers,
        heads=config.num_attention_heads,
        ffn_dim=config.intermediate_size,
        dropout=config.hidden_dropout_prob,
        norm="post",
        norm_eps=config.layer_norm_eps,
        activation=activation(config, "config"),
        max_positions=config.max_position_embeddings,
        embedding_norm=True,
        region_position_embedding="none",
        input_norm=False,
        projection_norm=True,
        projection_norm_eps=config.vision_config.layer_norm_eps,
        final_norm=False,
        tie_weights=not has_output,
    )
    projection = "git.visual_projection.visual_projection"
    plan = merged(
        words,
        {
            "position_embedding": same("git.embeddings.position_embeddings.weight"),
            "output.bias" if has_output else "output_bias": same("output.bias"),
        },
        renamed("embedding_norm", "git.embeddings.LayerNorm"),
        renamed("region_projection.1", f"{projection}.0"),
        renamed("region_projection.2", f"{projection}.1"),
        *(bert_layer(f"git.encoder.layer.{i}.", f"layers.{i}.", False) for i in range(config.num_hidden_layers)),
    )
    return DecoderMapping(settings, plan, config.vocab_size, config.max_position_embeddings)


FAMILY = Family("git", "GitForCausalLM", takes_prompt=True, map_model=map_model)
