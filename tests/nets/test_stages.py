"""Vision Transformers in stages against timm's own forward_features, which knows of no stages."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import timm
import torch
from torch import Tensor, nn
from torch.export import Dim

from showtell.errors import BadConfig
from showtell.nets.encoder import Encoder
from showtell.nets.precomputed import PrecomputedFeatures
from showtell.settings import EncoderSettings, PixelOverrides

TINY = {"img_size": 32, "patch_size": 16, "embed_dim": 32, "num_heads": 2}
SPLIT: dict[str, tuple[str, dict[str, Any], int]] = {
    "ViT": ("vit_base_patch16_224", {}, 1),
    "ViT of CLIP, which has a norm before its blocks": ("vit_base_patch16_clip_224", {"act_layer": "quick_gelu"}, 1),
    "DeiT, distilled": ("deit_base_distilled_patch16_224", {}, 2),
    "DINOv2 with registers": ("vit_small_patch14_reg4_dinov2", {}, 5),
    "BEiT": ("beit_base_patch16_224", {}, 1),
    "EVA-02, with rotary embeddings": ("eva02_tiny_patch14_224", {}, 1),
    "DINOv3, whose rotary embeddings ask for the grid": ("vit_small_patch16_dinov3", {}, 5),
    "SigLIP, without prefix tokens": ("vit_base_patch16_siglip_224", {}, 0),
}
WHOLE: dict[str, tuple[str, dict[str, Any], int]] = {
    "BEiT, with a bias that its blocks share": (
        "beit_base_patch16_224",
        {"use_rel_pos_bias": False, "use_shared_rel_pos_bias": True},
        1,
    ),
    "ViT with learned rotary embeddings": ("vit_base_patch16_rope_mixed_224", {}, 1),
    "CaiT": ("cait_xxs24_224", {}, 1),
}
EVERY = {**SPLIT, **WHOLE}


def settings(kind: str, depth: int = 3, **more: Any) -> EncoderSettings:
    name, options, prefix = EVERY[kind]
    more = {"prefix_regions": prefix > 0, **more}
    options = {**TINY, "depth": depth, **options}
    return EncoderSettings(name=name, pretrained=False, timm_kwargs=options, pixels=PixelOverrides(size=32), **more)


def scrambled(module: nn.Module) -> None:
    """Other weights everywhere than the gentle ones at the beginning: position embeddings and norms, too."""
    generator = torch.Generator().manual_seed(1)
    for tensor in module.state_dict().values():
        tensor.copy_(torch.randn(tensor.shape, generator=generator, dtype=torch.float64) * 0.3)


def build(kind: str, trained: int = 0, **more: Any) -> tuple[Encoder, nn.Module]:
    """The encoder and timm's own model of the same weights, found by `timm_names`."""
    wanted = settings(kind, **more)
    model = timm.create_model(wanted.name, num_classes=0, **wanted.timm_kwargs)
    scrambled(model)
    encoder = Encoder(wanted, trained)
    weights = model.state_dict()
    encoder.load_state_dict({name: weights[timm_name] for name, timm_name in encoder.timm_names.items()})
    return encoder.double().eval(), model.double().eval()


@pytest.fixture
def pixels() -> Tensor:
    return torch.randn(2, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
@pytest.mark.parametrize("trained", [0, 1, 4])
@pytest.mark.parametrize("kind", EVERY)
def test_regions_with_prefix_tokens_are_timms_features(kind: str, trained: int, pixels: Tensor) -> None:
    stages, prefix = (4 if kind in SPLIT else 1), EVERY[kind][2]
    trained = min(trained, stages)
    encoder, model = build(kind, trained)
    assert (len(encoder.frozen), len(encoder.trainable)) == (stages - trained, trained)
    expected = model.forward_features(pixels)
    assert expected.std() > 0.1
    torch.testing.assert_close(encoder(pixels), expected, rtol=0, atol=1e-12)
    assert encoder.grid == (2, 2) and encoder.channels == 32
    assert encoder.prefix_regions == prefix and encoder.num_regions == prefix + 4
    if trained < stages:
        cached = encoder.forward_frozen(pixels)
        assert cached.shape == (2, *encoder.cached_shape) == (2, prefix + 4, 32)
        torch.testing.assert_close(encoder.forward_trainable(cached), expected, rtol=0, atol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["DeiT, distilled", "DINOv3, whose rotary embeddings ask for the grid", "CaiT"])
def test_regions_are_those_of_the_grid_by_default(kind: str, pixels: Tensor) -> None:
    encoder, model = build(kind, 1, prefix_regions=False)
    expected = model.forward_features(pixels)[:, EVERY[kind][2] :]
    torch.testing.assert_close(encoder(pixels), expected, rtol=0, atol=1e-12)
    assert (encoder.prefix_regions, encoder.num_regions) == (0, 4)
    vector, _ = build(kind, 1, prefix_regions=False, layer="pooled")
    torch.testing.assert_close(vector(pixels), expected.mean(1, keepdim=True), rtol=0, atol=1e-12)
    assert (vector.grid, vector.num_regions, vector.prefix_regions) == ((1, 1), 1, 0)


@pytest.mark.parametrize("kind", sorted(EVERY.keys() - {"CaiT"}))
def test_every_weight_is_used(kind: str, pixels: Tensor) -> None:
    """What only a classifier has, a norm after pooling or a pooling with weights, is gone."""
    encoder, _ = build(kind, 4 if kind in SPLIT else 1)
    encoder.train()(pixels).square().sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())


