import pytest
import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional

from showtell.nets.captioning_model import CaptioningModel
from showtell.settings import (
    AttentionLSTMSettings,
    DecoderSettings,
    EncoderSettings,
    ModelSettings,
    PixelSettings,
    TrainSettings,
    TransformerSettings,
)
from showtell.train.losses import CaptionLoss, doubly_stochastic_penalty

PAD, UNKNOWN, END, LANGUAGE, VOCABULARY = 0, 1, 2, 3, 13
TRANSFORMER = TransformerSettings(width=12, layers=1, heads=3, feed_forward=16)
LSTM = AttentionLSTMSettings(width=12, embedding=10, attention=9, doubly_stochastic=0)


def loss_of(decoder: DecoderSettings, **train: float) -> CaptionLoss:
    torch.manual_seed(0)
    encoder = EncoderSettings(name="test_resnet", random=True, pixels=PixelChoices(size=64))
    model = CaptioningModel(ModelSettings(encoder=encoder, decoder=decoder), VOCABULARY, 8, trained_stages=1)
    for parameter in model.decoder.parameters():
        nn.init.normal_(parameter, std=0.5)
    return CaptionLoss(model, decoder, TrainSettings(**train), PAD, UNKNOWN).eval()


@pytest.fixture
def features() -> Tensor:
    encoder = loss_of(LSTM).model.encoder
    return torch.randn(3, *encoder.cached_shape, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def slots() -> list[Tensor]:
    """Two captions of each of three photos; the second photo has but one."""
    return [
        torch.tensor([[[3, 5, 2, 0, 0]], [[3, 6, 7, 8, 2]], [[3, 2, 0, 0, 0]]]),
        torch.tensor([[[3, 9, 9, 10, 11, 12, 2]], [[0] * 7], [[3, 5, 4, 5, 2, 0, 0]]]),
    ]


def all_logits(loss: CaptionLoss, features: Tensor, tokens: Tensor) -> Tensor:
    model = loss.model
    memory = model.decoder.memory(model.encoder.finish(features))
    return model.decoder.logits(model.decoder.teach(tokens[:, :, :-1], memory).hidden)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("decoder", [TRANSFORMER, LSTM], ids=["transformer", "attention_lstm"])
def test_equals_torchs_cross_entropy(
    decoder: DecoderSettings, smoothing: float, features: Tensor, slots: list[Tensor]
) -> None:
    loss = loss_of(decoder, label_smoothing=smoothing)
    found, entropy = loss(lambda: features, slots, train_encoder=False)
    logits = torch.cat([all_logits(loss, features, tokens).flatten(0, 2) for tokens in slots])
    targets = torch.cat([tokens[:, :, 1:].flatten() for tokens in slots])
    assert int((targets != PAD).sum()) == 2 + 4 + 1 + 6 + 4
    smoothed = functional.cross_entropy(logits, targets, ignore_index=PAD, label_smoothing=smoothing)
    torch.testing.assert_close(found, smoothed)
    torch.testing.assert_close(entropy, functional.cross_entropy(logits, targets, ignore_index=PAD))
    assert found.requires_grad and not entropy.requires_grad


@pytest.mark.parametrize("decoder", [TRANSFORMER, LSTM], ids=["transformer", "attention_lstm"])
def test_padding_and_slots_are_matters_of_layout(
    decoder: DecoderSettings, features: Tensor, slots: list[Tensor]
) -> None:
    loss = loss_of(decoder.model_copy(update={"doubly_stochastic": 1.0} if decoder is LSTM else {}))
    expected, _ = loss(lambda: features, slots, False)
    one_block = torch.cat([functional.pad(tokens, (0, 9 - tokens.shape[2])) for tokens in slots], 1)
    torch.testing.assert_close(loss(lambda: features, [one_block], False)[0], expected)
    torch.testing.assert_close(loss(lambda: features, slots[::-1], False)[0], expected)


def test_the_encoder_learns_only_when_asked(features: Tensor, slots: list[Tensor]) -> None:
    loss = loss_of(TRANSFORMER)
    for train_encoder in (False, True):
        loss(lambda: features, slots, train_encoder)[0].backward()
        gradients = [parameter.grad for parameter in loss.model.encoder.late.parameters()]
        assert all((gradient is not None) is train_encoder for gradient in gradients)
        assert all(parameter.grad is not None for parameter in loss.model.decoder.parameters())
    with torch.no_grad():
        assert not loss(lambda: features, slots, True)[0].requires_grad


def test_mixed_precision_leaves_the_photo_and_the_encoder_alone(features: Tensor, slots: list[Tensor]) -> None:
    """Fabric rounds whatever tensors it is given; a captioner that is used rounds nothing."""
    loss = loss_of(TRANSFORMER)
    seen = []
    loss.model.encoder.late.register_forward_hook(lambda module, inputs, output: seen.extend([*inputs, output]))
    wrapped = Fabric(accelerator="cpu", devices=1, precision="bf16-mixed").setup_module(loss)
    found, entropy = wrapped(lambda: features, slots, True)
    assert torch.equal(seen[0], features) and seen[1].dtype == torch.float32
    assert found.dtype == entropy.dtype == torch.float32


# --- word dropout


def test_word_dropout_spares_the_language_and_the_padding() -> None:
    loss = loss_of(LSTM, word_dropout=0.4).train()
    torch.manual_seed(0)
    inputs = torch.randint(4, VOCABULARY, (50, 3, 20))
    inputs[:, :, 0] = LANGUAGE
    inputs[:, :, 12:] = PAD
    dropped = loss._drop_words(inputs)
    assert torch.equal(dropped[:, :, 0], inputs[:, :, 0]) and torch.equal(dropped[:, :, 12:], inputs[:, :, 12:])
    words, kept = dropped[:, :, 1:12], inputs[:, :, 1:12]
    changed = words != kept
    assert (words[changed] == UNKNOWN).all()
    assert abs(changed.float().mean() - 0.4) < 0.03
    assert not torch.equal(loss._drop_words(inputs), dropped)


def test_word_dropout_is_for_training(features: Tensor, slots: list[Tensor]) -> None:
    loss = loss_of(TRANSFORMER, word_dropout=0.999)
    assert all(torch.equal(loss._drop_words(tokens), tokens) for tokens in slots)
    torch.testing.assert_close(
        loss(lambda: features, slots, False)[0], loss_of(TRANSFORMER)(lambda: features, slots, False)[0]
    )


def test_dropped_words_are_still_to_be_said(features: Tensor, slots: list[Tensor]) -> None:
    loss = loss_of(TRANSFORMER.model_copy(update={"dropout": 0.0}), word_dropout=0.999).train()
    loss.model.encoder.eval()
    blind = [torch.where((tokens != PAD) & (torch.arange(tokens.shape[2]) > 0), UNKNOWN, tokens) for tokens in slots]
    logits = torch.cat([all_logits(loss, features, tokens).flatten(0, 2) for tokens in blind])
    targets = torch.cat([tokens[:, :, 1:].flatten() for tokens in slots])
    _, entropy = loss(lambda: features, slots, False)
    torch.testing.assert_close(entropy, functional.cross_entropy(logits, targets, ignore_index=PAD))


# --- the doubly stochastic regulariser


def test_penalty_by_hand() -> None:
    attention = torch.tensor(
        [
            [
                [[0.5, 0.5], [1.0, 0.0], [0.9, 0.1]],  # sums 1.5 and 0.5 over its two words; the third is padding
                [[0.25, 0.75], [0.2, 0.8], [0.3, 0.7]],  # sums 0.25 and 0.75 over its one word
                [[0.4, 0.6], [0.4, 0.6], [0.4, 0.6]],  # no caption at all
            ]
        ]
    )
    real = torch.tensor([[[True, True, False], [True, False, False], [False, False, False]]])
    expected = torch.tensor([[0.25, 0.25], [0.5625, 0.0625]])
    torch.testing.assert_close(doubly_stochastic_penalty(attention, real), expected)


def test_penalty_is_0_when_every_region_is_looked_at_once() -> None:
    real = torch.ones(1, 1, 4, dtype=torch.bool)
    assert (doubly_stochastic_penalty(torch.eye(4)[None, None], real) == 0).all()


def test_penalty_joins_the_loss_with_its_weight(features: Tensor, slots: list[Tensor]) -> None:
    plain, entropy = loss_of(LSTM)(lambda: features, slots, False)
    loss = loss_of(LSTM.model_copy(update={"doubly_stochastic": 0.7}))
    found, found_entropy = loss(lambda: features, slots, False)
    memory = loss.model.decoder.memory(loss.model.encoder.finish(features))
    penalties = [
        (1 - loss.model.decoder.teach(caption[None, None, :-1], one).attention[0, 0].sum(0)).square()
        for tokens in slots
        for image in range(3)
        if len(caption := tokens[image, 0][tokens[image, 0] != PAD])
        for one in [{name: tensor[image : image + 1] for name, tensor in memory.items()}]
    ]
    assert len(penalties) == 5
    torch.testing.assert_close(found - plain, 0.7 * torch.stack(penalties).mean())
    torch.testing.assert_close(found_entropy, entropy)  # comparable between runs with and without
