"""TrOCR's decoder (a BART decoder) -> our post-norm decoder. Its sinusoids are in another order than Vaswani et al.'s
and become a table like a learned one; fine-tuning may then change them."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor
from transformers.models.trocr.modeling_trocr import TrOCRSinusoidalPositionalEmbedding

from showtell.errors import BadConfig
from showtell.hub.checkpoint import Checkpoint, Plan, Source, merged
from showtell.hub.families.mapping import Adjust, DecoderMapping, activation, renamed, word_tables
from showtell.settings.decoder import TransformerSettings

LEARNED_OFFSET = 2
"""Rows of learned positions before the first token's."""


def map_trocr(config: Any, checkpoint: Checkpoint, prefix: str, projected: bool) -> DecoderMapping:
    """`projected`: whether the encoder's features come through a linear layer."""
    base = f"{prefix}model.decoder."
    checkpoint.ignore(rf"{prefix}model\.decoder\.embed_positions\._float_tensor", "a device's mark")
    checkpoint.ignore(rf"{prefix}model\.decoder\.version", "a number of fairseq")
    tied = config.tie_word_embeddings
    words = word_tables(checkpoint, f"{base}embed_tokens.weight", f"{prefix}output_projection.weight", tied)
    settings = TransformerSettings(
        width=config.d_model,
        layers=config.decoder_layers,
        heads=config.decoder_attention_heads,
        ffn_dim=config.decoder_ffn_dim,
        dropout=config.dropout,
        norm="post",
        norm_eps=1e-5,
        activation=activation(config, "decoder", "activation_function"),
        max_positions=config.max_position_embeddings,
        scale_embedding=config.scale_embedding,
        embedding_norm=config.layernorm_embedding,
        region_position_embedding="none",
        input_norm=False,
        region_projection=projected,
        final_norm=False,
        output_bias=False,
        tie_weights="output.weight" not in words,
    )
    positions, adjust = _positions(config, base)
    embedding_norm = renamed("embedding_norm", f"{base}layernorm_embedding") if config.layernorm_embedding else {}
    plan = merged(
        words,
        {"position_embedding": positions},
        embedding_norm,
        *(_layer(f"{base}layers.{i}.", f"layers.{i}.") for i in range(config.decoder_layers)),
    )
    return DecoderMapping(settings, plan, config.vocab_size, config.max_position_embeddings, adjust)


def _layer(theirs: str, ours: str) -> Plan:
    return merged(
        _attention(f"{theirs}self_attn", f"{ours}self_attention"),
        _attention(f"{theirs}encoder_attn", f"{ours}cross_attention"),
        renamed(f"{ours}fc1", f"{theirs}fc1"),
        renamed(f"{ours}fc2", f"{theirs}fc2"),
        renamed(f"{ours}ffn_norm", f"{theirs}final_layer_norm"),
    )


def _attention(theirs: str, ours: str) -> Plan:
    parts = {"query": "q_proj", "key": "k_proj", "value": "v_proj", "output": "out_proj"}
    return merged(
        *(renamed(f"{ours}.{our_part}", f"{theirs}.{part}") for our_part, part in parts.items()),
        renamed(f"{ours}_norm", f"{theirs}_layer_norm"),
    )


def _positions(config: Any, base: str) -> tuple[Source, Adjust | None]:
    if config.use_learned_position_embeddings:
        return Source((f"{base}embed_positions.weight",), lambda table: table[LEARNED_OFFSET:]), None
    if config.pad_token_id is None:
        raise BadConfig("config.json: decoder.pad_token_id is null; expected the id that sinusoidal positions follow")
    first = config.pad_token_id + 1
    table = TrOCRSinusoidalPositionalEmbedding.get_embedding(
        config.max_position_embeddings + first, config.d_model, config.pad_token_id
    ).float()
    return Source((), lambda: table[first:]), Adjust(
        "position_embedding", partial(_set_positions, before=table[:first])
    )


def _set_positions(reference: Any, positions: Tensor, before: Tensor) -> None:
    """The whole table: transformers 5.24 leaves it without numbers when it loads a checkpoint."""
    table = torch.cat([before, positions])
    reference.decoder.model.decoder.embed_positions.weights = table
