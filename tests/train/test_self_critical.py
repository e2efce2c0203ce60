"""Self-critical training: what is drawn, how it is rewarded, and which way it pushes."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from showtell.core.stepper import Ids
from showtell.core.tokenizer import Tokenizer
from showtell.metrics.reward import CiderReward
from showtell.nets.decoder import Decoder, DecoderOutput, StepOutput, Tensors
from showtell.records import Sample
from showtell.settings import TrainSettings
from showtell.train.augment import is_mirrored
from showtell.train.batches import PAD, Batch, Photo, batches, group_photos
from showtell.train.losses import CaptionLoss, LossInputs
from showtell.train.self_critical import SampledCaptions, SelfCritic, mirrored_ids

CAPTIONS = {
    "en": ["a dog on the left", "the dog runs right", "a cat sits"],
    "ar": ["كلب على يسار", "قطة", "كلب"],
}
TOKENIZER = Tokenizer.build([c for each in CAPTIONS.values() for c in each], ["en", "ar"], min_frequency=1)
WORDS = 6


def sample(name: str, language: str, *captions: str) -> Sample:
    return Sample(name, Path(name), captions, "train", language)


PHOTOS = group_photos(
    [
        sample("0", "en", "a dog on the left", "the dog runs right"),
        sample("0", "ar", "كلب على يسار"),
        sample("1", "en", "a cat sits"),
    ],
    TOKENIZER,
    WORDS,
)


class Fixed(Decoder):
    """Says every word with the probability that `logits_of` the language gives it, whatever came before."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(vocabulary))

    def encode_memory(self, regions: Tensor) -> Tensors:
        return {"regions": regions}

    def init_state(self, memory: Tensors) -> Tensors:
        return {"none": memory["regions"].new_zeros(len(memory["regions"]), 1, 1)}

    def decode_step(self, tokens: Tensor, memory: Tensors, state: Tensors) -> StepOutput:
        return StepOutput(torch.ones(*tokens.shape, 1), state, None)

    def logits(self, hidden: Tensor) -> Tensor:
        return hidden * self.table

    def forward(self, tokens: Tensor, memory: Tensors) -> DecoderOutput:
        return DecoderOutput(torch.ones(*tokens.shape, 1), None)


class Looking(nn.Module):
    def forward_trainable(self, features: Tensor) -> Tensor:
        return features


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = Looking(), Fixed(TOKENIZER.vocab_size)


def batch(views: int = 1, seed: int = 0) -> Batch:
    return batches(PHOTOS, TOKENIZER, 2, views, seed, 0)[0]


def critic(samples: int = 4, seed: int = 0, reward: object = CiderReward, of: list[Photo] = PHOTOS) -> SelfCritic:
    return SelfCritic(of, TOKENIZER, TOKENIZER.vocab_size, samples, WORDS, seed, reward)


def drawn(critic: SelfCritic, of: Batch, step: int = 0, model: Model | None = None) -> SampledCaptions:
    return critic(model or Model(), torch.zeros(len(of.images), 1, 1), of, step)


def length_reward(references: object, end: int) -> object:
    """As many points as words."""
    return lambda ids, images: (ids != end).sum(-1).astype(float)


def test_advantages_are_those_over_the_other_samples() -> None:
    found = drawn(critic(reward=length_reward), batch())
    position = 0
    for slot in found.slots:
        lengths = (slot > TOKENIZER.eos_id).sum(-1).double() - 1  # less the start
        for row in lengths.tolist():
            for k, own in enumerate(row):
                others = [other for n, other in enumerate(row) if n != k]
                expected = own - sum(others) / len(others)
                # The second photo has no Arabic: nothing to be learned there.
                if found.advantages[position] != 0:
                    assert found.advantages[position] == pytest.approx(expected)
                position += 1
    assert position == len(found.advantages) == 2 * 2 * 4
    assert found.advantages.abs().sum() > 0


def test_a_photo_without_captions_in_a_language_teaches_nothing_there() -> None:
    of = batch()
    found = drawn(critic(reward=length_reward), of)
    arabic = found.advantages.view(2, 2, 4)[1]
    assert (arabic[of.images == 1] == 0).all()
    assert (arabic[of.images == 0] != 0).any()


