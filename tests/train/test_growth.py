"""A larger network says what the smaller one said, until it is trained."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from showtell.core.tokenizer import Tokenizer
from showtell.nets.captioning_model import CaptioningModel
from showtell.settings import (
    CompanionSettings,
    EncoderSettings,
    ModelSettings,
    PixelOverrides,
    TagSettings,
    TransformerSettings,
)
from showtell.train.best_model import load_state
from showtell.train.growth import grown

ENGLISH = ["a dog runs", "the dog sleeps", "a red ball"]
ARABIC = ["كلب يجري", "كرة حمراء"]
FEW = Tokenizer.build(ENGLISH, ("en",), 1)
MANY = Tokenizer.build([*ARABIC, *ENGLISH], ("ar", "en"), 1)
POSITIONS = 8


def model(tokenizer: Tokenizer, companion: CompanionSettings | None = None, tie: bool = True) -> CaptioningModel:
    torch.manual_seed(tokenizer.vocab_size)
    decoder = TransformerSettings(
        width=16, layers=1, heads=2, ffn_dim=32, dropout=0.0, tie_weights=tie, input_norm=False
    )
    pixels = PixelOverrides(size=160)
    encoder = EncoderSettings(name="test_efficientnet", pretrained=False, pixels=pixels, companion=companion)
    network = CaptioningModel(ModelSettings(encoder=encoder, decoder=decoder), tokenizer.vocab_size, POSITIONS)
    for parameter in network.decoder.parameters():  # whose biases begin as zeros
        torch.nn.init.normal_(parameter, std=0.3)
    return network.double().eval()


def grow(small: CaptioningModel, large: CaptioningModel) -> CaptioningModel:
    load_state(large, grown(large, small.state_dict(), FEW, MANY))
    return large


@torch.no_grad()
def logits(network: CaptioningModel, tokenizer: Tokenizer, pixels: Tensor) -> Tensor:
    """Of an English caption, for the tokens of `FEW` in their order: [T, V]"""
    memory = network.encode(pixels)
    ids = torch.tensor(tokenizer.encode("a red dog sleeps", "en"))[:-1]
    hidden = network.decoder(ids[None, None], memory)[0]
    words: Sequence[str] = sorted(FEW.backend.get_vocab(), key=FEW.backend.get_vocab().__getitem__)
    return network.decoder.logits(hidden)[0, 0][:, [tokenizer.backend.token_to_id(word) for word in words]]


@pytest.fixture
def pixels() -> Tensor:
    return torch.rand(1, 3, 160, 160, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("tie", [True, False])
def test_words_that_both_have_are_as_probable_as_before(tie: bool, pixels: Tensor) -> None:
    small = model(FEW, tie=tie)
    large = grow(small, model(MANY, tie=tie))
    torch.testing.assert_close(logits(large, MANY, pixels), logits(small, FEW, pixels))


def test_stages_of_the_encoder_keep_their_tensors_where_another_one_has_their_name() -> None:
    """Where more stages are trained, `trainable.0` is another one; loading finds each by what it is."""
    small, large = model(FEW), model(MANY)
    name = next(name for name in large.state_dict() if name.startswith("encoder.frozen.") and name.endswith(".weight"))
    weights = {**small.state_dict(), name: torch.ones(7, 7)}
    assert torch.equal(grown(large, weights, FEW, MANY)[name], torch.ones(7, 7))


def test_new_words_begin_as_rare_ones() -> None:
    small = model(FEW)
    large = grow(small, model(MANY))
    new = [MANY.backend.token_to_id(word) for word in ("كلب", "كرة")]
    assert torch.equal(large.decoder.output_bias[new], small.decoder.output_bias.min().expand(2))


def test_a_companion_begins_without_a_say(pixels: Tensor) -> None:
    small = model(FEW)
    companion = CompanionSettings(name="test_resnet", pretrained=False, timm_kwargs={"output_stride": 32})
    large = grow(small, model(MANY, companion))
    assert large.encoder.channels > small.encoder.channels
    torch.testing.assert_close(logits(large, MANY, pixels), logits(small, FEW, pixels))


def test_tags_come_before_the_positions_of_regions(tmp_path: Path) -> None:
    (tmp_path / "nouns").write_text("dog\ncat\nball\n", encoding="utf-8")
    small = model(FEW)
    tags = TagSettings(count=3, nouns=tmp_path / "nouns")
    companion = CompanionSettings(name="test_resnet", pretrained=False, timm_kwargs={"num_classes": 3}, tags=tags)
    large = model(MANY, companion)
    before = large.decoder.region_position_embedding[:3].clone()
    positions = grow(small, large).decoder.region_position_embedding
    assert torch.equal(positions[3:], small.decoder.region_position_embedding)
    assert torch.equal(positions[:3], before)
