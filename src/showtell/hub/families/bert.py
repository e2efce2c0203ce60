"""BERT, RoBERTa and BLIP's text decoder -> our post-norm decoder with a norm on embeddings and a layer before the
output; GIT has BERT's layers, too.

Embeddings of token types are those of the first type at every position, so they are added to the positions'.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor

from showtell.errors import BadConfig
from showtell.hub.checkpoint import Checkpoint, Plan, Source, merged, same
from showtell.hub.families.mapping import (
    Adjust,
    DecoderMapping,
    activation,
    refuse_options,
    renamed,
    word_tables,
)
from showtell.settings.decoder import TransformerSettings


def map_bert(config: Any, checkpoint: Checkpoint, prefix: str, projected: bool) -> DecoderMapping:
    """`projected`: whether the encoder's features come through a linear layer."""
    _ignore_rest(checkpoint, prefix, "bert")
    refuse_options(config, "decoder", is_decoder=True, add_cross_attention=True)
    checkpoint.ignore(rf"{prefix}cls\.seq_relationship\..*", "of pretraining")
    head = f"{prefix}cls.predictions."
    layers = (f"{head}transform.dense", f"{head}transform.LayerNorm")
    return _map(config, checkpoint, f"{prefix}bert.", projected, head, layers, offset=0, token_types=True)


def map_blip_text(config: Any, checkpoint: Checkpoint, prefix: str, tied: bool) -> DecoderMapping:
    """BLIP's decoder: BERT without token types."""
    _ignore_rest(checkpoint, prefix, "bert")
    head = f"{prefix}cls.predictions."
    layers = (f"{head}transform.dense", f"{head}transform.LayerNorm")
    return _map(config, checkpoint, f"{prefix}bert.", False, head, layers, offset=0, token_types=False, tied=tied)


def map_roberta(config: Any, checkpoint: Checkpoint, prefix: str, projected: bool) -> DecoderMapping:
    """Its positions begin after the padding id's."""
    _ignore_rest(checkpoint, prefix, "roberta")
    refuse_options(config, "decoder", is_decoder=True, add_cross_attention=True)
    refuse_options(config, "decoder", hidden_act="gelu")  # its output layer has GELU, whatever its layers have
    if config.pad_token_id is None:
        raise BadConfig("config.json: decoder.pad_token_id is null; expected the id that RoBERTa's positions follow")
    head = f"{prefix}lm_head."
    layers = (f"{head}dense", f"{head}layer_norm")
    offset = config.pad_token_id + 1
    return _map(config, checkpoint, f"{prefix}roberta.", projected, head, layers, offset, token_types=True)


def _ignore_rest(checkpoint: Checkpoint, prefix: str, base: str) -> None:
    checkpoint.ignore(rf"{prefix}{base}\.pooler\..*", "a caption needs no pooled vector")
    checkpoint.ignore(rf"{prefix}{base}\.embeddings\.(position_ids|token_type_ids)", "computed")


def _map(
    config: Any,
    checkpoint: Checkpoint,
    base: str,
    projected: bool,
    head: str,
    transform: tuple[str, str],
    offset: int,
    token_types: bool,
    tied: bool | None = None,
) -> DecoderMapping:
    """`offset`: the row of the first token's position."""
    refuse_options(config, "decoder", position_embedding_type="absolute")
    tied = config.tie_word_embeddings if tied is None else tied
    embeddings = f"{base}embeddings."
    words = word_tables(checkpoint, f"{embeddings}word_embeddings.weight", f"{head}decoder.weight", tied)
    has_output = "output.weight" in words
    settings = TransformerSettings(
        width=config.hidden_size,
        layers=config.num_hidden_layers,
        heads=config.num_attention_heads,
        ffn_dim=config.intermediate_size,
        dropout=config.hidden_dropout_prob,
        norm="post",
        norm_eps=config.layer_norm_eps,
        activation=activation(config, "decoder"),
        max_positions=config.max_position_embeddings - offset,
        embedding_norm=True,
        region_position_embedding="none",
        input_norm=False,
        region_projection=projected,
        final_norm=False,
        output_transform=True,
        tie_weights=not has_output,
    )
    names = [f"{embeddings}position_embeddings.weight"]
    names += [f"{embeddings}token_type_embeddings.weight"] if token_types else []
    plan = merged(
        words,
        {
            "position_embedding": Source(tuple(names), partial(_positions, offset=offset)),
            "output.bias" if has_output else "output_bias": same(_output_bias(checkpoint, head, tied)),
        },
        renamed("embedding_norm", f"{embeddings}LayerNorm"),
        *(bert_layer(f"{base}encoder.layer.{i}.", f"layers.{i}.", True) for i in range(config.num_hidden_layers)),
        renamed("output_transform.linear", transform[0]),
        renamed("output_transform.norm", transform[1]),
    )
    set_positions = partial(_set_positions, module=embeddings.removesuffix("."), offset=offset)
    adjust = Adjust("position_embedding", set_positions) if token_types else None
    return DecoderMapping(settings, plan, config.vocab_size, settings.max_positions or 0, adjust)


def bert_layer(theirs: str, ours: str, has_cross_attention: bool) -> Plan:
    cross = _attention(f"{theirs}crossattention", f"{ours}cross_attention") if has_cross_attention else {}
    return merged(
        _attention(f"{theirs}attention", f"{ours}self_attention"),
        cross,
        renamed(f"{ours}fc1", f"{theirs}intermediate.dense"),
        renamed(f"{ours}fc2", f"{theirs}output.dense"),
        renamed(f"{ours}ffn_norm", f"{theirs}output.LayerNorm"),
    )


def _attention(theirs: str, ours: str) -> Plan:
    return merged(
        *(renamed(f"{ours}.{part}", f"{theirs}.self.{part}") for part in ("query", "key", "value")),
        renamed(f"{ours}.output", f"{theirs}.output.dense"),
        renamed(f"{ours}_norm", f"{theirs}.output.LayerNorm"),
    )


def _output_bias(checkpoint: Checkpoint, head: str, tied: bool) -> str:
    """The bias has two names for one tensor. transformers adds `decoder.bias`, unless the file has only the other."""
    of_layer, alone = f"{head}decoder.bias", f"{head}bias"
    if of_layer in checkpoint or not tied:
        checkpoint.ignore(alone.replace(".", r"\."), "not added where the layer has a bias")
        return of_layer
    return alone


def _positions(table: Tensor, types: Tensor | None = None, offset: int = 0) -> Tensor:
    table = table[offset:]
    return table if types is None else table + types[0]


def _set_positions(reference: Any, table: Tensor, module: str, offset: int) -> None:
    embeddings = reference.get_submodule(module)
    embeddings.token_type_embeddings.weight.data[0] = 0
    embeddings.position_embeddings.weight.data[offset:] = table
