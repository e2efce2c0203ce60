"""Every cut of every kind of backbone against what timm itself says are its features."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from showtell.errors import BadConfig, BadWeights, ShowtellError
from showtell.nets.backbone import pixel_settings, resolve
from showtell.nets.encoder import Encoder
from showtell.settings import EncoderSettings, PixelOverrides, PixelSettings

STAGES = {"test_resnet": 5, "test_efficientnet": 6, "test_convnext": 5, "test_vit": 7}
CUTS = [
    (name, trained)
    for name, stages in STAGES.items()
    for trained in ((0, 1, 2, 7) if name == "test_vit" else range(stages + 1))  # its blocks are all alike
]
WITH_BATCH_NORM = {"test_resnet", "test_efficientnet"}
SIZE = 160  # what test_vit was made for


def settings(name: str, **more: object) -> EncoderSettings:
    return EncoderSettings(name=name, pretrained="weights" in more, pixels=PixelOverrides(size=SIZE), **more)


def randomised(module: nn.Module) -> dict[str, Tensor]:
    """Weights and statistics that differ from one another, unlike fresh ones."""
    torch.manual_seed(1)
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand_like(tensor) + 0.5 if "running_var" in name else torch.randn_like(tensor) * 0.2)
    return module.state_dict()


@pytest.fixture
def weights(tmp_path: Path) -> Callable[..., Path]:
    """A file of random weights of a backbone in timm's names, some changed (or, with None, left out)."""

    def make(name: str, changes: dict[str, Tensor | None] | None = None) -> Path:
        tensors = {**randomised(timm.create_model(name)), **(changes or {})}
        file = tmp_path / f"{name}.safetensors"
        save_file({key: tensor.contiguous() for key, tensor in tensors.items() if tensor is not None}, str(file))
        return file

    return make


