import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from tests.rounding import log_softmax_bound, sum_bound
from tests.tiny_decoders import DECODERS
from torch import Tensor, nn
from torch.nn import functional

from showtell.nets.captioning_model import CaptioningModel, build_decoder
from showtell.nets.decoder import Decoder, DecoderOutput, Sizes, Tensors
from showtell.settings import (
    AttentionSettings,
    DecoderSettings,
    EncoderSettings,
    ModelSettings,
    PixelOverrides,
    TrainSettings,
    TransformerSettings,
)
from showtell.train.batches import PAD
from showtell.train.losses import (
    BASELINE_DECAY,
    CaptionLoss,
    LossInputs,
    PackedOutput,
    doubly_stochastic_loss,
    forward_packed,
    hard_attention_loss,
)

UNKNOWN, LANGUAGE, VOCABULARY = 1, 3, 13
TRANSFORMER = TransformerSettings(width=12, layers=1, heads=3, ffn_dim=16)
LSTM = AttentionSettings(width=12, embedding_dim=10, attention_dim=9, doubly_stochastic_weight=0)


def loss_of(decoder: DecoderSettings, prompt: int = 1, **train: object) -> CaptionLoss:
    torch.manual_seed(0)
    encoder = EncoderSettings(name="test_resnet", pretrained=False, pixels=PixelOverrides(size=64))
    model = CaptioningModel(ModelSettings(encoder=encoder, decoder=decoder), VOCABULARY, 8, trainable_stages=1)
    for parameter in model.decoder.parameters():
        nn.init.normal_(parameter, std=0.5)
    return CaptionLoss(model.double(), TrainSettings(**train), prompt, UNKNOWN, [0, UNKNOWN]).eval()


@pytest.fixture
def features() -> Tensor:
    encoder = loss_of(LSTM).model.encoder
    return torch.randn(3, *encoder.cached_shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


LARGEST_LOGIT = 20.0
LOSS_BOUND = log_softmax_bound(np.full(VOCABULARY, LARGEST_LOGIT)) + sum_bound(17, 2 * LARGEST_LOGIT)
"""The network computes in float64 here, but a loss is the mean of 17 words' log-probabilities in float32."""


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found.double(), expected.double(), rtol=0, atol=LOSS_BOUND)


def close_gradients(found: Sequence[Tensor], expected: Sequence[Tensor]) -> None:
    """What comes back through the float32 loss are the gradients of 17 words' logits, each off by a softmax over the
    vocabulary; from there on it is float64."""
    bound = sum_bound(2 * VOCABULARY, 17 * VOCABULARY * max(float(gradient.abs().max()) for gradient in expected))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=bound)


def same(found: Tensor, expected: Tensor) -> None:
    """In float64 throughout."""
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@pytest.fixture
def slots() -> list[Tensor]:
    """Two captions of each of three photos; the second photo has but one."""
    return [
        torch.tensor([[[3, 5, 2, PAD, PAD]], [[3, 6, 7, 8, 2]], [[3, 2, PAD, PAD, PAD]]]),
        torch.tensor([[[3, 9, 9, 10, 11, 12, 2]], [[PAD] * 7], [[3, 5, 4, 5, 2, PAD, PAD]]]),
    ]


