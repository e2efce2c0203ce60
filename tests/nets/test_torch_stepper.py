"""Whatever the search does to its rows, the stepper must say what a computation from scratch says."""

import numpy as np
import pytest
import torch
from tests.rounding import UNIT, log_softmax_bound
from tests.tiny_decoders import DECODERS

from showtell.core.stepper import Step
from showtell.nets.captioning_model import CaptioningModel
from showtell.nets.torch_stepper import TorchStepper, _best
from showtell.settings import EncoderSettings, ModelSettings, PixelOverrides

VOCABULARY, WORDS, IMAGES = 13, 8, 5


@pytest.fixture(scope="module", params=DECODERS)
def model(request: pytest.FixtureRequest) -> CaptioningModel:
    encoder = EncoderSettings(name="test_resnet", pretrained=False, pixels=PixelOverrides(size=64))
    torch.manual_seed(0)
    model = CaptioningModel(ModelSettings(encoder=encoder, decoder=DECODERS[request.param]), VOCABULARY, WORDS)
    for parameter in model.decoder.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model.double().train()


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(IMAGES, 3, 64, 64))


def from_scratch(model: CaptioningModel, pixels: np.ndarray, words: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """The last word's logits [B, K, V] and attention [B, K, S] after words [B, K, T]."""
    with torch.no_grad():
        taught = model.decoder(torch.from_numpy(words), model.encode(torch.from_numpy(pixels)))
        logits = model.decoder.logits(taught.hidden[:, :, -1])
    return logits.numpy(), None if taught.attention is None else taught.attention[:, :, -1].numpy()


def check(step: Step, model: CaptioningModel, pixels: np.ndarray, words: np.ndarray) -> None:
    logits, attention = from_scratch(model, pixels, words)
    log_probs = torch.from_numpy(logits).log_softmax(-1).numpy()
    assert step.log_probs.dtype == np.float32 and step.log_probs.shape == (*words.shape[:2], VOCABULARY)
    np.testing.assert_allclose(step.log_probs, log_probs, rtol=0, atol=log_softmax_bound(logits))
    assert (step.attention is None) is (attention is None)
    if attention is not None:
        np.testing.assert_allclose(step.attention, attention, rtol=0, atol=UNIT)


@pytest.mark.parametrize("seed", range(4))
def test_reordered_widened_and_dropped_rows_equal_recomputation(
    model: CaptioningModel, pixels: np.ndarray, seed: int
) -> None:
    random = np.random.default_rng(seed)
    stepper = TorchStepper(model)
    alive = np.arange(IMAGES)
    words = np.zeros((IMAGES, 1, 0), np.int64)
    state = stepper.init_state(stepper.encode(pixels))
    for t in range(WORDS):
        newest = random.integers(VOCABULARY, size=words.shape[:2])
        words = np.concatenate([words, newest[:, :, None]], 2)
        step = stepper.step(newest, state)
        check(step, model, pixels[alive], words)
        # Beams as a search would take them: some twice, some not at all, ever another number, images leaving at times.
        stays = np.sort(random.permutation(len(alive))[: len(alive) - (t % 2 and len(alive) > 1)])
        beams = random.integers(words.shape[1], size=(len(stays), random.integers(1, 5)))
        state = stepper.reorder(step.state, stays, beams)
        alive, words = alive[stays], words[stays[:, None], beams]
    assert len(alive) == 1


def test_a_memory_is_not_copied_per_beam_nor_when_all_images_stay(model: CaptioningModel, pixels: np.ndarray) -> None:
    stepper = TorchStepper(model)
    memory = stepper.encode(pixels)
    wide = stepper.reorder(stepper.init_state(memory), np.arange(IMAGES), np.zeros((IMAGES, 4), np.int64))
    assert all(wide.memory[name] is memory[name] for name in memory)
    fewer = stepper.reorder(wide, np.array([1, 3]), np.array([[0, 1], [2, 3]]))
    assert all(len(tensor) == 2 for tensor in fewer.memory.values())


def test_all_beams_may_leave(model: CaptioningModel, pixels: np.ndarray) -> None:
    stepper = TorchStepper(model)
    state = stepper.init_state(stepper.encode(pixels))
    none = stepper.reorder(state, np.zeros(0, np.int64), np.zeros((0, 3), np.int64))
    assert all(tensor.shape[0] == 0 for tensor in (*none.memory.values(), *none.rows.values()))


def test_it_evaluates_and_needs_no_gradient(model: CaptioningModel, pixels: np.ndarray) -> None:
    model.train()
    stepper = TorchStepper(model)
    assert not model.training
    assert not any(tensor.requires_grad for tensor in stepper.encode(pixels).values())
    step = stepper.step(np.ones((IMAGES, 1), np.int64), stepper.init_state(stepper.encode(pixels)))
    np.testing.assert_allclose(np.exp(step.log_probs).sum(-1), 1, atol=1e-4)  # of 13 words, each within 1e-6
    step.log_probs[:] = 0  # the search may write into it


def test_look_replaces_pixels(model: CaptioningModel, pixels: np.ndarray) -> None:
    with torch.no_grad():
        features = model.eval().encoder.frozen(torch.from_numpy(pixels))
    cached = TorchStepper(
        model, lambda batch: model.decoder.encode_memory(model.encoder.forward_trainable(batch))
    ).encode(features)
    direct = TorchStepper(model).encode(pixels)
    for name in direct:
        torch.testing.assert_close(cached[name], direct[name])


@pytest.mark.parametrize("count", [1, 4, VOCABULARY, VOCABULARY + 3])
def test_the_best_tokens_are_those_of_all(model: CaptioningModel, pixels: np.ndarray, count: int) -> None:
    """Of equal ones the lower id comes first, as bfloat16 has many."""
    stepper = TorchStepper(model)
    state, tokens = stepper.init_state(stepper.encode(pixels)), np.ones((IMAGES, 1), np.int64)
    every, best = stepper.step(tokens, state).log_probs, stepper.step(tokens, state, count)
    expected = np.argsort(-every, 2, "stable")[:, :, :count]
    np.testing.assert_array_equal(best.tokens, expected)
    np.testing.assert_array_equal(best.log_probs, np.take_along_axis(every, expected, 2))


def test_of_equally_good_tokens_the_lower_ids_are_the_best() -> None:
    random = np.random.default_rng(0)
    log_probs = random.choice(np.array([-3, -2, -1, -np.inf], np.float32), size=(3, 4, 40))
    found = _best(torch.from_numpy(log_probs), 9)
    np.testing.assert_array_equal(found.tokens, np.argsort(-log_probs, 2, "stable")[:, :, :9])