def test_rewards_are_those_of_the_photos_own_captions() -> None:
    """The reward of every sample is that of its words beside its photo's references, in its language."""
    of = batch()
    rewards = CiderReward(
        [[ids[1:-1] for ids in photo.tokens if ids[:1] == TOKENIZER.prompt_ids("en")] for photo in PHOTOS], 2
    )
    found = drawn(critic(samples=2), of)
    for row, image in zip(found.slots[0].tolist(), of.images, strict=True):
        one, other = (float(rewards(np.array([[i for i in ids[1:] if i != PAD]]), image[None])[0]) for ids in row)
        place = 2 * of.images.tolist().index(image)
        assert found.advantages[place] == pytest.approx(one - other, abs=1e-6)
        assert found.advantages[place + 1] == pytest.approx(other - one, abs=1e-6)


def test_nothing_special_is_drawn_and_an_end_that_was_forced_is_left_out() -> None:
    model = Model()
    with torch.no_grad():
        model.decoder.table[TOKENIZER.eos_id] = -1.0
        model.decoder.table[TOKENIZER.unk_id] = 9.0
    found = drawn(critic(samples=40), batch(), model=model)
    for slot, language in zip(found.slots, TOKENIZER.languages, strict=True):
        assert (slot[:, :, :1] == torch.tensor(TOKENIZER.prompt_ids(language))).all()
        words = slot[:, :, 1:]
        assert not torch.isin(words, torch.tensor(TOKENIZER.banned_ids)).any()
        ends = (words == TOKENIZER.eos_id).sum(-1)
        whole = (words > TOKENIZER.eos_id).sum(-1) == WORDS
        assert whole.any() and not whole.all()
        assert (ends[whole] == 0).all() and (ends[~whole] == 1).all()


