import pytest
import torch
from tests.tiny_decoders import DECODERS, attention, transformer

from showtell.nets.captioning_model import CaptioningModel
from showtell.settings import DecoderSettings, EncoderSettings, ModelSettings, PixelChoices

BACKBONES = {"test_resnet": 64, "test_convnext": 96, "test_vit": 160}
TRANSFORMER, LSTM = transformer(layers=1), attention("lstm")


def settings(backbone: str, decoder: DecoderSettings, layer: str = "regions") -> ModelSettings:
    pixels = PixelChoices(size=BACKBONES[backbone])
    encoder = EncoderSettings(name=backbone, random=True, pixels=pixels, layer=layer)
    return ModelSettings(encoder=encoder, decoder=decoder)


@pytest.mark.parametrize("layer", ["regions", "vector"])
@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("decoder", DECODERS)
def test_any_encoder_meets_any_decoder(backbone: str, decoder: str, layer: str) -> None:
    whole = settings(backbone, DECODERS[decoder], layer)
    model = CaptioningModel(whole, vocabulary=17, max_words=6).eval()
    memory = model.memory(torch.randn(2, 3, BACKBONES[backbone], BACKBONES[backbone]))
    taught = model.decoder.teach(torch.randint(17, (2, 3, 7)), memory)
    assert model.decoder.logits(taught.hidden).shape == (2, 3, 7, 17)
    if taught.attention is not None:
        assert taught.attention.shape == (2, 3, 7, model.encoder.grid[0] * model.encoder.grid[1])
    assert model.encoder.grid == (1, 1) or layer == "regions"


def test_the_longest_caption_fits_with_its_start_token_and_no_more() -> None:
    model = CaptioningModel(settings("test_resnet", TRANSFORMER), vocabulary=17, max_words=6).eval()
    memory = model.memory(torch.randn(1, 3, 64, 64))
    state = model.decoder.start(memory)
    for _ in range(7):
        _, state, _ = model.decoder.step(torch.ones(1, 1, dtype=torch.long), memory, state)
    with pytest.raises(IndexError):
        model.decoder.step(torch.ones(1, 1, dtype=torch.long), memory, state)


def test_load_false_asks_for_no_weights() -> None:
    """A caller that loads a whole model must not need the encoder's own file."""
    encoder = EncoderSettings(name="test_resnet", weights="/nowhere.safetensors", pixels=PixelChoices(size=64))
    whole = ModelSettings(encoder=encoder, decoder=LSTM)
    assert CaptioningModel(whole, vocabulary=17, max_words=6, load=False).encoder.grid == (2, 2)


def test_trained_stages_reach_the_encoder() -> None:
    model = CaptioningModel(settings("test_convnext", LSTM), vocabulary=17, max_words=6, trained_stages=2)
    assert len(model.encoder.late) == 2