@pytest.mark.parametrize("kind", SPLIT)
def test_the_last_blocks_train_alone(kind: str, pixels: Tensor) -> None:
    """With the norm after them."""
    encoder, _ = build(kind, 2)
    encoder.train()(pixels).square().sum().backward()
    trained = {encoder.timm_names[name] for name, tensor in encoder.named_parameters() if tensor.requires_grad}
    assert {name.rpartition("blocks.")[2][:2] for name in trained} <= {"1.", "2.", "no"}  # no: of norm
    assert any(name.startswith("blocks.1.") for name in trained) and all("patch_embed" not in name for name in trained)
    assert all((tensor.grad is not None) is tensor.requires_grad for tensor in encoder.parameters())


@torch.no_grad()
@pytest.mark.parametrize("layer", ["regions", "pooled"])
@pytest.mark.parametrize(("was", "trained"), [("frozen", 0), ("trainable", 1)])
def test_weights_from_when_it_was_one_stage_are_read(was: str, trained: int, layer: str, pixels: Tensor) -> None:
    kind = "BEiT"
    encoder, model = build(kind, trained, prefix_regions=False, layer=layer)
    expected = encoder(pixels)
    old = {
        f"encoder.{was}.0.{'0.' * (layer == 'pooled')}backbone.{name}": tensor
        for name, tensor in model.state_dict().items()
    }
    assert any("fc_norm" in name for name in old)
    whole = nn.Module()
    whole.encoder = Encoder(settings(kind, prefix_regions=False, layer=layer), trained).double().eval()
    whole.load_state_dict(old)
    torch.testing.assert_close(whole.encoder(pixels), expected, rtol=0, atol=1e-12)
    whole.load_state_dict(whole.state_dict())
    with pytest.raises(RuntimeError, match=r"Missing key\(s\) in state_dict: .encoder\.[a-z]+\.[0-9.]+norm1\.weight"):
        whole.load_state_dict({name: tensor for name, tensor in old.items() if "blocks.1.norm1.weight" not in name})


@torch.no_grad()
def test_every_norm_has_the_epsilon(pixels: Tensor) -> None:
    kind = "ViT of CLIP, which has a norm before its blocks"
    encoder, model = build(kind, 1, norm_eps=0.25)
    assert (encoder(pixels) - model.forward_features(pixels)).abs().max() > 0.01
    norms = [module for module in model.modules() if isinstance(module, nn.LayerNorm)]
    assert len(norms) == 8
    for norm in norms:
        norm.eps = 0.25
    torch.testing.assert_close(encoder(pixels), model.forward_features(pixels), rtol=0, atol=1e-12)


class Some(nn.Module):
    """One of each kind of embeddings and blocks: a graph of all takes half a minute."""

    def __init__(self) -> None:
        super().__init__()
        kinds = "DeiT, distilled", "BEiT", "DINOv3, whose rotary embeddings ask for the grid", "CaiT"
        self.encoders = nn.ModuleList(build(kind, depth=2)[0].float() for kind in kinds)

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        return tuple(encoder(pixels) for encoder in self.encoders)


@torch.no_grad()
@pytest.mark.filterwarnings("ignore:# The axis name")
def test_a_graph_takes_any_number_of_images(tmp_path: Path, pixels: Tensor) -> None:
    some, images = Some().eval(), torch.cat([pixels, pixels.flip(3)])[:3].float()
    file = tmp_path / "some.onnx"
    torch.onnx.export(
        *(some, (pixels.float(),), file),
        input_names=["pixels"],
        dynamic_shapes=({0: Dim("B")},),
        dynamo=True,
        verbose=False,
        optimize=False,
    )
    session = onnxruntime.InferenceSession(file)
    for count in (1, 3):
        for found, expected in zip(
            session.run(None, {"pixels": images[:count].numpy()}), some(images[:count]), strict=True
        ):
            assert found.shape == tuple(expected.shape)
            np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=2e-5 * expected.abs().max().item())


def test_prefix_regions_need_prefix_tokens() -> None:
    for name, options in (("test_resnet", {}), ("vit_base_patch16_siglip_224", TINY)):
        wanted = EncoderSettings(name=name, pretrained=False, timm_kwargs=options, prefix_regions=True)
        with pytest.raises(BadConfig, match=r"prefix_regions is true, but this backbone has no prefix tokens"):
            Encoder(wanted.model_copy(update={"pixels": PixelOverrides(size=32)}))
    with pytest.raises(BadConfig, match=r"prefix_regions is true with layer pooled, which is one region; expected"):
        Encoder(settings("ViT", layer="pooled"))


def test_a_backbone_without_norms_takes_no_epsilon() -> None:
    wanted = EncoderSettings(name="test_resnet", pretrained=False, norm_eps=1e-6)
    with pytest.raises(BadConfig, match=r"norm_eps is 1e-06, but test_resnet has no LayerNorm; expected null$"):
        Encoder(wanted)


@torch.no_grad()
def test_lists_in_yaml_reach_timm_as_tuples() -> None:
    options = {"img_size": 32, "embed_dim": 8, "window_size": 2, "depths": [1, 1], "num_heads": [1, 2]}
    wanted = EncoderSettings.model_validate(
        {"name": "swin_tiny_patch4_window7_224", "pretrained": False, "timm_kwargs": options, "pixels": {"size": 32}}
    )
    assert wanted.timm_kwargs["depths"] == (1, 1)
    encoder = Encoder(wanted, 1)
    assert (len(encoder.frozen), encoder.grid, encoder.channels, encoder.num_regions) == (2, (4, 4), 16, 16)
    assert EncoderSettings.model_validate_json(wanted.model_dump_json()) == wanted


def test_precomputed_features_are_one_region() -> None:
    features = PrecomputedFeatures(EncoderSettings(name="features", channels=7))
    assert (features.grid, features.num_regions, features.prefix_regions) == ((1, 1), 1, 0)