def all_logits(loss: CaptionLoss, features: Tensor, tokens: Tensor) -> Tensor:
    model = loss.model
    memory = model.decoder.encode_memory(model.encoder.forward_trainable(features))
    logits = model.decoder.logits(model.decoder(tokens[:, :, :-1].clamp(min=0), memory).hidden)
    assert logits.abs().max() < LARGEST_LOGIT
    return logits


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("decoder", [TRANSFORMER, LSTM], ids=["transformer", "attention"])
def test_equals_torchs_cross_entropy(
    decoder: DecoderSettings, smoothing: float, features: Tensor, slots: list[Tensor]
) -> None:
    loss = loss_of(decoder, label_smoothing=smoothing)
    found, entropy = loss(lambda: LossInputs(features, slots), train_encoder=False)
    logits = torch.cat([all_logits(loss, features, tokens).flatten(0, 2) for tokens in slots])
    targets = torch.cat([tokens[:, :, 1:].flatten() for tokens in slots])
    assert int((targets != PAD).sum()) == 2 + 4 + 1 + 6 + 4
    smoothed = functional.cross_entropy(logits, targets, ignore_index=PAD, label_smoothing=smoothing)
    close(found, smoothed)
    close(entropy, functional.cross_entropy(logits, targets, ignore_index=PAD))
    assert found.requires_grad and not entropy.requires_grad


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_what_teachers_expect_is_learned_beside_the_true_words(
    weight: float, features: Tensor, slots: list[Tensor]
) -> None:
    """Torch's cross-entropy takes probabilities for targets, too."""
    loss = loss_of(TRANSFORMER, label_smoothing=0.1, distillation={"weight": weight})
    words = torch.cat([tokens[:, :, 1:].flatten() for tokens in slots])
    logits = torch.cat([all_logits(loss, features, tokens).flatten(0, 2) for tokens in slots])[words != PAD]
    expected = torch.randn(len(logits), VOCABULARY, generator=torch.Generator().manual_seed(2)).log_softmax(-1)
    found, entropy = loss(lambda: LossInputs(features, slots, expected), train_encoder=False)
    true = functional.cross_entropy(logits, words[words != PAD], label_smoothing=0.1)
    close(found, (1 - weight) * true + weight * functional.cross_entropy(logits, expected.exp()))
    close(entropy, functional.cross_entropy(logits, words[words != PAD]))


@pytest.mark.parametrize("decoder", [TRANSFORMER, LSTM], ids=["transformer", "attention"])
def test_padding_and_slots_are_matters_of_layout(
    decoder: DecoderSettings, features: Tensor, slots: list[Tensor]
) -> None:
    loss = loss_of(decoder.model_copy(update={"doubly_stochastic_weight": 1.0} if decoder is LSTM else {}))
    expected, _ = loss(lambda: LossInputs(features, slots), False)
    one_block = torch.cat([functional.pad(tokens, (0, 9 - tokens.shape[2]), value=PAD) for tokens in slots], 1)
    close(loss(lambda: LossInputs(features, [one_block]), False)[0], expected)
    close(loss(lambda: LossInputs(features, slots[::-1]), False)[0], expected)


def test_an_end_that_is_the_tokenizers_padding_too_is_learned(features: Tensor, slots: list[Tensor]) -> None:
    """As GPT-2's is, in models that pad with it."""
    slots = [tokens.masked_fill(tokens == 2, 0) for tokens in slots]
    _, entropy = loss_of(TRANSFORMER)(lambda: LossInputs(features, slots), False)
    logits = torch.cat([all_logits(loss_of(TRANSFORMER), features, tokens).flatten(0, 2) for tokens in slots])
    targets = torch.cat([tokens[:, :, 1:].flatten() for tokens in slots])
    assert int((targets == 0).sum()) == 5
    close(entropy, functional.cross_entropy(logits, targets, ignore_index=PAD))


@pytest.mark.parametrize("forcing", [1.0, 0.0])
@pytest.mark.parametrize("decoder", [TRANSFORMER, LSTM], ids=["transformer", "attention"])
def test_a_prompt_is_read_and_not_learned(
    decoder: DecoderSettings, forcing: float, features: Tensor, slots: list[Tensor]
) -> None:
    """Three given tokens, with a word of the caption's own among them; without forcing they are read all the same."""
    loss = loss_of(decoder, prompt=3, label_smoothing=0.1)
    slots = [
        torch.where(tokens[:, :, :1] == PAD, PAD, functional.pad(tokens[:, :, 1:], (3, 0), value=9)) for tokens in slots
    ]
    for tokens in slots:
        tokens[:, :, 0] = torch.where(tokens[:, :, 0] == PAD, PAD, LANGUAGE)
    slots = [torch.cat([tokens[:, :, :2], tokens[:, :, 1:2].clamp(max=5), tokens[:, :, 3:]], 2) for tokens in slots]
    assert slots[0][1, 0].tolist() == [3, 9, 5, 6, 7, 8, 2]
    found, entropy = loss(lambda: LossInputs(features, slots), False, teacher_forcing=forcing)
    memory = loss.model.decoder.encode_memory(loss.model.encoder.forward_trainable(features))
    logits, targets = [], []
    for tokens in slots:
        forced = [t < 3 or forcing == 1 for t in range(tokens.shape[2] - 1)]
        hidden = loss.model.decoder.unroll(tokens[:, :, :-1].clamp(min=0), memory, forced).hidden
        logits.append(loss.model.decoder.logits(hidden)[:, :, 2:].flatten(0, 2))
        targets.append(tokens[:, :, 3:].flatten())
    assert int((torch.cat(targets) != PAD).sum()) == 17
    close(found, functional.cross_entropy(torch.cat(logits), torch.cat(targets), ignore_index=PAD, label_smoothing=0.1))
    close(entropy, functional.cross_entropy(torch.cat(logits), torch.cat(targets), ignore_index=PAD))


