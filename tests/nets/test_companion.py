"""Two encoders against what timm gives for each, and the nouns of a classifier."""

from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

from showtell.errors import BadConfig
from showtell.nets.backbone import resolve
from showtell.nets.captioning_model import build_decoder
from showtell.nets.companion import read_nouns, tag_regions
from showtell.nets.decoder import Sizes
from showtell.nets.encoder import Encoder
from showtell.settings import (
    AttentionSettings,
    CompanionSettings,
    EncoderSettings,
    PixelOverrides,
    TagSettings,
    TransformerSettings,
)

SIZE = 160
OWN, OTHERS = ((0.4, 0.5, 0.6), (0.2, 0.3, 0.4)), ((0.5, 0.5, 0.5), (0.5, 0.25, 0.5))
"""Mean and std of the two encoders."""
NOUNS = ["dog", "", "cat", "dog", "ball"]
"""Of five classes."""


@pytest.fixture
def weights(tmp_path: Path) -> Callable[..., Path]:
    """A file of a backbone's random weights."""

    def make(name: str, classes: int = 0) -> Path:
        torch.manual_seed(1)
        model = timm.create_model(name, num_classes=classes)
        tensors = {
            key: torch.rand_like(t) + 0.5 if "running_var" in key else torch.randn_like(t) * 0.2
            for key, t in model.state_dict().items()
            if t.is_floating_point()
        }
        file = tmp_path / f"{name}.safetensors"
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, str(file))
        return file

    return make


@pytest.fixture
def tags(tmp_path: Path) -> TagSettings:
    (tmp_path / "nouns.txt").write_text("\n".join(NOUNS) + "\n", encoding="utf-8")
    return TagSettings(nouns=tmp_path / "nouns.txt", count=2)


def pair(first: Path, second: Path, classes: int = 0, tags: TagSettings | None = None) -> EncoderSettings:
    mean, std = OTHERS
    companion = CompanionSettings(
        name="test_resnet",
        weights=second,
        timm_kwargs={"num_classes": classes},
        pixels=PixelOverrides(mean=mean, std=std),
        tags=tags,
    )
    own = PixelOverrides(size=SIZE, mean=OWN[0], std=OWN[1])
    return resolve(EncoderSettings(name="test_efficientnet", weights=first, pixels=own, companion=companion))


def normalised(photo: Tensor, of: tuple[tuple[float, ...], tuple[float, ...]]) -> Tensor:
    mean, std = (torch.tensor(values, dtype=photo.dtype).view(3, 1, 1) for values in of)
    return (photo - mean) / std


