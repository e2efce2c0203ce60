"""Against slow sampling that reads every prefix anew, with the same random numbers."""

import numpy as np
import pytest
import torch
from tests.tiny_decoders import DECODERS
from torch import Tensor, nn

from showtell.nets.captioning_model import build_decoder
from showtell.nets.decoder import Decoder, Sizes
from showtell.train.sampling import _draw, sample_captions

CHANNELS, REGIONS, VOCABULARY, EOS, LONGEST = 6, 5, 11, 2, 6
BANNED = [0, 1, 3]
KINDS = ["transformer, pre-norm", "prefix transformer, post-norm", "lstm, attention", "gru, image as state"]


def build(kind: str) -> tuple[Decoder, Tensor]:
    torch.manual_seed(0)
    decoder = build_decoder(DECODERS[kind], Sizes(CHANNELS, REGIONS, VOCABULARY, LONGEST + 2)).eval().double()
    for parameter in decoder.parameters():
        nn.init.normal_(parameter, std=0.5)
    return decoder, torch.randn(4, REGIONS, CHANNELS, dtype=torch.float64)


@torch.no_grad()
def slow(decoder: Decoder, regions: Tensor, prompt: list[int], num: int, rng: np.random.Generator) -> np.ndarray:
    """Token by token: the first whose cumulative probability exceeds the random number."""
    written: list[list[list[int]]] = [[[] for _ in range(num)] for _ in regions]
    images = list(range(len(regions)))
    for _ in range(LONGEST):
        numbers = rng.random((len(images), num, 1), np.float32)
        for row, image in enumerate(images):
            memory = decoder.encode_memory(regions[image : image + 1])
            for k, ids in enumerate(written[image]):
                if EOS in ids:
                    continue
                hidden = decoder(torch.tensor([[[*prompt, *ids]]]), memory).hidden
                weights = decoder.logits(hidden)[0, 0, -1].exp().numpy()
                weights[BANNED] = 0
                cumulative = weights.cumsum() / weights.sum()
                ids.append(int(np.flatnonzero(cumulative > numbers[row, k, 0])[0]))
        images = [image for image in images if not all(EOS in ids for ids in written[image])]
    return np.array([[(ids + [EOS] * LONGEST)[:LONGEST] for ids in rows] for rows in written])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("prompt", [[4], [4, 7]])
def test_equals_slow_sampling(kind: str, prompt: list[int]) -> None:
    decoder, regions = build(kind)
    memory = decoder.encode_memory(regions)
    limits = 3, EOS, BANNED, LONGEST
    found = sample_captions(decoder, memory, prompt, *limits, np.random.default_rng(1))
    expected = slow(decoder, regions, prompt, 3, np.random.default_rng(1))
    np.testing.assert_array_equal(found, expected)
    has_end = (expected == EOS).any(-1)
    assert has_end.any() and not np.isin(found, BANNED).any()
    other = sample_captions(decoder, memory, prompt, *limits, np.random.default_rng(2))
    assert (found != other).any()


def test_tokens_come_as_often_as_their_probability() -> None:
    logits = torch.tensor([-torch.inf, 0.0, 2.0, -torch.inf, 1.0, -torch.inf]).expand(1, 20_000, -1)
    uniform = torch.from_numpy(np.random.default_rng(0).random((1, 20_000, 1), np.float32))
    share = torch.bincount(_draw(logits, uniform)[0], minlength=6) / 20_000
    torch.testing.assert_close(share, logits[0, 0].softmax(0), atol=0.018, rtol=0)  # 5 standard deviations


def test_the_ends_of_the_range_draw_tokens_that_have_a_probability() -> None:
    """In float32 the sum of many probabilities is not 1, and a product may be rounded up to it."""
    torch.manual_seed(0)
    logits = torch.randn(50, 2, 3000)
    logits[..., :5] = logits[..., -5:] = -torch.inf
    uniform = torch.tensor([0.0, 1 - 2**-24]).view(1, 2, 1).expand(50, -1, -1)
    drawn = _draw(logits, uniform)
    assert (drawn[:, 0] == 5).all()
    assert ((drawn[:, 1] > 2900) & (drawn[:, 1] < 2995)).all()
