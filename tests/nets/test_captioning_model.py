import pytest
import torch

from showtell.config import AttentionLSTMSettings, EncoderSettings, ModelSettings, PixelSettings, TransformerSettings
from showtell.nets.captioning_model import CaptioningModel
from showtell.nets.recurrent import AttentionLSTM
from showtell.nets.transformer import TransformerDecoder

BACKBONES = {"test_resnet": 64, "test_convnext": 96, "test_vit": 160}
TRANSFORMER = TransformerSettings(width=12, layers=1, heads=3, feed_forward=16)
LSTM = AttentionLSTMSettings(width=12, embedding=10, attention=9)


def settings(backbone: str, decoder: TransformerSettings | AttentionLSTMSettings) -> ModelSettings:
    pixels = PixelSettings(size=BACKBONES[backbone])
    return ModelSettings(encoder=EncoderSettings(name=backbone, random=True, pixels=pixels), decoder=decoder)


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize(("decoder", "kind"), [(TRANSFORMER, TransformerDecoder), (LSTM, AttentionLSTM)])
def test_any_encoder_meets_any_decoder(
    backbone: str, decoder: TransformerSettings | AttentionLSTMSettings, kind: type
) -> None:
    model = CaptioningModel(settings(backbone, decoder), vocabulary=17, max_words=6).eval()
    assert isinstance(model.decoder, kind)
    memory = model.memory(torch.randn(2, 3, BACKBONES[backbone], BACKBONES[backbone]))
    taught = model.decoder.teach(torch.randint(17, (2, 3, 7)), memory)
    assert model.decoder.logits(taught.hidden).shape == (2, 3, 7, 17)
    assert taught.attention.shape == (2, 3, 7, model.encoder.grid[0] * model.encoder.grid[1])


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
    encoder = EncoderSettings(name="test_resnet", weights="/nowhere.safetensors", pixels=PixelSettings(size=64))
    whole = ModelSettings(encoder=encoder, decoder=LSTM)
    assert CaptioningModel(whole, vocabulary=17, max_words=6, load=False).encoder.grid == (2, 2)


def test_trained_stages_reach_the_encoder() -> None:
    model = CaptioningModel(settings("test_convnext", LSTM), vocabulary=17, max_words=6, trained_stages=2)
    assert len(model.encoder.late) == 2