@pytest.fixture
def photo() -> Tensor:
    return torch.rand(2, 3, SIZE, SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def test_the_companions_channels_come_behind_region_by_region(weights: Callable[..., Path], photo: Tensor) -> None:
    files = {"test_efficientnet": weights("test_efficientnet"), "test_resnet": weights("test_resnet")}
    expected = []
    for (name, file), of in zip(files.items(), (OWN, OTHERS), strict=True):
        timms = timm.create_model(name, num_classes=0, checkpoint_path=str(file)).double().eval()
        features = timms.forward_intermediates(normalised(photo, of), indices=1, intermediates_only=True)[-1]
        expected.append(features.flatten(2).transpose(1, 2))
    encoder = Encoder(pair(*files.values()), trainable_stages=2).double().eval()
    assert encoder.channels == sum(regions.shape[2] for regions in expected)
    regions = encoder(normalised(photo, OWN))
    # The factors between the two normalisations are float32.
    torch.testing.assert_close(regions, torch.cat(expected, 2), rtol=1e-4, atol=1e-4)
    cached = encoder.forward_frozen(normalised(photo, OWN))
    assert cached.shape == (2, *encoder.cached_shape)
    torch.testing.assert_close(encoder.forward_trainable(cached), regions, rtol=1e-9, atol=1e-12)
    assert not any(parameter.requires_grad for parameter in encoder.companion.parameters())
    assert not encoder.train().companion.backbone.training


@torch.no_grad()
@pytest.mark.parametrize("background", [0, 1])
def test_tags_are_the_most_probable_nouns(
    weights: Callable[..., Path], photo: Tensor, tags: TagSettings, background: int
) -> None:
    """Two classes are dogs. With one class more than nouns, the first is none."""
    classes = len(NOUNS) + background
    files = weights("test_efficientnet"), weights("test_resnet", classes)
    encoder = Encoder(pair(*files, classes, tags), trainable_stages=1).double().eval()
    timms = timm.create_model("test_resnet", num_classes=classes).double().eval()
    timms.load_state_dict(encoder.companion.backbone.state_dict())
    p = timms(normalised(photo, OTHERS)).softmax(-1)[:, background:]
    by_noun = {"ball": p[:, 4], "cat": p[:, 2], "dog": p[:, 0] + p[:, 3]}
    assert read_nouns(tags) == list(by_noun)
    expected = torch.zeros(2, 2, encoder.channels, dtype=torch.float64)
    for image in range(2):
        ranked = sorted(range(3), key=lambda column: -list(by_noun.values())[column][image])
        for place, column in enumerate(ranked[:2]):
            expected[image, place, column] = list(by_noun.values())[column][image].sqrt()
    regions = encoder(normalised(photo, OWN))
    assert encoder.num_tags == encoder.prefix_regions == 2 and regions.shape[1] == encoder.num_regions == 2 + 25
    torch.testing.assert_close(regions[:, :2], expected, rtol=1e-3, atol=1e-3)
    cached = encoder.forward_frozen(normalised(photo, OWN))
    torch.testing.assert_close(encoder.forward_trainable(cached), regions, rtol=1e-9, atol=1e-12)


def test_tag_regions_by_hand() -> None:
    found = tag_regions(torch.tensor([[0.0, 0.25, 0.04, 0.64]]), 2, 5)
    torch.testing.assert_close(found, torch.tensor([[[0, 0, 0, 0.8, 0], [0, 0.5, 0, 0, 0]]]))


@torch.no_grad()
def test_a_decoder_embeds_a_tag_by_its_noun() -> None:
    settings = TransformerSettings(width=8, layers=1, heads=2, ffn_dim=8, region_position_embedding="none")
    decoder = build_decoder(settings, Sizes(channels=6, regions=5, vocab_size=9, max_length=4, tags=2)).eval()
    regions = torch.cat([tag_regions(torch.tensor([[0.0, 0.25, 0, 0.64]]), 2, 6), torch.randn(1, 3, 6)], 1)
    embedded = decoder.embed_regions(regions)
    column = decoder.tag_projection.weight.t()
    torch.testing.assert_close(embedded[0, 0], 0.8 * column[3] + decoder.tag_projection.bias)
    torch.testing.assert_close(embedded[0, 1], 0.5 * column[1] + decoder.tag_projection.bias)
    torch.testing.assert_close(embedded[:, 2:], decoder.region_projection(regions[:, 2:]))


def test_a_decoder_that_takes_no_tags() -> None:
    with pytest.raises(BadConfig, match="no decoder of kind 'attention' takes any"):
        build_decoder(AttentionSettings(), Sizes(channels=6, regions=5, vocab_size=9, max_length=4, tags=2))


def test_imagenets_nouns() -> None:
    nouns = read_nouns(TagSettings())
    assert len(nouns) == 398 and {"dog", "refrigerator", "zebra", "pizza"} < set(nouns)


@pytest.mark.parametrize("classes", [0, 4, 7])
def test_a_classifier_with_other_classes(weights: Callable[..., Path], tags: TagSettings, classes: int) -> None:
    files = weights("test_efficientnet"), weights("test_resnet", classes)
    with pytest.raises(BadConfig, match=f"found 5 nouns for a classifier with {classes} classes"):
        Encoder(pair(*files, classes, tags))


def test_more_tags_than_nouns(weights: Callable[..., Path], tags: TagSettings) -> None:
    files = weights("test_efficientnet"), weights("test_resnet", 5)
    with pytest.raises(BadConfig, match=r"found 3 nouns; expected at least tags\.count, 4"):
        Encoder(pair(*files, 5, tags.model_copy(update={"count": 4})))


def test_nouns_that_cannot_be_read(weights: Callable[..., Path], tmp_path: Path) -> None:
    files = weights("test_efficientnet"), weights("test_resnet", 5)
    with pytest.raises(BadConfig, match=r"nowhere.txt cannot be read"):
        Encoder(pair(*files, 5, TagSettings(nouns=tmp_path / "nowhere.txt")))


def test_another_number_of_regions(weights: Callable[..., Path]) -> None:
    settings = pair(weights("test_efficientnet"), weights("test_resnet"))
    finer = settings.companion.model_copy(update={"timm_kwargs": {"output_stride": 16}})
    with pytest.raises(BadConfig, match="companion: test_resnet has 100 regions; expected 25, as the encoder has"):
        Encoder(settings.model_copy(update={"companion": finer}))


def test_it_needs_a_frozen_stage(weights: Callable[..., Path]) -> None:
    settings = pair(weights("test_efficientnet"), weights("test_resnet"))
    with pytest.raises(BadConfig, match=r"expected fewer train\.trainable_encoder_stages"):
        Encoder(settings, trainable_stages=6)


@pytest.mark.parametrize(
    "wrong",
    [{"name": "features"}, {"pca": 4}, {"layer": "pooled"}, {"companion": {"name": "features"}}],
)
def test_two_timm_models_and_nothing_else(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected two timm models, or no companion"):
        EncoderSettings(**{"name": "test_resnet", "companion": {"name": "test_resnet"}, **wrong})


def test_the_pixels_are_the_first_encoders() -> None:
    with pytest.raises(ValueError, match=r"companion\.pixels\.size: found 32; expected none"):
        EncoderSettings(name="test_resnet", companion={"name": "test_resnet", "pixels": {"size": 32}})
