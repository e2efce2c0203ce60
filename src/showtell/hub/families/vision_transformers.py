"""Vision Transformers of transformers -> timm's `VisionTransformer`: ViT, DeiT, DINOv2, and those of BLIP and GIT.

They differ in names, in fused projections, and in what stands before the first and after the last layer. The decoder
sees the class token and DeiT's distillation token, which timm has as a register.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, cat, nn
from transformers import PreTrainedConfig

from showtell.errors import BadConfig
from showtell.hub.checkpoint import Checkpoint, Plan, Source, joined, merged, same
from showtell.hub.families.mapping import (
    Adjust,
    EncoderMapping,
    activation,
    check_heads,
    refuse_options,
    renamed,
    square,
)
from showtell.settings import EncoderSettings

TIMM_NAME = "vit_base_patch16_224"
"""A name of timm's `VisionTransformer`; `timm_kwargs` replace all of its sizes."""
TIMM_SWIGLU = "vit_giant_patch14_dinov2"
"""The one of timm's names whose feed-forward layers are SwiGLU, as DINOv2's of giant size."""


@dataclass(frozen=True)
class Names:
    """Where the tensors are in the file, after the encoder's prefix; those of layers after `{layers}.{i}.`, too."""

    cls_token: str
    patches: str
    positions: str
    final_norm: str
    layers: str
    qkv: tuple[str, ...]
    """One fused projection, or three."""
    modules: dict[str, str]
    """With weight and bias: timm's name -> theirs."""
    scales: tuple[str, str] | None = None
    """Layer scale after attention and feed-forward."""
    norm_pre: str | None = None
    distillation_token: str | None = None


VIT = Names(
    cls_token="embeddings.cls_token",
    patches="embeddings.patch_embeddings.projection",
    positions="embeddings.position_embeddings",
    final_norm="layernorm",
    layers="encoder.layer",
    qkv=tuple(f"attention.attention.{part}" for part in ("query", "key", "value")),
    modules={
        "norm1": "layernorm_before",
        "attn.proj": "attention.output.dense",
        "norm2": "layernorm_after",
        "mlp.fc1": "intermediate.dense",
        "mlp.fc2": "output.dense",
    },
)
DEIT = replace(VIT, distillation_token="embeddings.distillation_token")
DINOV2 = replace(
    VIT,
    modules={
        "norm1": "norm1",
        "attn.proj": "attention.output.dense",
        "norm2": "norm2",
        "mlp.fc1": "mlp.fc1",
        "mlp.fc2": "mlp.fc2",
    },
    scales=("layer_scale1.lambda1", "layer_scale2.lambda1"),
)
DINOV2_SWIGLU = replace(DINOV2, modules={**DINOV2.modules, "mlp.fc1": "mlp.weights_in", "mlp.fc2": "mlp.weights_out"})
BLIP = Names(
    cls_token="embeddings.class_embedding",
    patches="embeddings.patch_embedding",
    positions="embeddings.position_embedding",
    final_norm="post_layernorm",
    layers="encoder.layers",
    qkv=("self_attn.qkv",),
    modules={
        "norm1": "layer_norm1",
        "attn.proj": "self_attn.projection",
        "norm2": "layer_norm2",
        "mlp.fc1": "mlp.fc1",
        "mlp.fc2": "mlp.fc2",
    },
)
CLIP = replace(
    BLIP,
    positions="embeddings.position_embedding.weight",
    qkv=tuple(f"self_attn.{part}_proj" for part in "qkv"),
    modules={**BLIP.modules, "attn.proj": "self_attn.out_proj"},
    norm_pre="pre_layrnorm",  # their spelling
)


def map_vit(config: PreTrainedConfig, checkpoint: Checkpoint, prefix: str, image_size: int | None) -> EncoderMapping:
    """ViT and DeiT."""
    checkpoint.ignore(rf"{prefix}(pooler\..*|embeddings\.mask_token)", "of classification and pretraining")
    names = DEIT if config.model_type == "deit" else VIT
    return _map(config, names, prefix, same_size(config, image_size), intermediate=config.intermediate_size)


def map_blip(config: PreTrainedConfig, checkpoint: Checkpoint, prefix: str, image_size: int | None) -> EncoderMapping:
    checkpoint.ignore(rf"{prefix}embeddings\.position_ids", "counts up from 0")
    return _map(config, BLIP, prefix, same_size(config, image_size), intermediate=config.intermediate_size)


def map_clip(config: PreTrainedConfig, checkpoint: Checkpoint, prefix: str, image_size: int | None) -> EncoderMapping:
    """GIT's encoder."""
    checkpoint.ignore(rf"{prefix}embeddings\.position_ids", "counts up from 0")
    return _map(config, CLIP, prefix, same_size(config, image_size), intermediate=config.intermediate_size)


