"""Swin -> timm's `SwinTransformer`: the same layers; only the downsampling stands at the end of a stage in one, and at
the beginning of the next in the other. Our encoder ends with the last stage, so the norm after it becomes the decoder's
`input_norm`."""

from __future__ import annotations

from typing import Any

from showtell.errors import BadConfig
from showtell.hub.checkpoint import Checkpoint, Plan, joined, merged, same
from showtell.hub.families.mapping import EncoderMapping, check_heads, refuse_options, renamed, square
from showtell.settings import EncoderSettings

TIMM_NAME = "swin_tiny_patch4_window7_224"
"""A name of timm's `SwinTransformer`; `timm_kwargs` replace all of its sizes."""
MODULES = {
    "norm1": "layernorm_before",
    "attn.proj": "attention.output.dense",
    "norm2": "layernorm_after",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}
TABLE = "relative_position_bias_table"
EPS = 1e-5
"""Of the norms of patches and downsampling, whatever config.json says of the others; the encoder has one for all."""


def map_swin(config: Any, checkpoint: Checkpoint, prefix: str, image_size: int | None) -> EncoderMapping:
    checkpoint.ignore(
        rf"{prefix}(embeddings\.mask_token|.*\.relative_position_index|.*\.attn_mask)", "of pretraining, or computed"
    )
    refuse_options(
        config, "encoder", num_channels=3, hidden_act="gelu", use_absolute_embeddings=False, layer_norm_eps=EPS
    )
    depths, heads, window = tuple(config.depths), tuple(config.num_heads), config.window_size
    patch = square(config, "encoder", "patch_size")
    size = image_size or square(config, "encoder", "image_size")
    _check_grid(size, patch, window, len(depths))
    for stage, number in enumerate(heads):
        check_heads(f"encoder stage {stage}", config.embed_dim * 2**stage, number)
    settings = EncoderSettings(
        name=TIMM_NAME,
        pretrained=False,
        norm_eps=EPS,
        timm_kwargs={
            "img_size": size,
            "patch_size": patch,
            "embed_dim": config.embed_dim,
            "depths": depths,
            "num_heads": heads,
            "window_size": window,
            "mlp_ratio": config.mlp_ratio,
            "qkv_bias": config.qkv_bias,
        },
    )
    plan = merged(
        renamed("patch_embed.proj", f"{prefix}embeddings.patch_embeddings.projection"),
        renamed("patch_embed.norm", f"{prefix}embeddings.norm"),
        *(_downsampling(prefix, stage) for stage in range(len(depths) - 1)),
        *(
            _layer(f"{prefix}encoder.layers.{stage}.blocks.{i}.", f"layers.{stage}.blocks.{i}", config.qkv_bias)
            for stage, depth in enumerate(depths)
            for i in range(depth)
        ),
    )
    width = config.embed_dim * 2 ** (len(depths) - 1)
    return EncoderMapping(settings, plan, width, output_norm=(f"{prefix}layernorm", EPS))


def _downsampling(prefix: str, stage: int) -> Plan:
    theirs, ours = f"{prefix}encoder.layers.{stage}.downsample", f"layers.{stage + 1}.downsample"
    return merged(
        renamed(f"{ours}.norm", f"{theirs}.norm"), renamed(f"{ours}.reduction", f"{theirs}.reduction", bias=False)
    )


def _layer(theirs: str, ours: str, qkv_bias: bool) -> Plan:
    parts = [f"{theirs}attention.self.{part}" for part in ("query", "key", "value")]
    plan = {
        f"{ours}.attn.qkv.weight": joined(*(f"{part}.weight" for part in parts)),
        f"{ours}.attn.{TABLE}": same(f"{theirs}attention.self.{TABLE}"),
    }
    if qkv_bias:
        plan[f"{ours}.attn.qkv.bias"] = joined(*(f"{part}.bias" for part in parts))
    return merged(plan, *(renamed(f"{ours}.{timm}", theirs + name) for timm, name in MODULES.items()))


def _check_grid(size: int, patch: int, window: int, stages: int) -> None:
    """Windows that do not fit are padded before they are shifted in transformers, and after it in timm. One that is
    larger than a grid would need another table of biases than the checkpoint has."""
    if size % patch:
        raise BadConfig(f"config.json: images of {size} x {size} pixels are no whole patches of {patch} x {patch}")
    grid = size // patch
    for stage in range(stages):
        if grid % window:
            raise BadConfig(
                f"config.json: images of {size} x {size} pixels give a grid of {grid} x {grid} in stage {stage} of the "
                f"encoder; expected a multiple of its window of {window}"
            )
        grid = (grid + 1) // 2
