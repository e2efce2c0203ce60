"""timm backbones as a sequence of stages up to their deepest feature map.

The stages are timm's top-level modules up to the deepest feature map in its `feature_info`, or the blocks of a vision
Transformer. What follows (pooling, the classifier, the 1x1 convolution before it) is specific to ImageNet.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, cast

from timm.models.beit import Beit
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from showtell.errors import BadConfig

CONTAINERS = ("blocks", "stages", "layers", "features")
SPLITTABLE = tuple(kind.forward_features for kind in (VisionTransformer, Beit, Eva))
"""These embed the patches, pass the tokens through `blocks`, one after another, and then through `norm`."""


class Stages(NamedTuple):
    """The output of each module is the input of the next."""

    modules: list[nn.Module]
    layout: Literal["NCHW", "NHWC", "NLC"]
    """The shape of the last output: a map [B, C, height, width] or [B, height, width, C], or regions [B, S, C]."""
    grid: tuple[int, int] | None = None
    """Height and width of regions [B, S, C]."""
    prefix_regions: int = 0
    """Regions [B, S, C] before those of the grid."""


def split_into_stages(backbone: Any, keep_prefix: bool = False) -> Stages:
    """`keep_prefix`: a vision Transformer's prefix tokens (class, distillation, registers) are regions, too.

    The backbone may lose modules to its stages and must not be used afterwards. Raises BadConfig when it is no
    sequence of modules, or has no prefix tokens to keep.
    """
    if hasattr(backbone, "num_prefix_tokens"):
        return _split_tokens(backbone, keep_prefix)
    if keep_prefix:
        raise _no_prefix()
    layout: Literal["NHWC", "NCHW"] = "NHWC" if getattr(backbone, "output_fmt", "NCHW") == "NHWC" else "NCHW"
    return Stages(_split_maps(backbone), layout)


def _no_prefix() -> BadConfig:
    return BadConfig("model.encoder.prefix_regions is true, but this backbone has no prefix tokens; expected false")


def _split_maps(backbone: Any) -> list[nn.Module]:
    if (parameter := next((name for name, _ in backbone.named_parameters(recurse=False)), None)) is not None:
        raise BadConfig(
            f"model.encoder.name: this backbone is no plain sequence of modules (it has {parameter}); choose another "
            "one"
        )
    # timm names the last module of each stage: a child (layer3) or a member of a container (blocks.6).
    ends = [info["module"] for info in backbone.feature_info]
    stages: list[nn.Module] = []
    parts: list[nn.Module] = []
    for name, child in backbone.named_children():
        if name in CONTAINERS:
            stem = [nn.Sequential(*parts)] if parts else []
            return [*stages, *stem, *_members(child)]
        parts.append(child)
        if name in ends:
            stages.append(nn.Sequential(*parts))
            parts = []
        if name == ends[-1]:
            return stages
    raise BadConfig(f"model.encoder.name: found no module {ends[-1]!r} in this backbone; choose another one")


def _members(container: nn.Module) -> list[nn.Module]:
    """The blocks of a container. VGG has single layers there: a stage ends with each pooling layer."""
    members = list(container.children())
    if any(True for member in members for _ in member.children()):
        return members
    ends = [n for n, member in enumerate(members) if isinstance(member, nn.MaxPool2d)]
    return [nn.Sequential(*members[a + 1 : b + 1]) for a, b in zip([-1, *ends], ends, strict=False)]


def _split_tokens(backbone: Any, keep_prefix: bool) -> Stages:
    """A vision Transformer: embeddings | each block | the last block with the norm; or one stage, where timm does more
    between the blocks."""
    prefix: int = backbone.num_prefix_tokens
    if keep_prefix and not prefix:
        raise _no_prefix()
    height, width = backbone.patch_embed.grid_size
    skipped, kept = (0, prefix) if keep_prefix else (prefix, 0)
    is_known = type(backbone).forward_features in SPLITTABLE
    if is_known:
        _remove_pooling(backbone)
    blocks = list(backbone.blocks) if is_known and _passes_tokens_only(backbone) else []
    if not blocks:
        return Stages([_Tokens(backbone, skipped)], "NLC", (height, width), kept)
    if (rope := getattr(backbone, "rope", None)) is not None:
        # As in timm's own forward: what was made for one size knows it.
        shape = None if hasattr(rope, "feat_shape") and not backbone.dynamic_img_size else [height, width]
        blocks = [_RotaryBlock(block, rope, shape) for block in blocks]
    last = _LastBlock(blocks.pop(), backbone.norm, skipped)
    # Without blocks and norm, timm's own forward_features gives the embedded patches: the same for every family.
    backbone.blocks, backbone.norm = nn.Sequential(), nn.Identity()
    return Stages([_Tokens(backbone, 0), *blocks, last], "NLC", (height, width), kept)


def _passes_tokens_only(backbone: Any) -> bool:
    """Whether blocks share nothing trained or random, as BEiT's position bias and learned rotary embeddings are.
    Plain rotary embeddings are constants, and each block may have them."""
    rope = getattr(backbone, "rope", None)
    if rope is not None and (rope.state_dict() or getattr(rope, "aug_active", False)):
        return False
    return getattr(backbone, "rel_pos_bias", None) is None


def _remove_pooling(backbone: Any) -> None:
    """Weights that only a classifier uses."""
    for name in ("fc_norm", "attn_pool"):
        if hasattr(backbone, name):
            setattr(backbone, name, nn.Identity())


class _Tokens(nn.Module):
    """timm's `forward_features` as one stage."""

    def __init__(self, backbone: Any, skipped: int) -> None:
        super().__init__()
        self.backbone, self.skipped = backbone, skipped
        height, width = backbone.patch_embed.grid_size
        self.count = backbone.num_prefix_tokens + height * width

    def forward(self, pixels: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, S, C], without the first `skipped` tokens. Raises ValueError for pixels of another size
        than the backbone was made for, which some would take, with another grid."""
        tokens: Tensor = self.backbone.forward_features(pixels)
        if tokens.shape[1] != self.count:
            raise ValueError(f"found {tokens.shape[1]} tokens, expected {self.count}")
        return tokens[:, self.skipped :]


class _RotaryBlock(nn.Module):
    """A block with the rotary embeddings that it shares with the others; `shape` is the grid's, where they ask."""

    def __init__(self, block: nn.Module, rope: Any, shape: list[int] | None) -> None:
        super().__init__()
        self.block, self.rope, self.shape = block, rope, shape

    def forward(self, tokens: Tensor) -> Tensor:
        """[B, S, C] -> [B, S, C]"""
        return cast(Tensor, self.block(tokens, rope=self.rope.get_embed(shape=self.shape)))


class _LastBlock(nn.Module):
    """The last block with the norm after it."""

    def __init__(self, block: nn.Module, norm: nn.Module, skipped: int) -> None:
        super().__init__()
        self.block, self.norm, self.skipped = block, norm, skipped

    def forward(self, tokens: Tensor) -> Tensor:
        """[B, S', C] -> [B, S, C], without the first `skipped` tokens."""
        regions: Tensor = self.norm(self.block(tokens))
        return regions[:, self.skipped :]