def map_dinov2(config: PreTrainedConfig, checkpoint: Checkpoint, prefix: str, image_size: int | None) -> EncoderMapping:
    """Its position embeddings are interpolated to the size of the processor's images."""
    checkpoint.ignore(rf"{prefix}(embeddings\.mask_token|pooler\..*)", "of pretraining")
    trained = square(config, "encoder", "image_size")
    intermediate = int(config.hidden_size * config.mlp_ratio)
    if not config.use_swiglu_ffn:
        return _map(config, DINOV2, prefix, image_size or trained, intermediate, trained=trained)
    refuse_options(config, "encoder", hidden_act="gelu")  # not read there
    hidden = (int(intermediate * 2 / 3) + 7) // 8 * 8
    mapping = _map(config, DINOV2_SWIGLU, prefix, image_size or trained, 2 * hidden, trained=trained)
    return mapping._replace(settings=mapping.settings.model_copy(update={"name": TIMM_SWIGLU}))


def same_size(config: PreTrainedConfig, image_size: int | None) -> int:
    trained = square(config, "encoder", "image_size")
    if image_size not in (None, trained):
        raise BadConfig(
            f"config.json: the encoder takes images of {trained} x {trained} pixels, the processor gives {image_size} "
            f"x {image_size}; expected the same size in preprocessor_config.json"
        )
    return trained


def _map(
    config: Any, names: Names, prefix: str, image_size: int, intermediate: int, trained: int | None = None
) -> EncoderMapping:
    """`trained`: the size that position embeddings were trained for, where they are interpolated to `image_size`."""
    refuse_options(config, "encoder", num_channels=3)
    width, heads, depth = config.hidden_size, config.num_attention_heads, config.num_hidden_layers
    check_heads("encoder", width, heads)
    patch = square(config, "encoder", "patch_size")
    qkv_bias = getattr(config, "qkv_bias", True)
    kwargs = {
        "img_size": image_size,
        "patch_size": patch,
        "embed_dim": width,
        "depth": depth,
        "num_heads": heads,
        "mlp_ratio": exact_ratio(intermediate, width),
    }
    optional = {
        "qkv_bias": (qkv_bias, True),
        "act_layer": (activation(config, "encoder"), "gelu"),
        "pre_norm": (names.norm_pre is not None, False),
        "reg_tokens": (int(names.distillation_token is not None), 0),
        "init_values": (1.0 if names.scales else 0.0, 0.0),
    }
    settings = EncoderSettings(
        name=TIMM_NAME,
        pretrained=False,
        prefix_regions=True,
        norm_eps=config.layer_norm_eps,
        timm_kwargs={**kwargs, **{name: value for name, (value, default) in optional.items() if value != default}},
    )
    before, after = (trained or image_size) // patch, image_size // patch
    positions = Source((prefix + names.positions,), lambda table: resized_positions(table, before, after))
    plan = merged(
        _stem(names, prefix, positions),
        *(layer_plan(names, prefix, f"blocks.{i}", i, qkv_bias) for i in range(depth)),
        renamed("norm", prefix + names.final_norm),
    )
    return EncoderMapping(settings, plan, width, None if before == after else Adjust("pos_embed", _set_positions))


def _stem(names: Names, prefix: str, positions: Source) -> Plan:
    tokens = {"cls_token": Source((prefix + names.cls_token,), lambda token: token.view(1, 1, -1))}
    if names.distillation_token is not None:
        tokens["reg_token"] = same(prefix + names.distillation_token)
    norm_pre = {} if names.norm_pre is None else renamed("norm_pre", prefix + names.norm_pre)
    patches = renamed("patch_embed.proj", prefix + names.patches, bias=names.norm_pre is None)
    return merged(tokens, {"pos_embed": positions}, patches, norm_pre)


def layer_plan(names: Names, prefix: str, ours: str, index: int, qkv_bias: bool) -> Plan:
    theirs = f"{prefix}{names.layers}.{index}."
    plan = {f"{ours}.attn.qkv.weight": joined(*(f"{theirs}{part}.weight" for part in names.qkv))}
    if qkv_bias:
        plan[f"{ours}.attn.qkv.bias"] = joined(*(f"{theirs}{part}.bias" for part in names.qkv))
    if names.scales is not None:
        plan |= {f"{ours}.ls{n}.gamma": same(theirs + scale) for n, scale in enumerate(names.scales, 1)}
    return merged(plan, *(renamed(f"{ours}.{timm}", theirs + name) for timm, name in names.modules.items()))


def exact_ratio(intermediate: int, width: int) -> float:
    """The `mlp_ratio` for which timm's `int(width * mlp_ratio)` is `intermediate`; a quotient may round to one less."""
    ratio = intermediate / width
    return ratio if int(width * ratio) == intermediate else (intermediate + 0.5) / width


def resized_positions(table: Tensor, before: int, after: int) -> Tensor:
    """Position embeddings [1, 1 + before², D] or without the 1 -> [1, 1 + after², D], as DINOv2 in transformers
    interpolates them at every call; other encoders have `before == after`."""
    table = table.unsqueeze(0) if table.ndim == 2 else table
    if before == after:
        return table
    grid = table[:, 1:].reshape(1, before, before, -1).permute(0, 3, 1, 2)
    resized = nn.functional.interpolate(grid, size=(after, after), mode="bicubic", align_corners=False)
    return cat([table[:, :1], resized.permute(0, 2, 3, 1).flatten(1, 2)], 1)


def _set_positions(reference: Any, table: Tensor) -> None:
    """DINOv2 does not interpolate position embeddings that have the size of its input."""
    reference.encoder.embeddings.position_embeddings = nn.Parameter(table)
