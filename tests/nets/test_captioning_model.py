import itertools

import pytest
import torch
from tests.tiny_decoders import DECODERS, attention, transformer

from showtell.nets.captioning_model import CaptioningModel
from showtell.settings import DecoderSettings, EncoderSettings, ModelSettings, PixelOverrides

BACKBONES = {"test_resnet": 64, "test_convnext": 96, "test_vit": 160}
TRANSFORMER, LSTM = transformer(layers=1), attention("lstm")


def settings(backbone: str, decoder: DecoderSettings, layer: str = "regions") -> ModelSettings:
    pixels = PixelOverrides(size=BACKBONES[backbone])
    encoder = EncoderSettings(name=backbone, pretrained=False, pixels=pixels, layer=layer)
    return ModelSettings(encoder=encoder, decoder=decoder)


CASES = [
    (backbone, decoder, ("regions", "pooled")[(i + n) % 2])
    for i, backbone in enumerate(BACKBONES)
    for n, decoder in enumerate(DECODERS)
]


def test_every_two_of_backbone_decoder_and_layer_meet() -> None:
    for one, other in itertools.combinations(range(3), 2):
        met = {(case[one], case[other]) for case in CASES}
        assert len(met) == len({case[one] for case in CASES}) * len({case[other] for case in CASES})


@pytest.mark.parametrize(("backbone", "decoder", "layer"), CASES)
def test_any_encoder_meets_any_decoder(backbone: str, decoder: str, layer: str) -> None:
    whole = settings(backbone, DECODERS[decoder], layer)
    model = CaptioningModel(whole, vocab_size=17, max_positions=6).eval()
    memory = model.encode(torch.randn(2, 3, BACKBONES[backbone], BACKBONES[backbone]))
    taught = model.decoder(torch.randint(17, (2, 3, 7)), memory)
    assert model.decoder.logits(taught.hidden).shape == (2, 3, 7, 17)
    if taught.attention is not None:
        assert taught.attention.shape == (2, 3, 7, model.encoder.grid[0] * model.encoder.grid[1])
    assert model.encoder.grid == (1, 1) or layer == "regions"


def test_the_longest_caption_fits_with_its_start_token_and_no_more() -> None:
    model = CaptioningModel(settings("test_resnet", TRANSFORMER), vocab_size=17, max_positions=6).eval()
    memory = model.encode(torch.randn(1, 3, 64, 64))
    state = model.decoder.init_state(memory)
    for _ in range(7):
        _, state, _ = model.decoder.step(torch.ones(1, 1, dtype=torch.long), memory, state)
    with pytest.raises(IndexError):
        model.decoder.step(torch.ones(1, 1, dtype=torch.long), memory, state)


def test_load_false_asks_for_no_weights() -> None:
    """A caller that loads a whole model must not need the encoder's own file."""
    encoder = EncoderSettings(name="test_resnet", weights="/nowhere.safetensors", pixels=PixelOverrides(size=64))
    whole = ModelSettings(encoder=encoder, decoder=LSTM)
    assert CaptioningModel(whole, vocab_size=17, max_positions=6, load=False).encoder.grid == (2, 2)


def test_trained_stages_reach_the_encoder() -> None:
    model = CaptioningModel(settings("test_convnext", LSTM), vocab_size=17, max_positions=6, trainable_stages=2)
    assert len(model.encoder.trainable) == 2