def test_a_prompt_of_several_tokens_comes_before_what_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in the slots, and neither in what is rewarded nor in the references."""
    prompt, seen = [3, 6, 7], []
    monkeypatch.setattr(Tokenizer, "prompt_ids", lambda self, language: prompt)
    own = [*prompt, 8, 9, 10, TOKENIZER.eos_id]
    photos = [Photo(PHOTOS[1].sample, [own], [own], ["en"])]

    def remember(references: object, end: int) -> object:
        assert references == [[[8, 9, 10]]]
        return lambda ids, images: (seen.append(ids), np.zeros(len(ids)))[1]

    monkeypatch.setattr(TOKENIZER, "languages", ("en",))
    model = Model()
    nn.init.normal_(model.decoder.table)
    of = batches(photos, TOKENIZER, 1, 1, 0, 0)[0]
    found = drawn(critic(of=photos, reward=remember), of, model=model)
    (slot,) = found.slots
    assert (slot[:, :, :3] == torch.tensor(prompt)).all()
    for row, rewarded in zip(slot[0, :, 3:].tolist(), seen[0].tolist(), strict=True):
        assert [i for i in row if i > TOKENIZER.eos_id] == [i for i in rewarded if i != TOKENIZER.eos_id]
    found = found._replace(advantages=torch.tensor([1.0, -2.0, 3.0, 0.5]))
    banned = torch.isin(torch.arange(TOKENIZER.vocab_size), torch.tensor(TOKENIZER.banned_ids))
    log_probs = model.decoder.table.masked_fill(banned, -torch.inf).log_softmax(0)
    drawn_ones = slot[0, :, 3:]
    expected = -(log_probs[drawn_ones.clamp(min=0)] * found.advantages[:, None])[drawn_ones != PAD].mean()
    reward_loss, _ = loss_of(model, 1.0, prompt=3)(
        lambda: LossInputs(torch.zeros(1, 1, 1), of.slots, None, found), True
    )
    torch.testing.assert_close(reward_loss, expected)


def test_draws_depend_on_seed_and_step_alone() -> None:
    of = batch()
    one, again, later, other = (
        drawn(critic(seed=seed), of, step).slots[0] for seed, step in [(3, 5), (3, 5), (3, 6), (4, 5)]
    )
    assert torch.equal(one, again)
    assert not torch.equal(one, later) if one.shape == later.shape else True
    assert not torch.equal(one, other) if one.shape == other.shape else True
    turned = Batch(of.images[::-1].copy(), of.views, of.slots, of.tokens)  # another batch of the same step
    another = drawn(critic(seed=3), turned, 5).slots[0]
    assert not torch.equal(one, another) if one.shape == another.shape else True


def test_what_is_said_of_a_mirrored_photo_is_mirrored_back() -> None:
    ids = mirrored_ids(TOKENIZER, "en", TOKENIZER.vocab_size)
    left, right, dog = TOKENIZER.tokens_to_ids(["left", "right", "dog"])
    assert ids[left] == right and ids[right] == left and ids[dog] == dog
    assert sorted(ids) == list(range(TOKENIZER.vocab_size))
    seen: list[Ids] = []

    def remember(references: object, end: int) -> object:
        def reward(samples: Ids, images: Ids) -> np.ndarray:
            seen.append(samples)
            return np.zeros(len(samples))

        return reward

    seed = next(s for s in range(99) if any(_mirrored(batch(2, s), s)) and not all(_mirrored(batch(2, s), s)))
    of = batch(2, seed)
    slot = drawn(critic(seed=seed, reward=remember), of).slots[0][:, :, 1:]
    for image, (mirrored, given) in enumerate(zip(_mirrored(of, seed), seen[0].reshape(2, 4, -1), strict=True)):
        written = slot[image].numpy()
        expected = ids[written] if mirrored else written
        words = written > TOKENIZER.eos_id
        np.testing.assert_array_equal(given[:, : written.shape[1]][words], expected[words])


def _mirrored(of: Batch, seed: int) -> list[bool]:
    return [is_mirrored(seed, int(i), int(v)) for i, v in zip(of.images, of.views, strict=True)]


def loss_of(model: Model, weight: float, prompt: int = 1) -> CaptionLoss:
    settings = TrainSettings.model_validate({"self_critical": {"start_epoch": 0, "weight": weight}})
    return CaptionLoss(model, settings, prompt, TOKENIZER.unk_id, TOKENIZER.banned_ids)


def test_the_gradient_is_that_of_the_expected_reward() -> None:
    """Over many samples the loss pushes as the expected reward itself does, which a unigram model lets one work out."""
    model = Model()
    with torch.no_grad():
        model.decoder.table.uniform_(-1, 1, generator=torch.Generator().manual_seed(0))
    better = TOKENIZER.tokens_to_ids(["dog"])[0]
    with torch.no_grad():
        model.decoder.table[better] = 2

    def first_word(references: object, end: int) -> object:
        return lambda ids, images: (ids[:, 0] == better).astype(float)

    samples = 4000
    one = [PHOTOS[1]]
    of = batches(one, TOKENIZER, 1, 1, 0, 0)[0]
    sampled = drawn(critic(samples, reward=first_word, of=one), of, model=model)
    inputs = LossInputs(torch.zeros(1, 1, 1), of.slots, None, sampled)
    words = sum(int((slot[:, :, 1:] != PAD).sum()) for slot in sampled.slots)
    loss_of(model, 1.0)(lambda: inputs, True)[0].backward()
    found = -model.decoder.table.grad * words / samples

    table = model.decoder.table.detach().clone().requires_grad_()
    allowed = table.clone()
    allowed[TOKENIZER.banned_ids] = -torch.inf
    allowed.log_softmax(-1)[better].exp().backward()
    torch.testing.assert_close(found, table.grad, atol=0.02, rtol=0)
    assert table.grad.abs().max() > 0.2


def test_the_weight_mixes_reward_and_cross_entropy() -> None:
    of, model = batch(), Model()
    sampled = drawn(critic(), of, model=model)
    features = torch.zeros(2, 1, 1)

    def loss(weight: float, sampled: SampledCaptions | None) -> float:
        return loss_of(model, weight)(lambda: LossInputs(features, of.slots, None, sampled), True)[0].item()

    plain, reward = loss(0.3, None), loss(1.0, sampled)
    assert loss(0.3, sampled) == pytest.approx(0.7 * plain + 0.3 * reward, rel=1e-5)


def test_tokens_that_mark_the_space_before_a_word_are_mirrored_too() -> None:
    """As a byte-level and a unigram vocabulary have them, beside the bare word. The network may have more tokens."""
    tokens = ["left", "right", "Ġleft", "Ġright", "▁left", "▁right", "Ġlefty", "Ġ"]
    fake = SimpleNamespace(
        ids_to_tokens=lambda ids: [tokens[i] if i < len(tokens) else f"[{i}]" for i in ids],
    )
    assert mirrored_ids(fake, "en", 10).tolist() == [1, 0, 3, 2, 5, 4, 6, 7, 8, 9]
