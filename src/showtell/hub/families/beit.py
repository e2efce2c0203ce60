"""BEiT -> timm's `Beit`: no bias on keys, layer scale, relative position biases of the whole grid."""

from __future__ import annotations

from typing import Any

from showtell.hub.checkpoint import Checkpoint, Plan, joined, merged, same
from showtell.hub.families.mapping import EncoderMapping, check_heads, refuse_options, renamed, square
from showtell.hub.families.vision_transformers import VIT, exact_ratio, same_size
from showtell.settings import EncoderSettings

TIMM_NAME = "beit_base_patch16_224"
"""A name of timm's `Beit`; `timm_kwargs` replace all of its sizes."""
TABLE = "relative_position_bias_table"


def map_beit(config: Any, checkpoint: Checkpoint, prefix: str, image_size: int | None) -> EncoderMapping:
    checkpoint.ignore(
        rf"{prefix}(pooler\..*|embeddings\.mask_token|.*\.relative_position_index)",
        "of classification and pretraining, or computed",
    )
    refuse_options(config, "encoder", num_channels=3, hidden_act="gelu")
    width, heads = config.hidden_size, config.num_attention_heads
    check_heads("encoder", width, heads)
    own, shared = config.use_relative_position_bias, config.use_shared_relative_position_bias
    settings = EncoderSettings(
        name=TIMM_NAME,
        pretrained=False,
        prefix_regions=True,
        norm_eps=config.layer_norm_eps,
        timm_kwargs={
            "img_size": same_size(config, image_size),
            "patch_size": square(config, "encoder", "patch_size"),
            "embed_dim": width,
            "depth": config.num_hidden_layers,
            "num_heads": heads,
            "mlp_ratio": exact_ratio(config.intermediate_size, width),
            # timm has no layer scale for None, which is no number; 0 is false there, too.
            "init_values": config.layer_scale_init_value,
            "use_abs_pos_emb": config.use_absolute_position_embeddings,
            "use_rel_pos_bias": own,
            "use_shared_rel_pos_bias": shared,
            "use_fc_norm": config.use_mean_pooling,
        },
        # With mean pooling the only norm after the last layer is that of the mean, which captions do not need.
        remove_blocks=("fc_norm",) if config.use_mean_pooling else (),
    )
    stem = {"cls_token": same(prefix + VIT.cls_token)}
    if config.use_absolute_position_embeddings:
        stem["pos_embed"] = same(prefix + VIT.positions)
    if shared:
        stem[f"rel_pos_bias.{TABLE}"] = same(f"{prefix}encoder.relative_position_bias.{TABLE}")
    if not config.use_mean_pooling:
        stem |= renamed("norm", prefix + VIT.final_norm)
    patches = renamed("patch_embed.proj", prefix + VIT.patches)
    has_scale = config.layer_scale_init_value > 0
    layers = (
        _layer(f"{prefix}{VIT.layers}.{i}.", f"blocks.{i}", own, has_scale) for i in range(config.num_hidden_layers)
    )
    return EncoderMapping(settings, merged(stem, patches, *layers), width)


def _layer(theirs: str, ours: str, has_biases: bool, has_scale: bool) -> Plan:
    query, _, value = VIT.qkv
    plan = {
        f"{ours}.attn.qkv.weight": joined(*(f"{theirs}{part}.weight" for part in VIT.qkv)),
        f"{ours}.attn.q_bias": same(f"{theirs}{query}.bias"),
        f"{ours}.attn.v_bias": same(f"{theirs}{value}.bias"),
    }
    if has_scale:
        plan |= {f"{ours}.gamma_{n}": same(f"{theirs}lambda_{n}") for n in (1, 2)}
    if has_biases:
        plan[f"{ours}.attn.{TABLE}"] = same(f"{theirs}attention.attention.relative_position_bias.{TABLE}")
    return merged(plan, *(renamed(f"{ours}.{timm}", theirs + name) for timm, name in VIT.modules.items()))