def test_the_encoder_learns_only_when_asked(features: Tensor, slots: list[Tensor]) -> None:
    loss = loss_of(TRANSFORMER)
    for train_encoder in (False, True):
        loss(lambda: LossInputs(features, slots), train_encoder)[0].backward()
        gradients = [parameter.grad for parameter in loss.model.encoder.trainable.parameters()]
        assert all((gradient is not None) is train_encoder for gradient in gradients)
        assert all(parameter.grad is not None for parameter in loss.model.decoder.parameters())
    with torch.no_grad():
        assert not loss(lambda: LossInputs(features, slots), True)[0].requires_grad


def test_mixed_precision_leaves_the_photo_and_the_encoder_alone(features: Tensor, slots: list[Tensor]) -> None:
    """Fabric rounds whatever tensors it is given; a captioner that is used rounds nothing."""
    loss, features = loss_of(TRANSFORMER).float(), features.float()
    seen = []
    loss.model.encoder.trainable.register_forward_hook(lambda module, inputs, output: seen.extend([*inputs, output]))
    wrapped = Fabric(accelerator="cpu", devices=1, precision="bf16-mixed").setup_module(loss)
    found, entropy = wrapped(lambda: LossInputs(features, slots), True)
    assert torch.equal(seen[0], features) and seen[1].dtype == torch.float32
    assert found.dtype == entropy.dtype == torch.float32


# --- word dropout


@pytest.mark.parametrize("prompt", [1, 3])
def test_word_dropout_spares_the_prompt_and_the_padding(prompt: int) -> None:
    loss = loss_of(LSTM, prompt, word_dropout=0.4).train()
    torch.manual_seed(0)
    inputs = torch.randint(4, VOCABULARY, (50, 3, 20))
    inputs[:, :, :prompt] = LANGUAGE
    inputs[:, :, 12:] = PAD
    dropped = loss._drop_words(inputs)
    assert (dropped[:, :, :prompt] == LANGUAGE).all() and (dropped[:, :, 12:] == PAD).all()
    words, kept = dropped[:, :, prompt:12], inputs[:, :, prompt:12]
    changed = words != kept
    assert (words[changed] == UNKNOWN).all()
    assert abs(changed.float().mean() - 0.4) < 0.03
    assert not torch.equal(loss._drop_words(inputs), dropped)


def test_word_dropout_is_for_training(features: Tensor, slots: list[Tensor]) -> None:
    loss = loss_of(TRANSFORMER, word_dropout=0.999)
    assert all(torch.equal(loss._drop_words(tokens), tokens) for tokens in slots)
    close(
        loss(lambda: LossInputs(features, slots), False)[0],
        loss_of(TRANSFORMER)(lambda: LossInputs(features, slots), False)[0],
    )


