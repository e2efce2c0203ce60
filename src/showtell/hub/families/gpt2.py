"""GPT-2 with cross-attention -> our pre-norm decoder. Its `Conv1D` weights are transposed, and its projections are
fused."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor

from showtell.hub.checkpoint import Checkpoint, Plan, Source, merged, same
from showtell.hub.families.mapping import DecoderMapping, activation, refuse_options, renamed, word_tables
from showtell.settings.decoder import TransformerSettings


def map_gpt2(config: Any, checkpoint: Checkpoint, prefix: str, projected: bool) -> DecoderMapping:
    """`projected`: whether the encoder's features come through a linear layer."""
    checkpoint.ignore(rf"{prefix}transformer\.h\.\d+\.(cross)?attention\.(masked_)?bias", "causal masks")
    checkpoint.ignore(rf"{prefix}transformer\.h\.\d+\.attn\.(masked_)?bias", "causal masks")
    refuse_options(
        config,
        "decoder",
        scale_attn_weights=True,
        scale_attn_by_inverse_layer_idx=False,
        reorder_and_upcast_attn=False,
    )
    base = f"{prefix}transformer."
    words = word_tables(checkpoint, f"{base}wte.weight", f"{prefix}lm_head.weight", config.tie_word_embeddings)
    settings = TransformerSettings(
        width=config.n_embd,
        layers=config.n_layer,
        heads=config.n_head,
        ffn_dim=4 * config.n_embd if config.n_inner is None else config.n_inner,
        dropout=config.resid_pdrop,
        norm="pre",
        norm_eps=config.layer_norm_epsilon,
        activation=activation(config, "decoder", "activation_function"),
        max_positions=config.n_positions,
        region_position_embedding="none",
        input_norm=False,
        region_projection=projected,
        encoder_norm=False,
        output_bias=False,
        tie_weights="output.weight" not in words,
    )
    plan = merged(
        words,
        {"position_embedding": same(f"{base}wpe.weight")},
        *(_layer(f"{base}h.{i}.", f"layers.{i}.") for i in range(config.n_layer)),
        renamed("norm", f"{base}ln_f"),
    )
    return DecoderMapping(settings, plan, config.vocab_size, config.n_positions)


def _layer(theirs: str, ours: str) -> Plan:
    return merged(
        _fused(f"{theirs}attn.c_attn", f"{ours}self_attention", "query", "key", "value"),
        _fused(f"{theirs}attn.c_proj", f"{ours}self_attention", "output"),
        _fused(f"{theirs}crossattention.q_attn", f"{ours}cross_attention", "query"),
        _fused(f"{theirs}crossattention.c_attn", f"{ours}cross_attention", "key", "value"),
        _fused(f"{theirs}crossattention.c_proj", f"{ours}cross_attention", "output"),
        _fused(f"{theirs}mlp.c_fc", ours[:-1], "fc1"),
        _fused(f"{theirs}mlp.c_proj", ours[:-1], "fc2"),
        renamed(f"{ours}self_attention_norm", f"{theirs}ln_1"),
        renamed(f"{ours}cross_attention_norm", f"{theirs}ln_cross_attn"),
        renamed(f"{ours}ffn_norm", f"{theirs}ln_2"),
    )


def _fused(theirs: str, ours: str, *parts: str) -> Plan:
    """The linear layers in one `Conv1D`."""
    plan = {}
    for index, part in enumerate(parts):
        cut = partial(_part, index=index, count=len(parts))
        plan[f"{ours}.{part}.weight"] = Source((f"{theirs}.weight",), cut)
        plan[f"{ours}.{part}.bias"] = Source((f"{theirs}.bias",), cut)
    return plan


def _part(fused: Tensor, index: int, count: int) -> Tensor:
    """[..., count * n] -> [n, ...], or [n]"""
    return fused.chunk(count, -1)[index].t().contiguous()