@pytest.fixture
def pixels() -> Tensor:
    return torch.randn(2, 3, SIZE, SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def timms_features(name: str, file: Path, pixels: Tensor) -> Tensor:
    """The deepest feature map, [B, C, height, width], by timm's own means."""
    model = timm.create_model(name, checkpoint_path=str(file)).double().eval()
    # A vision Transformer's map is normalised, as its own classifier would see it; the others here have no such norm.
    return model.forward_intermediates(pixels, indices=1, norm=name == "test_vit", intermediates_only=True)[-1]


@torch.no_grad()
@pytest.mark.parametrize(("name", "trained"), CUTS)
def test_every_cut_equals_timms_features(name: str, trained: int, weights: Callable[..., Path], pixels: Tensor) -> None:
    file = weights(name)
    encoder = Encoder(settings(name, weights=file), trained).double().eval()
    expected = timms_features(name, file, pixels)
    assert expected.std() > 1e-3
    assert (len(encoder.frozen), len(encoder.trainable)) == (STAGES[name] - trained, trained)
    assert encoder.grid == expected.shape[2:] and encoder.channels == expected.shape[1]
    regions = encoder(pixels)
    # Row by row, as a page is read: the attention's picture is made of it.
    torch.testing.assert_close(regions, expected.flatten(2).transpose(1, 2), rtol=1e-9, atol=1e-12)
    cached = encoder.frozen(pixels)
    assert cached.shape == (2, *encoder.cached_shape)
    torch.testing.assert_close(encoder.forward_trainable(cached), regions, rtol=1e-9, atol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize("trained", [0, 1, 4])
def test_a_swin_gives_channels_last(trained: int) -> None:
    """Its feature maps are [B, height, width, C] in timm."""
    options = {"img_size": 64, "embed_dim": 24, "window_size": 2}
    swin = EncoderSettings(
        name="swin_tiny_patch4_window7_224", pretrained=False, timm_kwargs=options, pixels=PixelOverrides(size=64)
    )
    torch.manual_seed(0)
    encoder = Encoder(swin, trained).double().eval()
    torch.manual_seed(0)
    timms = timm.create_model(swin.name, num_classes=0, **options).double().eval()
    pixels = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    expected = timms.forward_intermediates(pixels, indices=1, intermediates_only=True)[-1]
    assert encoder.grid == (2, 2) and encoder.channels == 192
    torch.testing.assert_close(encoder(pixels), expected.flatten(2).transpose(1, 2), rtol=1e-9, atol=1e-12)


def copied(named: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in named}


def train(encoder: Encoder, pixels: Tensor, steps: int = 3) -> None:
    optimizer = torch.optim.SGD([p for p in encoder.parameters() if p.requires_grad], lr=0.1)
    for _ in range(steps):
        encoder.train()
        loss = encoder(pixels).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@pytest.mark.parametrize(("name", "trained"), [cut for cut in CUTS if cut[1]])
def test_training_moves_the_weights_of_the_trainable_part_only(
    name: str, trained: int, weights: Callable[..., Path], pixels: Tensor
) -> None:
    encoder = Encoder(settings(name, weights=weights(name)), trained).double()
    parameters, buffers = copied(encoder.named_parameters()), copied(encoder.named_buffers())
    train(encoder, pixels)
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in encoder.frozen.parameters())
    changed = {key for key, tensor in encoder.named_parameters() if not torch.equal(tensor, parameters[key])}
    assert changed and all(key.startswith("trainable.") for key in changed)
    assert all(torch.equal(tensor, buffers[key]) for key, tensor in encoder.named_buffers())
    assert name not in WITH_BATCH_NORM or any("running_mean" in key for key in buffers)


@pytest.mark.parametrize("name", sorted(WITH_BATCH_NORM))
def test_a_random_encoder_gathers_statistics_in_its_trainable_part(name: str, pixels: Tensor) -> None:
    encoder = Encoder(settings(name), 2).double()
    before = copied(encoder.named_buffers())
    train(encoder, pixels)
    changed = {key.split(".")[0] for key, tensor in encoder.named_buffers() if not torch.equal(tensor, before[key])}
    assert changed == {"trainable"}


def test_batch_norm_uses_its_statistics_while_training(weights: Callable[..., Path], pixels: Tensor) -> None:
    encoder = Encoder(settings("test_resnet", weights=weights("test_resnet")), 3).double()
    with torch.no_grad():
        torch.testing.assert_close(encoder.train()(pixels), encoder.eval()(pixels))


def test_a_frozen_part_builds_no_graph(pixels: Tensor) -> None:
    encoder = Encoder(settings("test_efficientnet"), 2).double().train()
    assert not encoder.frozen(pixels).requires_grad
    assert encoder(pixels).requires_grad
    assert not Encoder(settings("test_efficientnet"), 0).double().train()(pixels).requires_grad


def test_more_stages_than_there_are() -> None:
    with pytest.raises(
        BadConfig, match=r"^train.trainable_encoder_stages is 7; test_efficientnet has 6 stages at most$"
    ):
        Encoder(settings("test_efficientnet"), 7)


def test_a_missing_tensor_is_named(weights: Callable[..., Path]) -> None:
    file = weights("test_resnet", {"layer2.0.conv1.weight": None, "layer3.0.conv1.weight": None})
    with pytest.raises(BadWeights, match=r"2 of \d+ tensors are missing, first layer2\.0\.conv1\.weight") as caught:
        Encoder(settings("test_resnet", weights=file))
    one_line(caught.value, file)


def test_a_tensor_of_another_shape_is_named(weights: Callable[..., Path]) -> None:
    file = weights("test_resnet", {"layer1.0.conv1.weight": torch.zeros(5, 3, 3, 3)})
    with pytest.raises(
        BadWeights, match=r"layer1\.0\.conv1\.weight has shape \(5, 3, 3, 3\); expected \(\d+, "
    ) as caught:
        Encoder(settings("test_resnet", weights=file))
    one_line(caught.value, file)


def test_a_file_that_is_no_safetensors(tmp_path: Path) -> None:
    for name, content in (("empty", b""), ("text", b"hello" * 100), ("pickle", b"\x80\x02}q\x00.")):
        file = tmp_path / name
        file.write_bytes(content)
        with pytest.raises(BadWeights, match=r"no readable \.safetensors file") as caught:
            Encoder(settings("test_resnet", weights=file))
        one_line(caught.value, file)


@pytest.mark.parametrize("name", ["nowhere.safetensors", "."])
def test_a_file_that_is_not_there(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    with pytest.raises(BadWeights, match=r"no readable \.safetensors file") as caught:
        Encoder(settings("test_resnet", weights=file))
    one_line(caught.value, file)


def one_line(error: ShowtellError, file: Path) -> None:
    assert str(error).startswith(f"{file}: ") and "\n" not in str(error)
    assert len(str(error)) < 300 + len(str(file))


def test_the_classifier_may_be_missing_or_another(weights: Callable[..., Path]) -> None:
    file = weights("test_resnet", {"fc.weight": None, "fc.bias": torch.zeros(3)})
    found = Encoder(settings("test_resnet", weights=file)).state_dict()
    assert torch.equal(found["frozen.0.0.0.weight"], load_file(str(file))["conv1.0.weight"])


def test_weights_in_half_precision_are_read_as_floats(weights: Callable[..., Path]) -> None:
    half = {key: tensor.half() for key, tensor in randomised(timm.create_model("test_convnext")).items()}
    encoder = Encoder(settings("test_convnext", weights=weights("test_convnext", half)))
    assert {parameter.dtype for parameter in encoder.parameters()} == {torch.float32}
    torch.testing.assert_close(encoder.frozen[0][0][0].weight, half["stem.0.weight"].float())


@torch.no_grad()
@pytest.mark.parametrize("published", [True, False])
def test_a_block_can_be_left_out(weights: Callable[..., Path], pixels: Tensor, published: bool) -> None:
    """It passes on what it is given, whether or not its weights are in the file."""
    whole = timm.create_model("test_convnext")
    randomised(whole)
    blocks = whole.stages[2].blocks
    gone = {} if published else {f"stages.2.blocks.1.{key}": None for key in blocks[1].state_dict()}
    file = weights("test_convnext", gone)
    encoder = Encoder(settings("test_convnext", weights=file, remove_blocks=("stages.2.blocks.1",))).double()
    del blocks[1]
    expected = whole.double().eval().forward_intermediates(pixels, indices=1, intermediates_only=True)[-1]
    torch.testing.assert_close(encoder.eval()(pixels), expected.flatten(2).transpose(1, 2), rtol=1e-9, atol=1e-12)


def test_only_blocks_that_are_left_out_may_miss_weights(weights: Callable[..., Path]) -> None:
    gone = {"stages.2.blocks.1.gamma": None, "stages.2.blocks.2.gamma": None}
    with pytest.raises(BadWeights, match=r"1 of \d+ tensors are missing, first stages\.2\.blocks\.2\.gamma"):
        Encoder(settings("test_convnext", weights=weights("test_convnext", gone), remove_blocks=("stages.2.blocks.1",)))


def test_an_unknown_block(pixels: Tensor) -> None:
    with pytest.raises(BadConfig, match=r"^model\.encoder\.remove_blocks: the backbone has no module 'blocks\.9\.1'$"):
        Encoder(settings("test_efficientnet", remove_blocks=("blocks.9.1",)))


def test_an_unknown_backbone() -> None:
    with pytest.raises(BadConfig, match=r"timm has no 'test_resnett'; did you mean 'test_resnet'\?$"):
        Encoder(settings("test_resnett"))


def test_an_unknown_backbone_like_no_other_does_not_list_a_thousand() -> None:
    with pytest.raises(BadConfig, match="timm has no 'qqqqqqqqqqqqqqqq'") as caught:
        Encoder(settings("qqqqqqqqqqqqqqqq"))
    assert len(str(caught.value)) < 400


def test_unreachable_timm_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    def create_model(name: str, pretrained: bool = False, **options: object) -> nn.Module:
        raise ConnectionError("no\nnetwork")

    monkeypatch.setattr(timm, "create_model", create_model)
    with pytest.raises(BadWeights, match=r"could not get the weights of test_resnet \(ConnectionError\)") as caught:
        Encoder(EncoderSettings(name="test_resnet"))
    assert "model.encoder.weights=FILE" in str(caught.value) and "\n" not in str(caught.value)
    assert isinstance(caught.value.__cause__, ConnectionError)


def test_pretrained_weights_are_asked_for_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    create_model = timm.create_model

    def remember(name: str, pretrained: bool = False, **options: object) -> nn.Module:
        asked.append((name, pretrained))
        return create_model(name, **options)

    monkeypatch.setattr(timm, "create_model", remember)
    Encoder(EncoderSettings(name="test_resnet", pixels=PixelOverrides(size=64)))
    Encoder(EncoderSettings(name="test_resnet", pixels=PixelOverrides(size=64)), load=False)
    assert asked == [("test_resnet", True), ("test_resnet", False)]


def test_an_option_that_the_backbone_does_not_take() -> None:
    with pytest.raises(BadConfig, match=r"^model\.encoder\.timm_kwargs: .*'colour'"):
        Encoder(settings("test_resnet", timm_kwargs={"colour": 3}))


def test_a_wrong_option_is_no_matter_of_weights() -> None:
    with pytest.raises(BadConfig, match=r"^model\.encoder\.timm_kwargs: .*'colour'"):
        Encoder(EncoderSettings(name="test_resnet", timm_kwargs={"colour": 3}))


def test_a_backbone_that_is_no_sequence_of_stages() -> None:
    with pytest.raises(BadConfig, match="mixer_s32_224 does not run in stages on 224 x 224 pixels") as caught:
        Encoder(EncoderSettings(name="mixer_s32_224", pretrained=False, pixels=PixelOverrides(size=224)))
    assert "\n" not in str(caught.value)


def test_options_reach_timm() -> None:
    assert Encoder(settings("test_resnet", timm_kwargs={"output_stride": 8})).grid == (20, 20)


def test_a_size_that_the_backbone_does_not_take() -> None:
    pixels = PixelOverrides(size=64)
    with pytest.raises(BadConfig, match="test_vit does not run in stages on 64 x 64 pixels") as caught:
        Encoder(EncoderSettings(name="test_vit", pretrained=False, pixels=pixels))
    assert "\n" not in str(caught.value)
    assert Encoder(
        EncoderSettings(name="test_vit", pretrained=False, pixels=pixels, timm_kwargs={"img_size": 64})
    ).grid == (
        4,
        4,
    )


@pytest.mark.parametrize("trained", [0, 2])
@pytest.mark.parametrize("name", STAGES)
def test_a_vector_is_the_mean_of_the_regions(
    name: str, trained: int, pixels: Tensor, weights: Callable[..., Path]
) -> None:
    trained = min(trained, STAGES[name])
    file = weights(name)
    regions = Encoder(settings(name, weights=file), trained).double().eval()
    vector = Encoder(settings(name, weights=file, layer="pooled"), trained).double().eval()
    with torch.no_grad():
        torch.testing.assert_close(vector(pixels)[:, 0], regions(pixels).mean(1))
        cached = vector.forward_frozen(pixels)
        torch.testing.assert_close(vector.forward_trainable(cached), vector(pixels))
    assert vector.grid == (1, 1) and vector.channels == regions.channels
    # With everything frozen the cache holds one vector and not the map it is the mean of.
    assert (cached[0].numel() == vector.channels) is (trained == 0)


def test_fc7_is_timms_second_fully_connected_layer() -> None:
    with torch.device("meta"):
        wide = Encoder(EncoderSettings(name="vgg16", pretrained=False, layer="fc7", pixels=PixelOverrides(size=224)))
    assert (wide.channels, wide.grid, len(wide.frozen)) == (4096, (1, 1), 6)
    options = {"mlp_ratio": 1 / 64}  # 64 channels between the two layers, not 4096
    narrow = EncoderSettings(
        name="vgg11", pretrained=False, layer="fc7", pixels=PixelOverrides(size=64), timm_kwargs=options
    )
    torch.manual_seed(0)
    encoder = Encoder(narrow, trainable_stages=1).double().eval()
    model = timm.create_model("vgg11", num_classes=0, **options).double().eval()
    own = dict(zip([*model.features.state_dict()], encoder.frozen.state_dict().values(), strict=True))
    model.features.load_state_dict(own)
    model.pre_logits.load_state_dict(encoder.trainable[0][0].state_dict())
    pixels = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        expected = model(pixels)  # without a classifier, what it would see
        assert expected.shape == (1, 4096) and expected.max() > 0
        torch.testing.assert_close(encoder(pixels)[:, 0], expected, rtol=1e-9, atol=1e-12)


def test_vggs_stages_end_with_its_poolings() -> None:
    with torch.device("meta"):
        encoder = Encoder(EncoderSettings(name="vgg16", pretrained=False), trainable_stages=1)
    assert (len(encoder.frozen), len(encoder.trainable)) == (4, 1)
    assert encoder.cached_shape == (512, 14, 14) and encoder.grid == (7, 7)
    assert sum(p.numel() for p in encoder.trainable.parameters()) == 3 * (512 * 512 * 9 + 512)  # conv5_1 to conv5_3


def test_a_densenets_blocks_are_stages_though_a_pooling_stands_before_them() -> None:
    with torch.device("meta"):
        encoder = Encoder(EncoderSettings(name="densenet121", pretrained=False), trainable_stages=2)
    assert (encoder.channels, encoder.grid) == (1024, (7, 7))
    assert (
        len(encoder.frozen) + len(encoder.trainable) == 11
    )  # stem of three parts, four blocks, three transitions, a norm


def test_only_vgg_has_fc7() -> None:
    with pytest.raises(BadConfig, match="test_resnet has no fc7, which is VGG's; expected regions or pooled"):
        Encoder(settings("test_resnet", layer="fc7"))


def test_pixels_come_from_timms_own_configuration() -> None:
    """Values read off timm's model cards."""
    vit = pixel_settings(EncoderSettings(name="vit_base_patch16_224"))
    assert vit == PixelSettings(size=224, interpolation="bicubic", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    vgg = pixel_settings(EncoderSettings(name="vgg16", pixels=PixelOverrides(size=256)))
    assert vgg == PixelSettings(
        size=256, interpolation="bilinear", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
    )
    resolve_recipe = resolve(EncoderSettings(name="test_vit"))
    unset = {name for name, value in resolve_recipe.pixels.model_dump().items() if value is None}
    assert unset == {"resize_size"} and resolve_recipe.pixels.size == 160  # no picture is squashed twice
    assert resolve(resolve_recipe) == resolve_recipe
    assert Encoder(settings("test_vit")).pixels.mean == (0.5, 0.5, 0.5)


NAMED = {
    "resnet50": (2048, 7),
    "resnet101": (2048, 7),
    "resnet152": (2048, 7),
    "resnext101_32x8d": (2048, 7),
    "vgg16": (512, 7),
    "mobilenetv2_100": (320, 7),
    "mobilenetv3_large_100": (960, 7),
    "efficientnet_b0": (320, 7),
    "convnext_tiny": (768, 7),
    "convnext_small": (768, 7),
    "convnext_base": (1024, 7),
    "convnext_large": (1536, 7),
    "vit_base_patch16_224": (768, 14),
    "deit_base_patch16_224": (768, 14),
    "swin_tiny_patch4_window7_224": (768, 7),
}


@pytest.mark.parametrize("name", NAMED)
def test_the_encoders_that_recipes_name(name: str) -> None:
    """Their shapes; without weights and on no device, so that it takes no time. docs/encoders.md has the rest."""
    channels, side = NAMED[name]
    with torch.device("meta"):
        encoder = Encoder(EncoderSettings(name=name, pretrained=False, pixels=PixelOverrides(size=224)))
    assert encoder.channels == channels and encoder.grid == (side, side)
    assert not any(p.requires_grad for p in encoder.parameters())


@pytest.mark.parametrize("name", [*NAMED, "tf_efficientnet_b4"])
def test_pixels_are_what_timm_resolves(name: str) -> None:
    theirs = timm.data.resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(name).to_dict())
    pixels = pixel_settings(EncoderSettings(name=name))
    assert (3, pixels.size, pixels.size) == theirs["input_size"] and pixels.interpolation == theirs["interpolation"]
    assert (pixels.mean, pixels.std) == (theirs["mean"], theirs["std"])
    assert pixels.crop_mode == "squash"


def test_pixels_of_no_possible_size() -> None:
    settings = EncoderSettings(name="test_vit", pretrained=False, timm_kwargs={"img_size": 8})
    with pytest.raises(BadConfig, match=r"^model\.encoder: pixels of size 8: .* greater than or equal to 16$"):
        resolve(settings)


def test_an_unknown_name_cannot_be_settled() -> None:
    with pytest.raises(BadConfig, match=r"timm has no 'test_resnett'; did you mean 'test_resnet'\?$"):
        resolve(EncoderSettings(name="test_resnett"))