def test_dropped_words_are_still_to_be_said(features: Tensor, slots: list[Tensor]) -> None:
    loss = loss_of(TRANSFORMER.model_copy(update={"dropout": 0.0}), word_dropout=0.999).train()
    loss.model.encoder.eval()
    blind = [torch.where((tokens != PAD) & (torch.arange(tokens.shape[2]) > 0), UNKNOWN, tokens) for tokens in slots]
    logits = torch.cat([all_logits(loss, features, tokens).flatten(0, 2) for tokens in blind])
    targets = torch.cat([tokens[:, :, 1:].flatten() for tokens in slots])
    _, entropy = loss(lambda: LossInputs(features, slots), False)
    close(entropy, functional.cross_entropy(logits, targets, ignore_index=PAD))


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
    torch.testing.assert_close(doubly_stochastic_loss(attention, real), expected)


def test_penalty_is_0_when_every_region_is_looked_at_once() -> None:
    real = torch.ones(1, 1, 4, dtype=torch.bool)
    assert (doubly_stochastic_loss(torch.eye(4)[None, None], real) == 0).all()


def test_penalty_joins_the_loss_with_its_weight(features: Tensor, slots: list[Tensor]) -> None:
    plain, entropy = loss_of(LSTM)(lambda: LossInputs(features, slots), False)
    loss = loss_of(LSTM.model_copy(update={"doubly_stochastic_weight": 0.7}))
    found, found_entropy = loss(lambda: LossInputs(features, slots), False)
    memory = loss.model.decoder.encode_memory(loss.model.encoder.forward_trainable(features))
    penalties = [
        (1 - loss.model.decoder(caption[None, None, :-1], one).attention[0, 0].sum(0)).square()
        for tokens in slots
        for image in range(3)
        if len(caption := tokens[image, 0][tokens[image, 0] != PAD])
        for one in [{name: tensor[image : image + 1] for name, tensor in memory.items()}]
    ]
    assert len(penalties) == 5
    close(found - plain, 0.7 * torch.stack(penalties).mean())
    close(found_entropy, entropy)  # comparable between runs with and without


# --- scheduled sampling


CHANNELS, REGIONS, LONGEST = 6, 5, 8


class Given(nn.Module):
    """A model whose features are the regions themselves."""

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.encoder, self.decoder = self.Encoder(), decoder

    class Encoder(nn.Module):
        def forward_trainable(self, features: Tensor) -> Tensor:
            return features


def given(settings: DecoderSettings, **train: object) -> CaptionLoss:
    torch.manual_seed(0)
    decoder = build_decoder(settings, Sizes(CHANNELS, REGIONS, VOCABULARY, LONGEST)).double()
    for parameter in decoder.parameters():
        nn.init.normal_(parameter, std=0.5)
    return CaptionLoss(Given(decoder), TrainSettings(**train), 1, UNKNOWN, [0, UNKNOWN]).eval()


