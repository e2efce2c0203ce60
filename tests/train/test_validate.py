import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tests.tiny_decoders import DECODERS
from torch import Tensor, nn

from showtell.nets.captioning_model import build_decoder
from showtell.nets.decoder import Sizes
from showtell.train.batches import PAD, Batch
from showtell.train.validate import teacher_forced_sums

CHANNELS, REGIONS, VOCABULARY, LONGEST, IMAGES = 6, 5, 13, 8, 7
NAMES = ["lstm, image first", "gru, attention", "lstm, hard attention", "transformer, pre-norm"]


class Stored:
    """Cached features, which are the regions themselves."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(1)
        self.regions = torch.randn(IMAGES, REGIONS, CHANNELS, dtype=torch.float64, generator=generator)

    def batch(self, images: np.ndarray) -> Tensor:
        return self.regions[torch.from_numpy(images)]


def build(name: str) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Module()
    model.encoder = SimpleNamespace(forward_trainable=lambda features: features)
    model.decoder = build_decoder(DECODERS[name], Sizes(CHANNELS, REGIONS, VOCABULARY, LONGEST))
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    return model.double()


@pytest.fixture
def plan() -> list[Batch]:
    """Captions of one to six words, one to three of each image, in batches that are not of the same size."""
    random = np.random.default_rng(0)
    rows = [
        [[3, *random.integers(4, VOCABULARY, random.integers(1, 6)), 2] for _ in range(1 + image % 3)]
        for image in range(IMAGES)
    ]
    found = []
    for images in (np.array([4, 0, 6]), np.array([2]), np.array([5, 1, 3])):
        slots = []
        for n in range(max(len(rows[i]) for i in images)):
            captions = [torch.tensor(rows[i][n] if n < len(rows[i]) else []).long() for i in images]
            slots.append(nn.utils.rnn.pad_sequence(captions, batch_first=True, padding_value=PAD).unsqueeze(1))
        found.append(Batch(images, np.zeros(len(images), int), slots, 0))
    return found


@pytest.mark.parametrize("prompt", [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_taught_scores_equal_a_loop_over_words(name: str, prompt: int, plan: list[Batch]) -> None:
    model, features = build(name), Stored()
    total, in_top_5, tokens = teacher_forced_sums(model.train(), features, plan, prompt)
    assert not model.training  # without dropout
    surprise, hits = [], []
    with torch.no_grad():
        for batch in plan:
            for slot, (row, image) in itertools.product(batch.slots, enumerate(batch.images)):
                ids = [word for word in slot[row, 0].tolist() if word != PAD]
                memory = model.decoder.encode_memory(features.regions[image : image + 1])
                state = model.decoder.init_state(memory)
                for place, (word, following) in enumerate(itertools.pairwise(ids), start=1):
                    logits, state, _ = model.decoder.step(torch.tensor([[word]]), memory, state)
                    if place < prompt:
                        continue
                    chances = logits[0, 0].exp() / logits[0, 0].exp().sum()
                    surprise.append(-float(chances[following].log()))
                    hits.append(sum(float(chance) > float(chances[following]) for chance in chances) < 5)
    assert len(hits) > 20 and 0.1 < np.mean(hits) < 0.9
    assert (in_top_5, tokens) == (sum(hits), len(hits))
    assert total == pytest.approx(sum(surprise), abs=1e-5 * len(hits))