@pytest.fixture
def regions() -> Tensor:
    return torch.randn(3, REGIONS, CHANNELS, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def own_words(decoder: Decoder, memory: Tensors, words: Sequence[int], forced: Sequence[bool]) -> list[Tensor]:
    """One caption of one image, word by word: logits [V] of each, its own likeliest word read where not forced."""
    state, found = decoder.init_state(memory), []
    for t, word in enumerate(words):
        if t and not forced[t]:
            word = int(found[-1].argmax())
        logits, state, _ = decoder.step(torch.tensor([[word]]), memory, state)
        found.append(logits[0, 0])
    return found


def each_caption(
    loss: CaptionLoss, regions: Tensor, slots: list[Tensor]
) -> Iterator[tuple[Tensors, list[int], tuple[int, ...]]]:
    """Memory of its image, its words, its place (slot, image, number)."""
    memory = loss.model.decoder.encode_memory(regions)
    for place, tokens in enumerate(slots):
        for b, n in itertools.product(*map(range, tokens.shape[:2])):
            ids = [word for word in tokens[b, n].tolist() if word != PAD]
            if ids:
                yield {name: tensor[b : b + 1] for name, tensor in memory.items()}, ids, (place, b, n)


@pytest.mark.parametrize("name", DECODERS)
def test_all_words_forced_is_teacher_forcing(name: str, regions: Tensor) -> None:
    decoder = given(DECODERS[name]).model.decoder
    memory = decoder.encode_memory(regions)
    tokens = torch.randint(1, VOCABULARY, (3, 2, LONGEST))
    unrolled, taught = decoder.unroll(tokens, memory, [True] * LONGEST), decoder(tokens, memory)
    same(unrolled.hidden, taught.hidden)
    if taught.attention is None:
        assert unrolled.attention is None
    else:
        same(unrolled.attention, taught.attention)


@pytest.mark.parametrize("name", DECODERS)
def test_a_word_that_is_not_forced_is_the_networks_own(name: str, regions: Tensor) -> None:
    decoder = given(DECODERS[name]).model.decoder
    memory = decoder.encode_memory(regions)
    tokens = torch.randint(1, VOCABULARY, (3, 2, LONGEST))
    forced = [False, True, False, False, True, True, False, True]
    found = decoder.logits(decoder.unroll(tokens, memory, forced).hidden)
    taught = decoder.logits(decoder(tokens, memory).hidden)
    assert not torch.allclose(found[:, :, 2:], taught[:, :, 2:])
    for b, n in itertools.product(range(3), range(2)):
        one = {key: tensor[b : b + 1] for key, tensor in memory.items()}
        expected = torch.stack(own_words(decoder, one, tokens[b, n].tolist(), forced))
        same(found[b, n], expected)


@pytest.mark.parametrize("per", ["step", "batch"])
@pytest.mark.parametrize("name", ["lstm, image first", "lstm, attention", "transformer, pre-norm"])
def test_without_forcing_a_network_reads_itself(name: str, per: str, regions: Tensor, slots: list[Tensor]) -> None:
    plain = DECODERS[name].model_copy(update={"doubly_stochastic_weight": 0.0} if "attention" in name else {})
    loss = given(plain, teacher_forcing_per=per, label_smoothing=0.0)
    found, entropy = loss(lambda: LossInputs(regions, slots), False, teacher_forcing=0.0)
    logits, targets = [], []
    for memory, ids, _ in each_caption(loss, regions, slots):
        logits += own_words(loss.model.decoder, memory, ids[:-1], [False] * len(ids))
        targets += ids[1:]
    expected = functional.cross_entropy(torch.stack(logits), torch.tensor(targets))
    close(found, expected)
    close(entropy, expected)
    assert abs(expected - loss(lambda: LossInputs(regions, slots), False)[0]) > 0.01


def test_full_forcing_draws_nothing_and_unrolls_nothing(
    monkeypatch: pytest.MonkeyPatch, regions: Tensor, slots: list[Tensor]
) -> None:
    loss = given(TRANSFORMER)
    expected = loss(lambda: LossInputs(regions, slots), False)[0]
    monkeypatch.setattr(loss.model.decoder, "unroll", None)
    generator = torch.get_rng_state()
    assert torch.equal(loss(lambda: LossInputs(regions, slots), False, teacher_forcing=1.0)[0], expected)
    assert torch.equal(torch.get_rng_state(), generator)


class Recorder(Decoder):
    """Remembers which words were forced."""

    def __init__(self) -> None:
        super().__init__()
        self.draws: list[list[bool]] = []

    def forward(self, tokens: Tensor, memory: Tensors) -> DecoderOutput:
        return self.unroll(tokens, memory, [True] * tokens.shape[2])

    def unroll(self, tokens: Tensor, memory: Tensors, forced: Sequence[bool]) -> DecoderOutput:
        self.draws.append(list(forced))
        return DecoderOutput(tokens.unsqueeze(-1), None)


@pytest.mark.parametrize("per", ["step", "batch"])
def test_how_often_the_true_word_is_read(per: str) -> None:
    decoder = Recorder()
    settings = TrainSettings(teacher_forcing_per=per)
    loss = CaptionLoss(Given(decoder), settings, 1, UNKNOWN, [0, UNKNOWN])
    torch.manual_seed(0)
    for _ in range(1000):
        draw = loss._forcing_sampler(0.7)  # of a batch with two slots, of two words and of three
        loss._decode([torch.ones(2, 1, length, dtype=torch.long) for length in (2, 3)], {}, draw)
    draws = torch.tensor([[*a, *b] for a, b in zip(decoder.draws[::2], decoder.draws[1::2], strict=True)]).float()
    assert draws.shape == (1000, 5)
    assert (draws.mean(0) - 0.7).abs().max() < 0.06  # 4 standard deviations
    together = (draws == draws[:, :1]).all(1).float().mean()
    if per == "batch":
        assert together == 1
    else:
        assert abs(together - (0.7**5 + 0.3**5)) < 0.05
        neighbours = torch.corrcoef(draws.T) - torch.eye(5)
        assert neighbours.abs().max() < 0.13


# --- hard attention


HARD = AttentionSettings(
    width=8,
    embedding_dim=8,
    attention_dim=8,
    hard=True,
    doubly_stochastic_weight=0.0,
    entropy_weight=0.0,
    dropout=0.0,
    reinforce_weight=1.0,
)


def test_reinforce_equals_loops_over_captions_and_words(regions: Tensor, slots: list[Tensor]) -> None:
    settings = HARD.model_copy(update={"reinforce_weight": 0.8, "entropy_weight": 0.3})
    loss = given(settings).train()
    decoder = loss.model.decoder
    words = forward_packed(slots, 1, lambda inputs: decoder.forward_slots(inputs, decoder.encode_memory(regions)))
    log_probs = decoder.logits(words.hidden).log_softmax(-1)
    baseline = torch.tensor(-3.0)
    entropies = functional.nll_loss(log_probs, words.targets, reduction="none").detach()
    found = hard_attention_loss(words, entropies, baseline, settings)

    total, count = 0.0, 0
    for _, ids, (place, b, n) in each_caption(loss, regions, slots):
        taught = words.slots[place][0]
        log_p = decoder.logits(taught.hidden[b, n]).log_softmax(-1)
        said = sum(float(log_p[t, ids[t + 1]].detach()) for t in range(len(ids) - 1))
        for t in range(len(ids) - 1):
            alpha = taught.attention[b, n, t]
            spread = -sum(weight * weight.log() for weight in alpha)
            total = total - 0.8 * (said - -3.0) * taught.region_log_prob[b, n, t] - 0.3 * spread
            count += 1
    assert count == 17
    close(found, total / count)
    weights = [
        p for name, p in decoder.named_parameters() if name.startswith(("attention", "state_projections", "recurrence"))
    ]
    close_gradients(*(torch.autograd.grad(each, weights, retain_graph=True) for each in (found, total / count)))
    assert all(parameter.grad is None for parameter in decoder.parameters())


def test_the_gradient_is_that_of_the_expected_log_probability(monkeypatch: pytest.MonkeyPatch, regions: Tensor) -> None:
    """Over every choice of regions, weighted by its probability: captions of two words and of one, three regions.

    d/dW sum_s p(s) log p(y|s) = sum_s p(s) [d/dW log p(y|s) + (log p(y|s) - b) d/dW log p(s)], whatever b is.
    """
    loss = given(HARD, label_smoothing=0.0).train()
    decoder, photo = loss.model.decoder, regions[:1, :3]
    slot = torch.tensor([[[3, 5, 2], [3, 2, PAD]]])
    places: list[Tensor] = []
    monkeypatch.setattr(torch, "multinomial", lambda weights, count: places.pop(0).unsqueeze(1))
    weights = dict(decoder.named_parameters())
    objective = torch.zeros(())
    estimates = {name: torch.zeros_like(parameter) for name, parameter in weights.items()}
    captionwise = []
    for first, second, other in itertools.product(range(3), repeat=3):
        chosen = [torch.tensor([first, other]), torch.tensor([second, 0])]  # [beams] at each word
        places[:] = chosen
        taught = decoder(slot[:, :, :-1].clamp(min=0), decoder.encode_memory(photo))
        alpha, log_p = taught.attention[0], decoder.logits(taught.hidden)[0].log_softmax(-1)
        chance = (alpha[0, 0, first] * alpha[0, 1, second], alpha[1, 0, other])
        said = (log_p[0, 0, 5] + log_p[0, 1, 2], log_p[1, 0, 2])
        objective = objective + chance[0] * chance[1] * sum(said)
        captionwise.append(float((chance[0] * chance[1]).detach()))
        places[:] = chosen
        decoder.reward_baseline.fill_(-1.7)
        found = loss(lambda: LossInputs(photo, [slot]), False)[0]
        gradients = torch.autograd.grad(found, weights.values(), allow_unused=True)
        for name, gradient in zip(weights, gradients, strict=True):
            estimates[name] += captionwise[-1] * (0 if gradient is None else gradient)
    assert sum(captionwise) == pytest.approx(1)
    expected = torch.autograd.grad(-objective / 3, weights.values(), allow_unused=True)  # three words
    exact = [torch.zeros_like(weights[n]) if g is None else g for n, g in zip(weights, expected, strict=True)]
    close_gradients(list(estimates.values()), exact)
    assert estimates["attention.decoder_att.weight"].abs().max() > 1e-3


def test_regions_are_looked_at_as_often_as_their_weights_say(regions: Tensor) -> None:
    decoder = given(HARD).train().model.decoder
    memory = decoder.encode_memory(regions[:1])
    with torch.no_grad():
        taught = decoder(torch.full((1, 4000, 1), 3), memory)
    alpha = taught.attention[0, 0, 0]
    seen = (
        torch.stack([(taught.region_log_prob[0, :, 0] - weight.log()).abs() < 1e-4 for weight in alpha]).float().mean(1)
    )
    assert (seen - alpha).abs().max() < 0.03 and alpha.max() - alpha.min() > 0.1


def by_hand(chosen: list[list[float]], attention: list[list[list[float]]], real: list[list[bool]]) -> PackedOutput:
    """One slot of as many images with one caption each; hidden states and targets do not matter."""
    mask = torch.tensor(real).unsqueeze(1)
    taught = DecoderOutput(
        torch.zeros(*mask.shape, 1), torch.tensor(attention).unsqueeze(1), torch.tensor(chosen).unsqueeze(1)
    )
    captions = torch.arange(len(real)).view(-1, 1, 1).expand_as(mask)[mask]
    return PackedOutput(torch.zeros(int(mask.sum()), 1), torch.zeros(int(mask.sum())), captions, [(taught, mask)])


UNIFORM, SURE = [0.5, 0.5], [1.0, 0.0]
TWO_CAPTIONS = by_hand([[-0.1, -0.2], [-0.4, 9.0]], [[UNIFORM, SURE], [UNIFORM, SURE]], [[True, True], [True, False]])


def test_the_baseline_by_hand() -> None:
    """Rewards -1 - 2 and -5; then -2 and -1."""
    baseline = torch.zeros(())
    found = hard_attention_loss(TWO_CAPTIONS, torch.tensor([1.0, 2.0, 5.0]), baseline, HARD)
    assert float(baseline) == pytest.approx(-4)  # the first batch's own mean
    assert float(found) == pytest.approx(-(1 * -0.1 + 1 * -0.2 + -1 * -0.4) / 3)
    found = hard_attention_loss(TWO_CAPTIONS, torch.tensor([0.5, 1.5, 1.0]), baseline, HARD)
    assert float(found) == pytest.approx(-(2 * -0.1 + 2 * -0.2 + 3 * -0.4) / 3)  # less -4: the batches before this one
    assert BASELINE_DECAY == 0.9 and float(baseline) == pytest.approx(0.9 * -4 + 0.1 * -1.5)


def test_the_entropy_by_hand() -> None:
    settings = HARD.model_copy(update={"reinforce_weight": 0.0, "entropy_weight": 0.6})
    found = hard_attention_loss(TWO_CAPTIONS, torch.ones(3), torch.zeros(()), settings)
    ln2 = 0.6931472
    assert float(found) == pytest.approx(-0.6 * (ln2 + 0 + ln2) / 3)


def test_hard_attention_adds_to_the_loss_in_training_alone(regions: Tensor, slots: list[Tensor]) -> None:
    settings = HARD.model_copy(update={"entropy_weight": 0.4})
    loss, plain = given(settings), given(HARD.model_copy(update={"reinforce_weight": 0.0}))
    inputs = LossInputs(regions, slots)
    torch.testing.assert_close(loss(lambda: inputs, False), plain(lambda: inputs, False))
    assert loss.model.decoder.reward_baseline == 0
    torch.manual_seed(1)
    found, entropy = loss.train()(lambda: LossInputs(regions, slots), False)
    torch.manual_seed(1)
    same, same_entropy = plain.train()(lambda: LossInputs(regions, slots), False)
    assert torch.equal(entropy, same_entropy) and abs(found - same) > 0.01
    assert loss.model.decoder.reward_baseline < 0


def test_hard_attention_with_the_doubly_stochastic_penalty(regions: Tensor, slots: list[Tensor]) -> None:
    both = given(HARD.model_copy(update={"doubly_stochastic_weight": 0.7})).train()
    torch.manual_seed(1)
    found = both(lambda: LossInputs(regions, slots), False)[0]
    torch.manual_seed(1)
    hard = given(HARD).train()
    torch.manual_seed(1)
    without = hard(lambda: LossInputs(regions, slots), False)[0]
    torch.manual_seed(1)
    memory = both.model.decoder.encode_memory(regions)
    penalties = []
    outputs = both.model.decoder.forward_slots([tokens[:, :, :-1].clamp(min=0) for tokens in slots], memory)
    for tokens, attention in zip(slots, (output.attention for output in outputs), strict=True):
        for b in range(3):
            if length := int((tokens[b, 0, 1:] != PAD).sum()):
                penalties.append((1 - attention[b, 0, :length].sum(0)).square())
    close(found - without, 0.7 * torch.stack(penalties).mean())
    found.backward()
    assert both.model.decoder.attention.encoder_att.weight.grad.abs().max() > 0


def test_hard_attention_learns_from_its_own_words_too(regions: Tensor, slots: list[Tensor]) -> None:
    loss = given(HARD).train()
    loss(lambda: LossInputs(regions, slots), False, teacher_forcing=0.0)[0].backward()
    assert loss.model.decoder.reward_baseline < 0
    assert all(p.grad is not None and p.grad.isfinite().all() for p in loss.model.decoder.parameters())


def test_sentences_without_photos_are_told_of_regions_of_zeros() -> None:
    loss = loss_of(TRANSFORMER)
    tokens = torch.tensor([[[LANGUAGE, 5, 6, 2]], [[LANGUAGE, 7, 2, PAD]]])
    found, _ = loss(lambda: LossInputs(None, [tokens]), train_encoder=True)
    decoder, encoder = loss.model.decoder, loss.model.encoder
    memory = decoder.encode_memory(torch.zeros(2, encoder.num_regions, encoder.channels, dtype=torch.float64))
    log_probs = decoder.logits(decoder(tokens[:, :, :-1].clamp(min=0), memory).hidden).log_softmax(-1)
    words = [log_probs[0, 0, 0, 5], log_probs[0, 0, 1, 6], log_probs[0, 0, 2, 2], log_probs[1, 0, 0, 7]]
    words.append(log_probs[1, 0, 1, 2])
    smoothed = torch.stack([log_probs[0, 0, :3].mean(), log_probs[1, 0, :2].mean()]) @ torch.tensor([3.0, 2]).double()
    close(found.double(), -(0.9 * torch.stack(words).sum() + 0.1 * smoothed) / 5)


def test_sentences_with_tags_are_told_of_them_before_the_zeros() -> None:
    loss = loss_of(TRANSFORMER)
    encoder = loss.model.encoder
    encoder.num_tags, encoder.num_regions = 2, encoder.num_regions + 2
    nouns = torch.tensor([[0.0, 0.25, 0.04, 0.64]])
    found = loss._no_regions(torch.zeros(1, 1, 3, dtype=torch.long), nouns)
    expected = torch.zeros(1, encoder.num_regions, encoder.channels, dtype=torch.float64)
    expected[0, 0, 3], expected[0, 1, 1] = 0.8, 0.5
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
